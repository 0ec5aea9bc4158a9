"""One target for a while, in a process of its own with limits: ``python -m tests.fuzz.child TARGET SECONDS …``.

With atheris the changes that reach new code are kept and changed further. Without it those are kept that end in a new
way. Findings are written as files with the input and the reason; progress is one JSON object a line on standard output.
"""

import argparse
import contextlib
import hashlib
import json
import logging
import mmap
import os
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LARGEST = 1 << 20
"""Bytes of the largest input."""
FILE_SIZE = 256 << 20
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_PATHS = {"os.remove": 1, "os.rename": 2, "os.mkdir": 1, "os.rmdir": 1, "os.link": 2, "os.symlink": 2, "os.chmod": 1}
"""Audit events that change a file system, and how many of their arguments are paths."""


class Worker:
    """Runs inputs of one target and remembers what came of them."""

    def __init__(self, target: Any, box: Any, findings: Path, current: mmap.mmap) -> None:
        self.target, self.box, self.findings, self._current = target, box, findings, current
        self.executions = 0
        self.outcomes: set[str] = set()
        self.keys: set[str] = set()
        self._said = 0.0

    def run(self, data: bytes) -> bool:
        """Run one input and return whether it ended in a new way; a finding is made smaller and kept."""
        from tests.fuzz.box import Finding
        from tests.fuzz.harness import check, minimised

        data = data[:LARGEST]
        self._current[:8] = len(data).to_bytes(8, "little")
        self._current[8 : 8 + len(data)] = data
        self.executions += 1
        try:
            outcome = check(self.target, data, self.box)
        except Finding as finding:
            outcome = f"finding {finding.key}"
            if outcome not in self.outcomes:
                self.keys.add(finding.key)
                if not finding.key.startswith("Hang"):
                    data = minimised(self.target, data, self.box, finding.key)
                save(self.findings, self.target.name, data, f"{finding.key}\n{finding}")
        if time.monotonic() - self._said > 1.0:
            self.say()
        new = outcome not in self.outcomes
        self.outcomes.add(outcome)
        return new

    def say(self) -> None:
        """Tell the parent how far this is."""
        self._said = time.monotonic()
        told = {"executions": self.executions, "outcomes": len(self.outcomes), "findings": sorted(self.keys)}
        os.write(1, json.dumps(told).encode() + b"\n")


def save(findings: Path, name: str, data: bytes, why: str) -> Path:
    """Write an input that breaks the property, why it does, and how to see it again."""
    folder = findings / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(data).hexdigest()[:12]}.bin"
    path.write_bytes(data)
    command = f"python -m tests.fuzz --reproduce {path}"
    path.with_suffix(".txt").write_text(f"{command}\n\n{why}\n", encoding="utf-8", errors="backslashreplace")
    return path


def limit() -> None:
    """Bound memory and size of files from here on."""
    from tests.fuzz.box import MEMORY

    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        size = pages * resource.getpagesize() + 2 * MEMORY  # what grows from input to input counts here
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def watch_files(allowed: Sequence[Path]) -> None:
    """Make it an error to change a file outside the allowed folders."""
    inside = tuple(f"{folder.resolve()}/" for folder in allowed)

    def judge(path: Any) -> None:
        if isinstance(path, str | bytes | os.PathLike):
            real = os.path.realpath(os.fsdecode(path))
            if not f"{real}/".startswith(inside) and not real.startswith("/dev/"):
                raise AssertionError(f"a file outside is changed: {real}")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
            judge(arguments[0])
        elif event in _PATHS:
            # a file that is removed by its name in an open folder, as shutil.rmtree does, was found from above
            names = arguments[: _PATHS[event]]
            if all(isinstance(name, str | bytes | os.PathLike) and os.fsdecode(name)[:1] == "/" for name in names):
                for name in names[-1:] if event in ("os.link", "os.symlink") else names:
                    judge(name)

    sys.addaudithook(hook)


def mutating(worker: Worker, seconds: float, seed: int) -> None:
    """Change valid inputs and those that ended in a new way."""
    from tests.fuzz.mutate import RandomChooser

    corpus = [data for data in worker.target.inputs() if worker.run(data) or True]
    end, number = time.monotonic() + seconds, seed
    while time.monotonic() < end:
        number += 1
        choose = RandomChooser(number)
        recent = corpus[-200:] if choose.below(2) else corpus
        data = worker.target.mutated(choose, recent[choose.below(len(recent))])
        if worker.run(data):
            corpus.append(data[:LARGEST])


def guided(worker: Worker, seconds: float, seed: int, folder: Path) -> None:
    """Let atheris choose by what code is reached; half of the changes are those that know the structure."""
    import atheris

    from tests.fuzz.mutate import RandomChooser

    for data in worker.target.inputs():
        worker.run(data)
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)

    def change(data: bytes, size: int, number: int) -> bytes:
        choose = RandomChooser(number)
        return worker.target.mutated(choose, data)[:size] if choose.below(4) else atheris.Mutate(data, size)

    arguments = [sys.argv[0], str(folder), f"-max_total_time={max(1, round(seconds))}", f"-seed={seed % 2**31 or 1}"]
    arguments += [f"-max_len={1 << 16}", "-rss_limit_mb=0", "-timeout=0", "-verbosity=0", "-print_final_stats=0"]
    atheris.Setup(arguments, lambda data: worker.run(bytes(data)) and None, custom_mutator=change)
    atheris.Fuzz()


def main() -> None:
    """Fuzz one target until the time is over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--engine", choices=("atheris", "mutation"), default="mutation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--findings", type=Path, required=True)
    parser.add_argument("--current", type=Path, required=True)
    options = parser.parse_args()
    sys.dont_write_bytecode = True
    logging.lastResort = None
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())
    guide: Any = contextlib.nullcontext()
    if options.engine == "atheris":
        import atheris

        guide = atheris.instrument_imports(include=["s2rctl"], enable_loader_override=False)
    with guide:
        from tests.fuzz.box import Box
        from tests.fuzz.harness import load

        target = load(options.target)
    with options.current.open("r+b") as file:
        current = mmap.mmap(file.fileno(), 8 + LARGEST)
    base = options.current.with_name("work")
    corpus = base / "corpus"
    corpus.mkdir(parents=True)
    worker = Worker(target, Box(base / "box"), options.findings, current)
    with guide if options.engine == "atheris" else contextlib.nullcontext():
        for data in target.inputs():  # whatever is imported late is there before the limits are
            worker.run(data)
    limit()
    watch_files([base, options.findings, Path(tempfile.gettempdir())])
    if options.engine == "atheris":
        guided(worker, options.seconds, options.seed, corpus)
    else:
        mutating(worker, options.seconds, options.seed)
    worker.say()


if __name__ == "__main__":
    main()
