"""What a stage is: one unit of the pipeline with declared inputs, one output and a version."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import Reporter
from s2rctl.schema.contract import Contract
from s2rctl.schema.profile import Profile
from s2rctl.store.store import Artifact, Store


@dataclass(frozen=True)
class Input:
    """An artifact that a stage reads: its role in the stage and the ref it is taken from when run alone."""

    role: str
    kind: str
    name: str


@dataclass(frozen=True)
class Context:
    """Everything a stage may use while it runs."""

    profile: Profile
    seed: int
    inputs: Mapping[str, Artifact]  # by role
    store: Store
    run_folder: Path  # mutable, survives kill -9: checkpoints and logs go here, and a rerun finds them again
    reporter: Reporter
    interrupt: Interrupt


@dataclass(frozen=True)
class Result:
    """What a stage produced: files to publish (path inside the artifact -> file on disk) and what to say of them."""

    files: Mapping[str, Path]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    contract: Contract | None = None


@dataclass(frozen=True)
class Stage:
    """A node of the pipeline. ``run`` is "module:function" with the signature (Context) -> Result."""

    name: str
    version: int  # raised by hand when the same inputs would give another result
    reads: tuple[str, ...]  # profile paths whose values enter the cache key, e.g. "teacher.pick"
    inputs: tuple[Input, ...]
    kind: str  # output artifact
    output: str  # output artifact's name
    run: str

    def load(self) -> Callable[[Context], Result]:
        """Import the stage's function."""
        import importlib

        module, _, attribute = self.run.partition(":")
        function: Callable[[Context], Result] = getattr(importlib.import_module(module), attribute)
        return function
