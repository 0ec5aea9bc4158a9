import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from s2rctl.cli.main import main
from s2rctl.core.exits import ExitCode
from s2rctl.pipeline import graph
from s2rctl.pipeline.run import run_pipeline
from s2rctl.store.store import Store
from tests.pipeline import fake_stages

TOP = Path(__file__).resolve().parents[2]


COMMANDS = (
    "train-teacher", "distill", "train-reach", "export", "evaluate", "deploy", "calibrate-camera", "doctor", "emulate",
    "render", "robot recover", "sweep", "reproduce", *(f"pipeline {verb}" for verb in ("run", "plan", "status")),
    *(f"profile {verb}" for verb in ("list", "show", "validate", "schema", "diff")),
    *(f"artifacts {v}" for v in
      ("list", "show", "lineage", "why", "diff", "tag", "path", "export", "import", "verify", "gc", "rm")),
)  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in an empty folder with its own store and the fake pipeline in place of the xArm7's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2RCTL_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("S2RCTL_DEBUG", raising=False)
    monkeypatch.setattr(graph, "graph_of", lambda system: fake_stages.GRAPH)
    return tmp_path


@pytest.fixture
def call(here, capsys):
    """Return a function that runs a command line and gives (exit code, stdout, stderr)."""

    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def program(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    call = [sys.executable, "-m", "s2rctl.cli.main", *words]
    paths = {"PYTHONPATH": str(TOP)}
    return subprocess.run(
        call, env=os.environ | paths | environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_exit_codes_are_a_fixed_contract():
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0, "FAILURE": 1, "USAGE": 2, "PROFILE": 3, "ARTIFACT": 4, "GATE": 5, "SAFETY": 6, "ENVIRONMENT": 7,
        "LOCKED": 8, "BUG": 70, "INTERRUPTED": 130,
    }  # fmt: skip


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from s2rctl.cli.main import main;"
        "heavy = {'jax', 'mujoco', 'numpy', 'onnx', 'onnxruntime', 'yaml', 'rich', 'flax', 'matplotlib', 'scipy',"
        " 'cv2', 'mcap', 'safetensors', 'jinja2'};"
        "main(['--help']); print('HEAVY', sorted((heavy | {'pydantic'}) & set(sys.modules)));"
        "main(['pipeline', 'run', '--help']); print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count("HEAVY []") == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_two_examples_and_the_exit_codes(command, call):
    code, out, _ = call(*command.split(), "--help")
    flat = " ".join(out.split())
    assert code == 0 and flat.count(f"s2rctl {command}") >= 2 and "Exit codes:" in flat
    for option in ("--store", "--json", "--events", "--quiet", "--verbose"):
        assert option in out


def test_help_has_no_colour_codes():
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in program("--help", COLUMNS="80", **variables).stdout


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",), ("evaluate", "--episods", "3", "x"), ("evaluate", "x", "--episodes", "0"), ("train-teacher",),
        ("train-teacher", "-p", "aloha", "--phase", "fly"), ("artifacts", "lst"), (), ("pipeline",),
        ("distill", "-p", "xarm7-smoke"), ("distill", "-p", "aloha", "--set", "steps"),
        ("artifacts", "show", "../x"), ("artifacts", "list", "--kind", "onx"), ("emulate", "toaster"),
        ("deploy", "onnx/x", "--mode", "live"), ("deploy", "onnx/x", "--arm"), ("artifacts", "export", "x"),
        ("pipeline", "run", "-p", "xarm7-smoke", "--from", "secnd"),
    ],
)  # fmt: skip
def test_usage_errors_exit_with_2(words, call):
    code, _, err = call(*words)
    assert code == 2
    if words and words != ("pipeline",):
        assert re.fullmatch(r"error: \S.*\nhint: \S.*\n", err), err


@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        (("profile", "show", "alohha"), 3),
        (("profile", "show", "aloha", "--set", "teacher.pick.ppo.stepz=3"), 3),
        (("pipeline", "plan", "-p", "missing.yaml"), 3),
        (("artifacts", "show", "teacher/none"), 4),
        (("evaluate", "onnx/none"), 4),
        (("evaluate", "missing.onnx"), 4),
        (("artifacts", "import", "none.tar"), 4),
        (("render", "teacher/none"), 3),
    ],
)
def test_errors_are_two_lines_with_the_right_code_and_one_json_object(words, exit_code, call):
    code, out, err = call(*words)
    assert (code, out) == (exit_code, "") and re.fullmatch(r"error: \S.*\nhint: \S.*\n", err), err
    code, out, err = call(*words, "--json")
    value = json.loads(out)
    assert code == exit_code and out.count("\n") == 1
    assert value["schema"] == 1 and value["ok"] is False and set(value["error"]) == {"code", "message", "hint"}
    assert value["error"]["code"] == exit_code and f"error: {value['error']['message']}" in err


def test_profile_faults_come_all_at_once(call, here):
    (here / "bad.yaml").write_text("extends: aloha\nsed: 3\ndistill: {epochs: 0}\n")
    code, _, err = call("profile", "validate", "bad.yaml", "aloha")
    assert code == 3
    assert "bad.yaml:2: sed: unknown key; did you mean seed?" in err and "bad.yaml:3: distill.epochs:" in err
    assert err.splitlines()[-1].startswith("hint: ")


def test_profile_commands(call):
    code, out, _ = call("profile", "list", "--json")
    assert code == 0 and "aloha" in [p["name"] for p in json.loads(out)["data"]["profiles"]]
    code, out, _ = call("profile", "show", "aloha", "--origin", "--set", "seed=5")
    assert code == 0 and re.search(r"^seed +5 +--set seed=5$", out, re.M)
    code, out, _ = call("profile", "diff", "aloha", "aloha-smoke", "--json")
    paths = [item["path"] for item in json.loads(out)["data"]["differences"]]
    assert "encoder.images" in paths and "robot.name" not in paths
    code, out, _ = call("profile", "schema")
    assert code == 0 and "AlohaProfile" in json.loads(out)["$defs"]


def test_pipeline_run_status_and_no_op(call, here):
    code, out, err = call("pipeline", "run", "-p", "xarm7-smoke", "--json", "--events", "events.jsonl")
    value = json.loads(out)  # what a library prints is logged, and does not get into the object
    assert code == 0 and "noise from a library" not in out + err
    assert {"schema", "command", "ok", "data"} == set(value) and value["command"] == "pipeline run" and value["ok"]
    assert [(s["stage"], s["cached"]) for s in value["data"]["stages"]] == [
        ("first", False), ("second", False), ("third", False),
    ]  # fmt: skip
    events = [json.loads(line) for line in (here / "events.jsonl").read_text().splitlines()]
    assert {"start", "update", "finish", "note"} <= {event["event"] for event in events}
    code, out, err = call("pipeline", "run", "-p", "xarm7-smoke", "-q")
    assert code == 0 and out.count("cached") == 3 and err == ""
    code, out, _ = call("pipeline", "status", "-p", "xarm7-smoke")
    assert code == 0 and out.startswith("3 of 3 stages done")
    code, out, _ = call("pipeline", "run", "-p", "xarm7-smoke", "--dry-run", "--set", "evaluate.gate.episodes=5")
    assert code == 0 and re.search(r"^third +run +evaluate.gate.episodes 32 -> 5$", out, re.M)


def test_no_op_run_loads_no_jax(here):
    from s2rctl.core.progress import NullReporter
    from s2rctl.pipeline.run import Job
    from s2rctl.schema.load import load_profile

    profile = load_profile("xarm7-smoke").profile
    run_pipeline(fake_stages.GRAPH, Job(profile, Store(here / "store"), NullReporter(), ""))
    code = (
        "import sys; from tests.pipeline import fake_stages; from s2rctl.pipeline import graph;"
        "graph.graph_of = lambda system: fake_stages.GRAPH; from s2rctl.cli.main import main;"
        "code = main(['pipeline', 'run', '-p', 'xarm7-smoke']);"
        "print('LOADED', sorted({'jax', 'mujoco', 'onnx', 'flax'} & set(sys.modules)), code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(TOP)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "LOADED [] 0" in done.stdout


def test_missed_gate_shows_the_data_and_exits_with_5(call, here):
    (here / "gate").touch()
    code, out, err = call("pipeline", "run", "-p", "xarm7-smoke", "--json")
    value = json.loads(out)
    assert code == 5 and not value["ok"] and len(value["data"]["stages"]) == 3
    code, out, err = call("pipeline", "run", "-p", "xarm7-smoke")
    assert code == 5 and "evaluation/three" in out and err.splitlines()[-2].startswith("error: the gate is not met")


def test_a_bug_exits_with_70_logs_the_traceback_and_shows_none(call, here, monkeypatch):
    (here / "fail").touch()
    code, out, err = call("pipeline", "run", "-p", "xarm7-smoke", "-q")
    assert (code, out) == (70, "") and "Traceback" not in err
    log = re.search(r"report it with (\S+)", err)
    assert "error: unexpected ZeroDivisionError: made to fail" in err and log
    assert "made to fail" in Path(log[1]).read_text() and "Traceback" in Path(log[1]).read_text()
    monkeypatch.setenv("S2RCTL_DEBUG", "1")
    assert "Traceback" in call("pipeline", "run", "-p", "xarm7-smoke", "-q")[2]


def test_missing_package_names_the_extra(call, monkeypatch):
    def absent(_):
        raise ModuleNotFoundError("No module named 'jax'", name="jax.numpy")

    monkeypatch.setattr(fake_stages.Stage, "load", absent)
    code, _, err = call("pipeline", "run", "-p", "xarm7-smoke")
    assert code == 7 and "hint: pip install 's2rctl[sim]'" in err


def test_store_that_is_a_file_exits_with_2(call, here):
    (here / "file").write_text("")
    code, _, err = call("pipeline", "run", "-p", "xarm7-smoke", "--store", "file")
    assert code == 2 and "hint: choose another place with --store DIR" in err


def test_artifact_commands(call, here):
    call("pipeline", "run", "-p", "xarm7-smoke")
    code, out, _ = call("artifacts", "list", "--json")
    listed = json.loads(out)["data"]["artifacts"]
    assert [item["ref"] for item in listed] == ["teacher/one", "student/two", "evaluation/three"]
    assert listed[0]["refs"] == ["teacher/one:latest", "teacher/one:xarm7-smoke"]
    assert call("artifacts", "show", "student/two")[1].startswith("id ")
    code, out, _ = call("artifacts", "lineage", "student/two")
    assert out.splitlines()[1].startswith("  one: teacher/one ") and "nothing was made from it" in out
    assert "  one: student/two" in call("artifacts", "lineage", "teacher/one", "--down")[1]
    assert "now: up to date" in call("artifacts", "why", "student/two")[1]
    code, out, _ = call("artifacts", "why", "teacher/one", "-p", "xarm7-smoke", "--set", "simulation.substeps=5")
    assert "now: would be made again: simulation.substeps 10 -> 5" in out
    assert "file.out.txt" in call("artifacts", "diff", "teacher/one", "student/two")[1]
    code, out, _ = call("artifacts", "path", "teacher/one", "out.txt")
    assert Path(out.strip()).read_text() == "first 10 0"
    assert call("artifacts", "path", "teacher/one", "none.txt")[0] == 4
    assert call("artifacts", "tag", "student/two", "good")[0] == 0
    code, out, _ = call("artifacts", "export", "student/two:good", "x.tar", "--json")
    assert json.loads(out)["data"]["refs"].keys() == {"student/two:good"}
    code, out, _ = call("artifacts", "import", "x.tar", "--store", "other", "--alias", "pretrained")
    assert code == 0 and "student/two:pretrained" in out
    assert call("artifacts", "verify", "--full", "--store", "other")[0] == 0
    assert call("artifacts", "rm", "teacher/one")[0] == 2  # needs --yes
    assert call("artifacts", "rm", "teacher/one", "--yes")[0] == 2  # student/two was made from it
    assert call("artifacts", "rm", "evaluation/three", "--yes")[0] == 0
    assert call("artifacts", "gc")[0] == 0


def test_pretrained_artifacts_come_by_name_and_where_they_are_missing_the_hint_says_so(call):
    code, _, err = call("artifacts", "import", "aloha-teacherz")
    assert code == 4 and "aloha-teachers" in err
    code, out, _ = call("artifacts", "import", "aloha-teachers")
    assert code == 0 and "teacher/pick:pretrained" in out and "teacher/insert:pretrained" in out


def test_corrupt_artifact_is_named_by_verify_and_refused_by_path(call, here):
    call("pipeline", "run", "-p", "xarm7-smoke")
    blob = Path(call("artifacts", "path", "teacher/one", "out.txt")[1].strip())
    blob.chmod(0o644)
    blob.write_text("first 10 1")
    code, out, err = call("artifacts", "path", "teacher/one")
    assert code == 4 and "corrupt" in err and "verify --full" in err
    code, out, err = call("artifacts", "verify", "--full", "--json")
    value = json.loads(out)
    assert code == 4 and value["data"]["problems"][0]["fault"] == "blob-corrupt"
    assert "teacher/one" in value["data"]["problems"][0]["affected"][0]
    assert call("pipeline", "run", "-p", "xarm7-smoke")[0] == 0
    assert call("artifacts", "verify", "--full")[0] == 0


def test_wrong_kind_of_artifact_is_refused(call):
    call("pipeline", "run", "-p", "xarm7-smoke")
    for words in (("evaluate", "evaluation/three"), ("export", "evaluation/three"), ("deploy", "teacher/one")):
        code, _, err = call(*words)
        assert code == 4 and "is of kind" in err


def test_reader_that_goes_away_is_no_bug(here):
    done = subprocess.run(
        f"{sys.executable} -m s2rctl.cli.main profile schema | head -1",
        shell=True, env=os.environ | {"PYTHONPATH": str(TOP)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "{\n" and done.stderr == ""
