"""A robot, a task and a system of an installed extension run from training to rehearsal, the package unchanged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXTENSION = Path(__file__).parent / "extension"
PROFILE = EXTENSION / "reacher.yaml"


# All commands in one process: what one of them imported and compiled, the next one need not.
COMMANDS = """
import contextlib, io, json, sys
from s2rctl.cli.main import main
for line in sys.stdin:
    sys.argv = ["s2rctl", *json.loads(line)]
    said, complained = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        code = main(sys.argv[1:])
    print(json.dumps([code, said.getvalue(), complained.getvalue()]), flush=True)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run one command of s2rctl with the extension installed (its entry points are on the path); its JSON data."""
    store = tmp_path_factory.mktemp("store")
    path = os.pathsep.join([str(EXTENSION), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    child = subprocess.Popen(
        [sys.executable, "-c", COMMANDS],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip

    def call(*words: str, code: int = 0) -> dict:
        command = [*words, "--json", *([] if "--store" in words else ["--store", str(store)])]
        child.stdin.write(json.dumps(command) + "\n")
        child.stdin.flush()
        found, said, complained = json.loads(child.stdout.readline())
        assert found == code, complained[-3000:] + said[-1000:]
        return json.loads(said)["data"]

    with child:
        yield call
        child.stdin.close()


def test_the_graph_follows_from_the_system(run):
    stages = [step["stage"] for step in run("pipeline", "plan", "-p", str(PROFILE))["stages"]]
    assert stages == [
        "train-teacher-touch",
        "pretrain-encoder",
        "distill",
        "export",
        "export-touch",
        "evaluate",
        "rehearse",
        "calibrate-camera",
        "report",
    ]


def test_it_trains_exports_evaluates_and_rehearses(run):
    teacher = run("train-teacher", "-p", str(PROFILE), "--phase", "touch")
    assert teacher["success_rate"] > 0.5, "the expert's imitation touches the ball"
    student = run("distill", "-p", str(PROFILE))
    assert student["iterations"] == 6
    exported = run("export", "student/reacher")
    assert exported["parity_max_abs"] <= 1e-5
    judged = run("evaluate", "onnx/reacher-student")
    assert judged["task"] == "touch" and judged["episodes"] == 16
    rehearsed = run("deploy", "onnx/reacher-student")
    assert rehearsed["episodes"] == 2 and rehearsed["through"] == "twin"


def test_a_policy_with_memory_exports_evaluates_and_rehearses(run, tmp_path):
    path = os.pathsep.join([str(EXTENSION), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    command = [sys.executable, "-m", "reacher.policy", str(tmp_path)]
    made = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path})
    assert made.returncode == 0, made.stderr
    policy = made.stdout.strip()

    def call(*words):
        return run(*words, "--store", str(tmp_path))

    exported = call("export", policy)
    assert exported["parity_max_abs"] <= 1e-5
    contract = call("artifacts", "show", exported["artifact"])["manifest"]["content"]["contract"]
    assert contract["memory"] == [{"name": "seen", "shape": [8], "initial": [0.1] * 8, "dtype": "float32"}]
    assert [tensor["name"] for tensor in contract["inputs"]] == ["rgb_eye", "joint_pos", "joint_target"]
    judged = [call("evaluate", ref, "-p", str(PROFILE)) for ref in (policy, exported["artifact"])]
    assert judged[0]["successes"] == judged[1]["successes"], "JAX and ONNX remember the same"
    assert judged[0]["mean_reward"] == pytest.approx(judged[1]["mean_reward"], rel=1e-3)
    rehearsed = call("deploy", exported["artifact"], "-p", str(PROFILE))
    assert rehearsed["episodes"] == 2 and rehearsed["safety_stops"] == 0


def test_what_is_not_installed_is_unknown(tmp_path):
    command = [sys.executable, "-m", "s2rctl.cli.main", "profile", "validate", str(PROFILE)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 3 and "system: must be aloha or xarm7-reach" in done.stderr
