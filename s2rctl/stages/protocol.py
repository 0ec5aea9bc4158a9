"""What a stage's function is given, and what it returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import Reporter
from s2rctl.schema.contract import Contract
from s2rctl.schema.profile import Profile
from s2rctl.stages.work import Spread
from s2rctl.store.store import Artifact, Store
from s2rctl.systems.protocol import Stage


@dataclass(frozen=True)
class Context:
    """Everything a stage may use while it runs."""

    stage: Stage
    profile: Profile
    inputs: Mapping[str, Artifact]  # by role
    store: Store
    run_folder: Path  # mutable, survives kill -9: checkpoints and logs go here, and a rerun finds them again
    reporter: Reporter
    interrupt: Interrupt
    spread: Spread | None = None  # None: all in this process

    @property
    def seed(self) -> int:
        """The profile's seed, from which everything random follows."""
        return self.profile.seed


@dataclass(frozen=True)
class Result:
    """What a stage produced: files to publish (path inside the artifact -> file on disk) and what to say of them."""

    files: Mapping[str, Path]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    contract: Contract | None = None
