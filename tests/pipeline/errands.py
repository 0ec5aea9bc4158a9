"""A piece of work that costs nothing and can misbehave in every way; counts in a file how often it was begun."""

import os
import signal
import time
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from s2rctl.core.errors import Interrupted, S2rError
from s2rctl.core.progress import Reporter
from s2rctl.schema.manifest import StageRef
from s2rctl.stages.work import Work
from s2rctl.store.store import Artifact, Store


@dataclass(frozen=True)
class Done:
    index: int
    text: str = ""
    error: str = ""
    process: int = 0
    store: str = ""
    artifact: str = ""


def publish(store: Store, text: str, key: str | None = None) -> Artifact:
    source = store.scratch() / "errand.txt"
    source.write_text(text)
    stage = StageRef(name="train", version=1)
    return store.publish("teacher", "errand", {"out.txt": source}, stage=stage, profile={"n": text}, seed=0, key=key)


@dataclass(frozen=True)
class Errand(Work):
    log: str  # file
    deed: str = "write"  # die, die once, stop, wait: otherwise it publishes what it reads
    reads: str = ""  # id

    def do(self, reporter: Reporter) -> Done:
        with Path(self.log).open("a") as log:
            log.write(f"{self.name}\n")
        if self.deed == "die" or (self.deed == "die once" and self._often() == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.deed == "stop":
            raise Interrupted("somebody asked")
        if self.deed == "wait":
            time.sleep(600)
        store = Store(Path(self.store))
        before = store.get(self.reads).path("out.txt").read_text() if self.reads else ""
        made = publish(store, f"{before}{self.name} ", key=f"{self.index:064x}")
        return Done(self.index, before + self.name, process=os.getpid(), store=self.store, artifact=made.id)

    def lost(self, error: S2rError) -> Done:
        return Done(self.index, error=error.message)

    def needs(self, store: Store) -> Set[str]:
        return {self.reads} if self.reads else set()

    def made(self, outcome: Done) -> Set[str]:
        return {outcome.artifact}

    def _often(self) -> int:
        return Path(self.log).read_text().split("\n").count(self.name)
