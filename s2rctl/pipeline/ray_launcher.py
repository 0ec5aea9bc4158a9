"""Pieces of work on a Ray cluster: a node that dies loses what runs on it, and that is begun again elsewhere."""

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2rctl.core.errors import Interrupted, RunError
from s2rctl.core.interrupt import interruptible
from s2rctl.core.progress import Reporter
from s2rctl.pipeline import ray_node
from s2rctl.pipeline.ray_cluster import connected, last_line, room
from s2rctl.schema.launcher import Launcher as Settings
from s2rctl.stages.work import Recipe, Work
from s2rctl.store.parcel import pack, unpack
from s2rctl.store.store import Store

if TYPE_CHECKING:
    from s2rctl.learning.student.distill import Collector

_LOOK_S = 0.5
"""How often a request to stop, and nodes that have come or gone, are looked for."""
_LEAVE_S = 120.0
"""How long pieces may take to checkpoint when asked to stop."""


class Ray:
    """On the cluster that ``settings.on`` names."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def run(self, pieces: Sequence[Work], reporter: Reporter) -> Iterator[Any]:
        """Run the pieces, as many at once as fit on the nodes that live."""
        if not pieces:
            return
        store = Store(Path(pieces[0].store))
        with interruptible() as interrupt, connected(self._settings) as ray, ray_node.marked(store) as token:
            crew = _Crew(ray, self._settings, store, token, reporter, pieces)
            while crew.busy and not interrupt.requested:
                yield from crew.look()
            if interrupt.requested:
                yield from crew.leave()
                raise Interrupted("interrupted; what is finished is kept", f"to resume: {pieces[0].resume}")

    def collector(self, recipes: Sequence[Recipe], params: Any, folder: Path) -> "AbstractContextManager[Collector]":
        """Return the groups as actors on the cluster."""
        from s2rctl.pipeline.ray_collectors import collecting

        return collecting(self._settings, recipes, params)


class _Crew:
    """The pieces that wait and those under way."""

    def __init__(
        self, ray: Any, settings: Settings, store: Store, token: str, reporter: Reporter, pieces: Sequence[Work]
    ) -> None:
        self._ray, self._settings, self._store, self._reporter = ray, settings, store, reporter
        self._order = ray_node.order(token, settings.store == "sent")
        self._waiting = deque(pieces)
        self._under_way: dict[Any, Work] = {}
        self._sending = settings.store == "sent"
        self._sent: dict[str, Any] = {}  # id -> reference to its parcel
        self._count = len(pieces)
        self._begun = 0

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        return bool(self._waiting or self._under_way)

    def look(self) -> Iterator[Any]:
        """Begin what fits, and yield what came of what has ended meanwhile."""
        cores, places = room(self._ray, self._settings)
        while self._waiting and len(self._under_way) < places:
            self._begin(self._waiting.popleft(), cores)
        done, _ = self._ray.wait(list(self._under_way), num_returns=1, timeout=_LOOK_S)
        for reference in done:
            yield from self._ended(reference)

    def leave(self) -> Iterator[Any]:
        """Ask what is under way to checkpoint and stop; yield what was finished all the same."""
        for reference in self._under_way:
            with contextlib.suppress(Exception):  # whatever state it is in
                self._ray.cancel(reference, force=False, recursive=False)
        waiting = list(self._under_way)
        if waiting:
            done, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=_LEAVE_S)
            for reference in done:
                yield from self._ended(reference, stopping=True)

    def _begin(self, piece: Work, cores: float) -> None:
        self._begun += 1
        self._reporter.note(f"{min(self._begun, self._count)}/{self._count}: {piece.name}")
        parcels, held = None, frozenset[str]()
        if self._sending:
            parcels, held = self._parcels(piece), frozenset(identity[:16] for identity in self._store.ids())
        remote = self._ray.remote(ray_node.work).options(
            num_cpus=cores,
            num_gpus=self._settings.gpus,
            max_retries=self._settings.attempts - 1,  # of a node or process that dies; what a piece raises is caught
            scheduling_strategy="SPREAD",
            name=piece.name,
        )
        self._under_way[remote.remote(piece, self._order, parcels, held)] = piece

    def _parcels(self, piece: Work) -> list[tuple[str, Any]]:
        """Return a reference to each artifact that the piece may need: each is sent into the cluster once."""
        keys = self._store.keys()
        wanted = sorted(piece.needs(self._store))
        for identity in wanted:
            if identity not in self._sent:
                self._sent[identity] = self._ray.put(pack(self._store.get(identity), keys))
        return [(identity, self._sent[identity]) for identity in wanted]

    def _ended(self, reference: Any, stopping: bool = False) -> Iterator[Any]:
        piece = self._under_way.pop(reference)
        try:
            answer: ray_node.Answer = self._ray.get(reference)
        except Exception as error:  # of Ray's own classes: a worker or node died too often, or cannot run s2rctl
            if not stopping:
                yield piece.lost(RunError(last_line(error)))
            return
        if answer.interrupted and not stopping:
            yield piece.lost(RunError(f"its process on {answer.node} was asked to stop"))
        elif answer.blind:
            self._sending = True  # from now on: what needs to be sent costs little where it is not needed
            self._begun -= 1
            self._waiting.appendleft(piece)
        elif answer.outcome is not None:
            for parcel in answer.parcels:
                unpack(self._store, parcel)
            yield answer.outcome
