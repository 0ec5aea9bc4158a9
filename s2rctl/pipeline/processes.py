"""Pieces of work in processes of their own on this computer: one that dies takes nothing else with it."""

import multiprocessing
import os
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from s2rctl.core.errors import Interrupted, RunError
from s2rctl.core.interrupt import interruptible
from s2rctl.core.progress import NullReporter, Reporter
from s2rctl.stages.work import Work

_LOOK_S = 0.2
"""How often a request to stop is looked for."""


def in_processes(pieces: Sequence[Work], at_once: int, reporter: Reporter) -> Iterator[Any]:
    """Yield what came of each piece, at most ``at_once`` of them under way; Interrupted once all have left off."""
    waiting, alive = deque(pieces), dict[Any, tuple[BaseProcess, Work]]()
    stopping = False
    with interruptible() as interrupt:
        try:
            while alive or (waiting and not interrupt.requested):
                while waiting and len(alive) < at_once and not interrupt.requested:
                    piece = waiting.popleft()
                    reporter.note(f"{len(pieces) - len(waiting)}/{len(pieces)}: {piece.name}")
                    alive.update([_begun(piece)])
                for end in wait(list(alive), _LOOK_S):
                    process, piece = alive.pop(end)
                    outcome = _ended(end, process, piece)
                    if outcome is not None and not (stopping and process.exitcode):
                        yield outcome
                if interrupt.requested and not stopping:
                    stopping = True
                    _ask(alive)
        finally:
            _ask(alive)
            for process, _ in alive.values():
                process.join()
        if interrupt.requested:
            raise Interrupted("interrupted; what is finished is kept", f"to resume: {pieces[0].resume}")


def _ask(alive: dict[Any, tuple[BaseProcess, Work]]) -> None:
    for process, _ in alive.values():
        process.terminate()


def _begun(piece: Work) -> tuple[Any, tuple[BaseProcess, Work]]:
    """Start a process; nothing is inherited but the environment, for JAX's threads do not survive a fork."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_do, args=(theirs, piece), name=piece.name)
    process.start()
    theirs.close()
    return ours, (process, piece)


def _do(end: Connection, piece: Work) -> None:
    """Do a piece in a process of its own and send what came of it; None: it was interrupted."""
    os.setsid()  # Ctrl-C reaches the parent alone, which asks once; a second request would be immediate
    os.dup2(2, 1)  # what libraries print must not spoil the parent's data on stdout
    try:
        outcome = piece.do(NullReporter())
    except (Interrupted, KeyboardInterrupt):
        outcome = None
    end.send(outcome)
    end.close()


def _ended(end: Any, process: BaseProcess, piece: Work) -> Any:
    try:
        outcome = end.recv()
    except (EOFError, OSError):
        process.join()
        code = process.exitcode or 0
        how = f"signal {-code}" if code < 0 else f"status {code}"
        return piece.lost(RunError(f"its process ended with {how}"))
    finally:
        end.close()
    process.join()
    return outcome
