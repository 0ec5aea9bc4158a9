"""Where an input is tried: a folder whose outside must not change, with bounds for time and memory."""

import contextlib
import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest import mock

HANG_S = 60
"""An example that takes this long hangs: the usual one takes milliseconds."""
MEMORY = 1 << 30
"""Bytes by which an example may make the process grow."""


class Finding(AssertionError):
    """An input that breaks the property; ``key`` is the same for the same cause."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


class Hang(BaseException):
    """Raised by the alarm; no handler for ordinary errors may swallow it."""


class Box:
    """A folder to work in, deep inside another one with canaries around; what is outside must stay as it is."""

    def __init__(self, base: Path) -> None:
        self.root = base.resolve()
        self.home = self.root / "inside" / "deep" / "er"
        self._before: dict[str, Any] = {}
        self._build()

    def file(self, name: str, content: bytes) -> Path:
        """Write a file to work on."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def folder(self, name: str) -> Path:
        """Return a folder to work in, made if it is not there."""
        path = self.home / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Work inside, with an alarm for hangs; afterwards the inside is emptied and the outside compared."""
        environment = {"HOME": str(self.home), "TMPDIR": str(self.home), "COLUMNS": "80"}
        try:
            with mock.patch.dict(os.environ, environment), mock.patch.object(tempfile, "tempdir", str(self.home)):
                os.environ.pop("S2RCTL_STORE", None)
                # Each blob and manifest is synced to the disk, which no property here is about.
                with contextlib.chdir(self.home), mock.patch.object(os, "fsync", lambda handle: None), bounded():
                    yield
        finally:
            self._compare()

    def _compare(self) -> None:
        self._empty()
        now = self._look()
        if now != self._before:
            changed = sorted({path for path in {*now, *self._before} if now.get(path) != self._before.get(path)})
            shutil.rmtree(self.root, ignore_errors=True)
            self._build()
            raise Finding(f"something outside was touched: {changed}", "outside")

    def _build(self) -> None:
        for folder in (self.root, self.root / "inside", self.root / "inside" / "deep"):
            (folder / "victim").mkdir(parents=True)
            (folder / "victim" / "f").write_text("canary")
        self.home.mkdir()
        self._before = self._look()

    def _look(self) -> dict[str, Any]:
        """Return every path outside the inner folder with what tells its content."""
        found: dict[str, Any] = {}
        for folder, folders, files in os.walk(self.root):
            if folder == str(self.home.parent):
                folders[:] = [name for name in folders if name != self.home.name]
            found |= {f"{folder}/{name}/": None for name in folders}
            for name in files:
                path = f"{folder}/{name}"
                link = os.path.islink(path)  # noqa: PTH114
                found[path] = os.readlink(path) if link else sha256(Path(path).read_bytes()).hexdigest()  # noqa: PTH115
        return found

    def _empty(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if any(self.home.iterdir()):
                shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(exist_ok=True)


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Let what takes too long raise Hang, and what takes too much memory raise MemoryError."""

    def ring(number: int, frame: Any) -> None:
        raise Hang

    before, (soft, hard) = signal.signal(signal.SIGALRM, ring), resource.getrlimit(resource.RLIMIT_AS)
    signal.alarm(HANG_S)
    try:
        with contextlib.suppress(OSError, ValueError):  # where /proc is missing there is only the alarm
            size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (size if hard < 0 else min(size, hard), hard))
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
