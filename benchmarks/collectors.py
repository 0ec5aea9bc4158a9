"""Collectors of a student: what acting, labelling and learning cost, what is sent, and where more stop helping.

``python -m benchmarks collectors`` uses the Aloha's pretrained teachers. First both parts run in turn in this process,
and their CPU time is taken, which other programs on the computer change little. Then a short distillation runs with no,
one and two actors on a Ray cluster of this computer (skipped where Ray is not installed); those are clock times.
"""

import sys
import tempfile
import time
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.core.resources import pretrained
from s2rctl.env.keys import make_key
from s2rctl.learning.student import network as student
from s2rctl.learning.student.collect import Group
from s2rctl.learning.student.distill import Collector, Distiller
from s2rctl.learning.student.snapshot import Samples, Snapshot
from s2rctl.pipeline.graph import graph_of, stage_named
from s2rctl.pipeline.launch import launcher_of
from s2rctl.schema.distillation import Distill
from s2rctl.schema.launcher import Launcher
from s2rctl.schema.load import load_profile
from s2rctl.stages.distill_build import make_distiller
from s2rctl.stages.distill_groups import recipes_of
from s2rctl.stages.protocol import Context
from s2rctl.store.archive import import_archive
from s2rctl.store.store import Store

WORLDS, STEPS, ITERATIONS, WARM = 256, 6, 10, 3
"""The first iterations compile and are not counted."""
ACTORS = (0, 1, 2)
CORES = (1, 2, 4, 16, 64, 256)


def main() -> None:
    """Measure and print the tables; words ``finetuned`` and ``frozen`` choose whether the encoder learns."""
    chosen = [word for word in sys.argv[1:] if word in ("finetuned", "frozen")] or ["finetuned", "frozen"]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        import_archive(store, pretrained()["aloha-teachers"])
        for encoder in chosen:
            measure(store, Path(folder), encoder)


def measure(store: Store, folder: Path, encoder: str) -> None:
    """Print what one kind of student costs."""
    collect, fit, sent, got = costs(context(store, folder, encoder, 0), folder)
    samples = WORLDS * STEPS
    print(f"\nencoder {encoder}: {samples} samples in an iteration")
    print(f"  CPU time of acting and labelling {1e3 * collect:.3f} ms for a sample, of learning {1e3 * fit:.3f} ms")
    print(f"  sent for a sample {got / samples:,.0f} bytes, and a student of {sent / 1e6:.2f} MB to each collector")
    print(f"  {'collectors':>10} {'samples/s':>10} {'learner waits':>14}   (a core each, the learner on another)")
    for cores in CORES:
        took, waits = predicted(collect, fit, cores)
        print(f"  {cores:>10} {1 / took:>10.0f} {waits:>13.0%}   predicted")
    print(f"  from {collect / fit:.1f} collectors for each core that the learner has, it no longer waits")
    for actors in ACTORS:
        try:
            rate, waits = distilled(context(store, folder, encoder, actors))
        except Exception as error:
            print(f"  {actors:>10} {type(error).__name__}: {error}")
            break
        print(f"  {actors or 'local':>10} {rate:>10.0f} {waits:>13.0%}   measured, by the clock", flush=True)


def predicted(collect: float, fit: float, cores: int) -> tuple[float, float]:
    """Return seconds for a sample and the share of them that the learner waits; both parts overlap."""
    took = max(collect / cores, fit)
    return took, 1 - fit / took


def context(store: Store, folder: Path, encoder: str, collectors: int) -> Context:
    """Return what the stage is given. The encoder has random weights: what it says does not matter here."""
    sets = [f"worlds={WORLDS}", f"steps={STEPS}", f"iterations={ITERATIONS}", f"collectors={collectors}"]
    profile = load_profile(
        "aloha", [f"distill.{text}" for text in (*sets, f"encoder={encoder}", "aggregate=0")]
    ).profile
    stage = stage_named(graph_of(profile.system), "distill")
    inputs = {
        item.role: store.resolve(f"{item.kind}/{item.name}:pretrained")
        for item in stage.inputs
        if item.kind == "teacher"
    }
    run = Path(tempfile.mkdtemp(dir=folder))
    return Context(stage, profile, inputs, store, run, NullReporter(), Interrupt())


def costs(context: Context, folder: Path) -> tuple[float, float, int, int]:
    """Return CPU s for a sample of acting and of learning, and bytes: a student's, and an iteration's samples'."""
    distiller = make_distiller(context)
    params = student.init(make_key(0), distiller.settings)
    group = Group(distiller, params)
    snapshot = distiller.start(params)
    acting = learning = 0.0
    for number in range(ITERATIONS):
        begun = time.process_time()
        group.ask(number, params)
        samples = group.take()
        between = time.process_time()
        snapshot, _ = distiller.fit(snapshot, samples)
        jax.block_until_ready(snapshot.params)
        if number >= WARM:
            acting += between - begun
            learning += time.process_time() - between
    count = (ITERATIONS - WARM) * WORLDS * STEPS
    fixed = ("encoder",) if distiller.distill.encoder == "frozen" else ()
    sent = {name: value for name, value in params.items() if name not in fixed}
    return acting / count, learning / count, size(sent), size(samples.rows)


def size(tree: Any) -> int:
    """Return the bytes of all arrays."""
    return sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(tree))


@dataclass
class Clock:
    """When each part of each iteration ended, s."""

    collected: list[float] = field(default_factory=list)
    fitted: list[float] = field(default_factory=list)

    def rate(self) -> tuple[float, float]:
        """Return samples per second, and the share of the time that the learner waits."""
        ends = [max(pair) for pair in zip(self.collected[1:], self.fitted, strict=False)]
        spans = np.diff(ends)[WARM - 1 :]
        waits = np.maximum(np.subtract(self.collected[1 : len(ends) + 1], self.fitted[: len(ends)]), 0)[WARM:]
        return WORLDS * STEPS * len(spans) / float(spans.sum()), float(waits.sum() / spans.sum())


@dataclass(frozen=True, eq=False)
class Timed(Distiller):
    """A distillation that notes when it has fitted."""

    clock: Clock = field(default_factory=Clock)

    def fit(self, snapshot: Snapshot, samples: Samples) -> tuple[Snapshot, dict[str, float]]:
        """Fit, and note the end."""
        fitted = super().fit(snapshot, samples)
        jax.block_until_ready(fitted[0].params)
        self.clock.fitted.append(time.monotonic())
        return fitted


@dataclass(frozen=True)
class Noting:
    """A collector that notes when it has collected."""

    inner: Collector
    clock: Clock

    def collect(self, snapshot: Snapshot) -> Samples:
        """Collect, and note the end."""
        samples = self.inner.collect(snapshot)
        self.clock.collected.append(time.monotonic())
        return samples


def distilled(context: Context) -> tuple[float, float]:
    """Distil, and return samples per second and the share of the time that the learner waits."""
    distill = context.profile.section("distill", Distill)
    made = make_distiller(context, acts=not distill.collectors)
    params = student.init(make_key(0), made.settings)
    if not distill.collectors:
        return timed(made, None, params)
    recipes = recipes_of(context, distill)
    with launcher_of(Launcher(on="ray")).collector(recipes, params, context.run_folder) as collector:
        return timed(made, collector, params)


def timed(made: Distiller, collector: Collector | None, params: student.Params) -> tuple[float, float]:
    """Run a distillation to its end by the clock."""
    clock = Clock()
    values = {item.name: getattr(made, item.name) for item in fields(made)}
    distiller = Timed(**values, clock=clock)
    start = replace(distiller, collector=collector).start(params)
    replace(distiller, collector=Noting(collector or made, clock)).run(start, _nothing, _nothing, Interrupt())
    return clock.rate()


def _nothing(*_: Any) -> None:
    pass


if __name__ == "__main__":
    main()
