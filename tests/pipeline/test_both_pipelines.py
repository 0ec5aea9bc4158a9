"""Both pipelines end to end at smoke budgets, each stage held to what it declares to read of the profile.

A stage that reads a value which is not in its cache key would be taken from the cache after that value has changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.env import build
from s2rctl.pipeline.demonstration import demonstrate
from s2rctl.pipeline.graph import graph_of, sensitivity_stage, stage_named, tiers_stage
from s2rctl.pipeline.run import Job, Outcome, run_stage
from s2rctl.schema.load import load_profile
from s2rctl.store.store import Artifact, Store
from s2rctl.store.verify import verify
from s2rctl.systems import system_named
from s2rctl.systems.protocol import APART, EVERYTHING, Stage
from tests.recording_profile import recording

pytestmark = pytest.mark.pipelines

BUDGETS = {
    "aloha-smoke": (
        *(f"teacher.{phase}.warm_start.{part}" for phase in ("pick", "insert") for part in ("rounds=1", "steps=50")),
        *(f"teacher.{phase}.ppo.steps=1280" for phase in ("pick", "insert")),
        "encoder.images=128",
        "distill.iterations=2",
        "export.observations=256",
    ),
    "xarm7-smoke": ("extractor.images=128", "reach.steps=800", "reach.warmup=200", "export.observations=256"),
}
"""Smaller than the profiles' own: what is learned is of no interest here."""

BRANCHES = {
    "aloha-smoke": (
        ("evaluate", ("evaluate.perturb={latency: 0.03, brightness: 1.5, noise: 2.0}",)),
        ("rehearse", ("deploy.rehearsal.through=driver", "deploy.rehearsal.max_safety_stops=1")),
    ),
    "xarm7-smoke": (
        ("evaluate", ("evaluate.perturb={latency: 0.03, brightness: 1.5}",)),
        ("rehearse", ("deploy.rehearsal.through=driver", "deploy.rehearsal.max_safety_stops=1")),
    ),
}
"""Stages that read other values under other settings."""

FREE = {
    "system": "chooses the graph; a key holds the stage and what it makes",
    "seed": "in every key by itself",
    "name": "names results, changes none",
    "description": "is printed",
    "wandb": "where figures are copied to",
    "identification": "how the robot is excited and judged by hand; what is found is written into other sections",
    "evaluate.gate.tiers": "what figures of tiers are held against, whenever they are read",
    "simulation.threads": "how fast a result comes",
    "simulation.contacts": "how much memory is reserved",
    "robot.driver": "a rehearsal always speaks the vendor's own protocol",
    "robot.address": "where the real device is; an emulated one has its own",
    "robot.ports": "where the real device is; an emulated one has its own",
}
"""What may be read without being declared, and why."""


@dataclass(frozen=True)
class Done:
    """A stage that ran, and the profile values that it read."""

    stage: Stage
    outcome: Outcome
    reads: frozenset[str]

    @property
    def undeclared(self) -> list[str]:
        if EVERYTHING in self.stage.reads:
            return []
        return sorted(path for path in self.reads if not within(path, (*self.stage.reads, *FREE)))


def within(path: str, prefixes: Iterable[str]) -> bool:
    """Whether one of the prefixes covers the path; parts that stand apart have to be named."""
    room, _, part, *_ = (*path.split("."), "", "")
    shortest = 3 if room == "tasks" and part in APART else 1
    covering = [prefix for prefix in prefixes if path == prefix or path.startswith(f"{prefix}.")]
    return any(len(prefix.split(".")) >= shortest for prefix in covering)


def execute(stage: Stage, name: str, sets: Sequence[str], store: Store, inputs: Mapping[str, Artifact]) -> Done:
    """Run one stage with a profile that nobody has seen, so that nothing was read or compiled before it."""
    build._shared.cache_clear()
    reads: set[str] = set()
    job = Job(recording(load_profile(name, sets).profile, reads), store, NullReporter(), "s2rctl pipeline run")
    outcome = run_stage(stage, job, inputs, Interrupt())
    assert not outcome.cached, f"{stage.name} did not run"
    return Done(stage, outcome, frozenset(reads))


class Pipeline:
    """A pipeline that ran."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.store, self.done = name, Store(folder), dict[str, Done]()
        self.graph = graph_of(load_profile(name).profile.system)
        for stage in self.graph:
            self.done[stage.name] = self.run(stage, (), self.store)

    def run(self, stage: Stage, sets: Sequence[str], store: Store) -> Done:
        made = {(done.stage.kind, done.stage.output): done.outcome.artifact for done in self.done.values()}
        inputs = {wanted.role: made[(wanted.kind, wanted.name)] for wanted in stage.inputs}
        return execute(stage, self.name, (*BUDGETS[self.name], *sets), store, inputs)


@pytest.fixture(scope="module", params=BUDGETS)
def pipeline(request, tmp_path_factory):
    return Pipeline(request.param, tmp_path_factory.mktemp(request.param))


def test_each_stage_reads_only_what_it_declares(pipeline):
    assert {name: done.undeclared for name, done in pipeline.done.items() if done.undeclared} == {}


def test_so_do_stages_under_other_settings(pipeline, tmp_path):
    found = {}
    for name, sets in BRANCHES[pipeline.name]:
        done = pipeline.run(stage_named(pipeline.graph, name), sets, Store(tmp_path))
        if done.undeclared:
            found[name] = done.undeclared
    assert found == {}


TIERS = (
    "evaluate.worlds=2", "evaluate.tiers.episodes=2", "evaluate.tiers.films=0",
    "evaluate.tiers.sensitivity={episodes: 1, multiples: [1], look_multiples: [1], axes: [gain, table_lightness]}",
)  # fmt: skip


def test_so_do_evaluations_in_other_worlds(pipeline, tmp_path):
    system = system_named(load_profile(pipeline.name).profile.system)
    for made in (tiers_stage, sensitivity_stage):
        done = pipeline.run(made(system, system.deployed), TIERS, Store(tmp_path))
        assert done.undeclared == []
        assert any(within(path, ("evaluate.tiers",)) for path in done.reads)


def test_each_stage_reads_something_of_what_it_declares(pipeline):
    """Otherwise this file would prove nothing."""
    for done in pipeline.done.values():
        if EVERYTHING not in done.stage.reads:
            own = done.reads - {"simulation.compilation"}  # is asked before any stage begins
            assert any(within(path, done.stage.reads) for path in own), done.stage.name


def test_each_stage_leaves_its_artifact(pipeline):
    for done in pipeline.done.values():
        artifact = pipeline.store.resolve(f"{done.stage.kind}/{done.stage.output}:{pipeline.name}")
        assert artifact.id == done.outcome.artifact.id and artifact.intact() and artifact.files
    assert verify(pipeline.store, full=True).clean


def test_the_exported_graphs_pass_the_parity_gate(pipeline):
    exports = [done.outcome.artifact for done in pipeline.done.values() if done.stage.kind == "onnx"]
    assert exports
    for artifact in exports:
        assert artifact.path("policy.onnx").stat().st_size > 1000
        report = artifact.json("parity.json")
        assert report["passed"] and report["limit"] == 1e-5 and report["closed_loop"]["passed"]
        assert report["agreement"] and all(row["passed"] for row in report["agreement"])


def test_the_report_tells_of_every_stage(pipeline):
    artifact = pipeline.done["report"].outcome.artifact
    text = next(path for path in artifact.files if path.endswith(".html"))
    page = artifact.path(text).read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and page.rstrip().endswith("</html>")
    for done in pipeline.done.values():
        if done.stage.name != "report":
            assert done.outcome.artifact.id[:12] in page, done.stage.name


def test_a_demonstration_shows_the_ready_policy_at_work_and_runs_no_stage_twice(pipeline):
    job = Job(
        load_profile(pipeline.name, BUDGETS[pipeline.name]).profile, pipeline.store, NullReporter(), "s2rctl demo"
    )
    films: list[Path | None] = []
    found = demonstrate(job, films.append)
    made = pipeline.done["report"].outcome.artifact
    assert Path(found["smoke"]["report"]).read_bytes() == made.path("report.html").read_bytes()
    policy = pipeline.store.resolve(found["policy"])
    assert pipeline.store.resolve(policy.ref).id == policy.id, "without an alias it is the policy that works"
    evaluation = pipeline.store.resolve(f"{policy.ref.replace('onnx/', 'evaluation/')}:{found['profile']}-demo")
    figures = evaluation.manifest.origin.metrics
    assert figures["policy_id"] == policy.id and figures["episodes"] == 32 and figures["successes"] >= 16
    if not found["rehearsal"]["text"].startswith("stopped"):  # by a computer that is too busy for real time
        assert films[0] is not None and found["rehearsal"]["film"] == str(films[0])
        assert films[0].stat().st_size > 10_000
    page = Path(found["report"]).read_text(encoding="utf-8")
    assert policy.id[:12] in page and str(figures["text"]) in page
    before = {artifact.id for artifact in pipeline.store.list()}
    assert demonstrate(job, films.append) | {"rehearsal": {}} == found | {"rehearsal": {}}
    if films[0] is not None:
        assert {artifact.id for artifact in pipeline.store.list()} == before
