import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from s2rctl.cli.main import main
from s2rctl.core.errors import ArtifactError, GateError, StoreLockedError, UsageError
from s2rctl.core.progress import NullReporter
from s2rctl.pipeline.graph import graph_of, producer_of, stage_named
from s2rctl.pipeline.key import cache_key, read_fields
from s2rctl.pipeline.plan import make_plan
from s2rctl.pipeline.run import Job, check_gates, make_inputs, run_alone, run_pipeline
from s2rctl.schema.load import load_profile
from s2rctl.store.lock import locked
from s2rctl.store.store import Store
from s2rctl.store.verify import verify
from tests.pipeline.fake_stages import GRAPH
from tests.waiting import HANG_S, wait_for

TOP = Path(__file__).parents[2]

from tests.terminal import Terminal  # noqa: E402


def make_job(folder: Path, sets: tuple[str, ...] = (), seed: int | None = None, **options: bool) -> Job:
    profile = load_profile("xarm7-smoke", sets, seed).profile
    return Job(profile, Store(folder / "store"), NullReporter(), "s2rctl pipeline run", **options)


def calls(folder: Path) -> list[str]:
    log = folder / "calls.log"
    lines = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def reasons(folder: Path, job: Job, **options: object) -> dict[str, tuple[str, str]]:
    steps = make_plan(GRAPH, job.profile, job.store, **options)
    return {step.stage.name: (step.action, step.reason) for step in steps}


def test_second_run_does_nothing_and_refs_name_the_results(tmp_path):
    job = make_job(tmp_path)
    assert {action for action, _ in reasons(tmp_path, job).values()} == {"run"}
    outcomes = run_pipeline(GRAPH, job)
    assert calls(tmp_path) == ["first@0", "second@0", "third@0"]
    again = run_pipeline(GRAPH, make_job(tmp_path))
    assert calls(tmp_path) == [] and all(outcome.cached for outcome in again)
    assert [o.artifact.id for o in again] == [o.artifact.id for o in outcomes]
    for ref in ("student/two", "student/two:xarm7-smoke"):
        assert job.store.resolve(ref).id == outcomes[1].artifact.id
    assert {action for action, _ in reasons(tmp_path, job).values()} == {"cached"}
    assert [p for p in (job.store.root / "runs").iterdir() if p.is_dir()] == []  # what is published is not kept twice
    assert verify(job.store, full=True).clean


def test_only_what_reads_a_changed_field_runs_and_plan_says_why(tmp_path):
    run_pipeline(GRAPH, make_job(tmp_path))
    calls(tmp_path)
    gate = make_job(tmp_path, ("evaluate.gate.episodes=9",))
    assert reasons(tmp_path, gate) == {
        "first": ("cached", "nothing changed"),
        "second": ("cached", "nothing changed"),
        "third": ("run", "evaluate.gate.episodes 32 -> 9"),
    }
    run_pipeline(GRAPH, gate)
    assert calls(tmp_path) == ["third@0"]
    physics = make_job(tmp_path, ("simulation.substeps=5",))
    assert reasons(tmp_path, physics)["first"] == ("run", "simulation.substeps 10 -> 5")
    assert reasons(tmp_path, physics)["second"] == ("run", "made from what first will make")
    run_pipeline(GRAPH, physics)
    assert calls(tmp_path) == ["first@0", "second@0"]  # the third does not read it
    # back to the first settings: everything is still there
    run_pipeline(GRAPH, make_job(tmp_path))
    assert calls(tmp_path) == []
    assert "first 10 0" in make_job(tmp_path).store.resolve("student/two").path("out.txt").read_text()


def test_seed_version_and_never_made(tmp_path):
    run_pipeline(GRAPH, make_job(tmp_path))
    assert reasons(tmp_path, make_job(tmp_path, seed=3))["first"] == ("run", "seed 0 -> 3")
    job = make_job(tmp_path)
    newer = [replace(GRAPH[0], version=2)]
    assert make_plan(newer, job.profile, job.store)[0].reason == "stage version 1 -> 2"
    fresh = [replace(GRAPH[0], output="new")]
    assert make_plan(fresh, job.profile, job.store)[0].reason == "never made"


def test_from_and_force(tmp_path):
    run_pipeline(GRAPH, make_job(tmp_path))
    calls(tmp_path)
    run_pipeline(GRAPH, make_job(tmp_path), from_stage="first")
    assert calls(tmp_path) == ["first@0", "second@0"]
    run_pipeline(GRAPH, make_job(tmp_path), from_stage="second")
    assert calls(tmp_path) == ["second@0"]
    run_pipeline(GRAPH, make_job(tmp_path, force=True))
    assert calls(tmp_path) == ["first@0", "second@0", "third@0"]
    with pytest.raises(UsageError, match="no stage 'secnd'") as caught:
        run_pipeline(GRAPH, make_job(tmp_path), from_stage="secnd")
    assert "second" in caught.value.hint


def test_damaged_result_is_noticed_and_made_again(tmp_path):
    job = make_job(tmp_path)
    made = run_pipeline(GRAPH, job)[0].artifact
    calls(tmp_path)
    job.store.blobs.path(made.files["out.txt"].sha256).unlink()
    action, reason = reasons(tmp_path, job)["first"]
    assert action == "run" and reason == "damaged in the store: out.txt"
    run_pipeline(GRAPH, make_job(tmp_path))
    assert calls(tmp_path) == ["first@0"]  # the same bytes came back, so nothing behind it changed
    assert verify(job.store, full=True).clean


def test_failure_keeps_what_was_done_and_the_next_run_goes_on(tmp_path):
    (tmp_path / "fail").touch()
    with pytest.raises(ZeroDivisionError):
        run_pipeline(GRAPH, make_job(tmp_path))
    (tmp_path / "fail").unlink()
    run_pipeline(GRAPH, make_job(tmp_path))
    assert calls(tmp_path) == ["first@0", "second@0", "second@0", "third@0"]


def test_missed_gate_lets_the_rest_run_and_is_reported_even_when_cached(tmp_path):
    (tmp_path / "gate").touch()
    for _ in range(2):
        outcomes = run_pipeline(GRAPH, make_job(tmp_path))
        with pytest.raises(GateError, match="third"):
            check_gates(outcomes)
    check_gates(outcomes[:2])


def test_stage_alone_takes_its_inputs_from_the_store(tmp_path):
    job = make_job(tmp_path)
    with pytest.raises(ArtifactError, match="second needs teacher/one") as caught:
        make_inputs(GRAPH, GRAPH[1], job)
    assert caught.value.hint.startswith("s2rctl pipeline run -p xarm7-smoke")
    one = run_alone(GRAPH[0], job, {}).artifact
    other = run_alone(GRAPH[0], make_job(tmp_path, ("simulation.substeps=5",)), {}).artifact
    assert job.store.resolve("teacher/one").id == other.id
    # not the latest, but the one that these settings give
    assert make_inputs(GRAPH, GRAPH[1], job)["one"].id == one.id
    outcome = run_alone(GRAPH[1], job, make_inputs(GRAPH, GRAPH[1], job))
    assert not outcome.cached and outcome.artifact.manifest.content.inputs[0].id == one.id


def test_a_run_folder_belongs_to_one_process(tmp_path):
    job = make_job(tmp_path)
    folder = job.store.run_folder(cache_key(GRAPH[0], job.profile, {}))
    lock = folder.parent / f".{folder.name}.lock"
    with locked(lock, "the run"), pytest.raises(StoreLockedError, match=f"run of first .*{os.getpid()}"):
        run_alone(GRAPH[0], job, {})


def test_read_fields_refuses_what_the_profile_does_not_have():
    with pytest.raises(UsageError, match="reads 'teacher'"):
        read_fields(replace(GRAPH[0], reads=("teacher",)), {"system": "x"})


PROGRAM = """
import sys; from pathlib import Path
from tests.pipeline import test_run
from s2rctl.core.errors import S2rError
try:
    test_run.run_pipeline(test_run.GRAPH, test_run.make_job(Path(sys.argv[1])))
except S2rError as error:
    sys.stderr.write(f"error: {error.message}\\nhint: {error.hint}\\n")
    sys.exit(int(error.exit_code))
"""


def start(folder: Path) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": str(TOP)}
    call = [sys.executable, "-c", PROGRAM, str(folder)]
    return subprocess.Popen(call, env=environment, stderr=subprocess.PIPE, text=True)


def test_kill_9_then_the_same_command_resumes(tmp_path):
    (tmp_path / "kill").touch()
    process = start(tmp_path)
    process.communicate(timeout=HANG_S)
    assert process.returncode == -signal.SIGKILL
    store = Store(tmp_path / "store")
    assert verify(store, full=True).clean and store.list() == []
    assert reasons(tmp_path, make_job(tmp_path))["first"][0] == "resume"
    process = start(tmp_path)
    process.communicate(timeout=HANG_S)
    assert process.returncode == 0
    assert calls(tmp_path) == ["first@0", "first@3", "second@0", "third@0"]
    assert verify(store, full=True).clean


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_checkpoints_and_names_the_command_that_resumes(tmp_path, number):
    (tmp_path / "wait").touch()
    process = start(tmp_path)
    marks = tmp_path / "store" / "runs"
    assert wait_for(lambda: any(mark.read_text() == "3" for mark in marks.glob("*/checkpoint")))
    process.send_signal(number)
    _, said = process.communicate(timeout=HANG_S)
    assert process.returncode == 130
    assert "first was interrupted" in said and "hint: to resume: s2rctl pipeline run" in said
    (tmp_path / "wait").unlink()
    run_pipeline(GRAPH, make_job(tmp_path))
    assert calls(tmp_path) == ["first@0", "first@3", "second@0", "third@0"]


ON_A_TERMINAL = """
import sys; from dataclasses import replace; from pathlib import Path
from tests.pipeline import test_run
from s2rctl.cli.progress import make_reporter
from s2rctl.core.errors import S2rError
job = replace(test_run.make_job(Path(sys.argv[1])), reporter=make_reporter(False, None))
try:
    test_run.run_pipeline(test_run.GRAPH, job)
except S2rError as error:
    Path(sys.argv[1], "ended").write_text(f"{int(error.exit_code)} {error.message}")
"""


@pytest.mark.parametrize("shell", [False, True])
@pytest.mark.parametrize("bars", [True, False])
def test_a_terminal_that_hangs_up_leaves_a_checkpoint_and_no_harm(tmp_path, shell, bars):
    """A shell that goes with its terminal lets the kernel signal the command; without one the command gets it first."""
    (tmp_path / "wait").touch()
    call = [sys.executable, "-c", ON_A_TERMINAL, str(tmp_path)]
    if shell:
        call = ["sh", "-c", '"$@"; echo over', "sh", *call]
    environment = os.environ | {"PYTHONPATH": str(TOP), "TERM": "xterm" if bars else "dumb"}
    environment.pop("CI", None)
    with Terminal(call, environment) as terminal:
        marks = tmp_path / "store" / "runs"
        assert wait_for(lambda: any(mark.read_text() == "3" for mark in marks.glob("*/checkpoint")), 60)
        terminal.hang_up()
        assert wait_for((tmp_path / "ended").exists, 60), terminal.said
    assert (tmp_path / "ended").read_text() == "130 first: first was interrupted"
    (tmp_path / "wait").unlink()
    run_pipeline(GRAPH, make_job(tmp_path))
    assert calls(tmp_path) == ["first@0", "first@3", "second@0", "third@0"]


def test_fresh_forgets_a_half_finished_run(tmp_path):
    (tmp_path / "kill").touch()
    process = start(tmp_path)
    process.communicate(timeout=HANG_S)
    run_pipeline(GRAPH, make_job(tmp_path, fresh=True))
    assert calls(tmp_path) == ["first@0", "first@0", "second@0", "third@0"]


def test_who_lacks_teachers_is_told_of_the_pretrained_ones(tmp_path):
    profile = load_profile("aloha-smoke", (), None).profile
    job = Job(profile, Store(tmp_path / "store"), NullReporter(), "s2rctl distill")
    graph = graph_of("aloha")
    with pytest.raises(ArtifactError, match="distill needs teacher/") as caught:
        make_inputs(graph, stage_named(graph, "distill"), job)
    assert "s2rctl pipeline run -p aloha-smoke" in caught.value.hint
    assert "s2rctl artifacts import aloha-teachers " in caught.value.hint


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("aloha-robust", "teacher/pick"),
        ("aloha-robust", "teacher/insert"),
        ("aloha-robust", "encoder/aloha"),
        ("aloha-robust", "student/aloha"),
        ("xarm7-robust", "encoder/xarm7"),
        ("xarm7-robust", "reach/xarm7"),
    ],
)
def test_a_profile_with_pretrained_artifacts_of_its_own_names_those_and_finds_them(tmp_path, name, wanted):
    profile = load_profile(name, (), None).profile
    job = Job(profile, Store(tmp_path / "store"), NullReporter(), "s2rctl distill")
    graph = graph_of(profile.system)
    kind, output = wanted.split("/")
    maker = next(stage for stage in graph if (stage.kind, stage.output) == (kind, output))
    user = next(s for s in graph if any(producer_of(graph, item) is maker for item in s.inputs))
    one = replace(user, inputs=tuple(item for item in user.inputs if producer_of(graph, item) is maker))
    with pytest.raises(ArtifactError, match=f"needs {wanted}") as caught:
        make_inputs(graph, one, job)
    command = re.search(r"s2rctl (artifacts import \S+-robust --alias \S+)", caught.value.hint)
    assert main([*command[1].split(), "--store", str(tmp_path / "store")]) == 0
    assert len(make_inputs(graph, one, job)) == 1
