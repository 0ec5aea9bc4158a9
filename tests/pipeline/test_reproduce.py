"""Making an artifact again: bitwise equal, statistically equal by a named test, or different and where first."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from s2rctl.cli.main import main
from s2rctl.pipeline import graph
from s2rctl.pipeline.first_difference import first_difference
from s2rctl.stages.protocol import Context, Result
from s2rctl.store.store import Store
from s2rctl.store.verify import verify
from s2rctl.systems.protocol import Input, Stage
from tests.waiting import HANG_S

EPISODES = 64


def train(context: Context) -> Result:
    """Weights, a log with times, a picture; ``noise`` holds what is added to one weight."""
    control = context.store.root.parent
    noise = float((control / "noise").read_text()) if (control / "noise").exists() else 0.0
    weights = np.random.default_rng(context.seed).normal(size=(3, 4)).astype(np.float32)
    weights[1, 2] += noise
    folder = context.run_folder
    save_file({"a.bias": np.zeros(2, np.float32), "a.kernel": weights}, folder / "policy.safetensors")
    ticks = len(list(control.glob("tick-*")))
    (control / f"tick-{ticks}").touch()
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 1, "minutes": 0.1 * ticks, "loss": noise}) + "\n")
    (folder / "curve.png").write_bytes(b"picture %d" % ticks)
    files = {name: folder / name for name in ("policy.safetensors", "metrics.jsonl", "curve.png")}
    return Result(files, {"loss": noise})


def judge(context: Context) -> Result:
    """Episodes of which ``luck`` (a number in a file) turn out otherwise."""
    control = context.store.root.parent
    luck = int((control / "luck").read_text()) if (control / "luck").exists() else 0
    wins = [world >= luck for world in range(EPISODES)]
    folder = context.run_folder
    rows = [{"batch": 0, "world": world, "success": win} for world, win in enumerate(wins)]
    (folder / "episodes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Result({"episodes.jsonl": folder / "episodes.jsonl"}, {"successes": sum(wins), "episodes": EPISODES})


def killed(context: Context) -> Result:
    """Die once where ``kill`` exists, with a checkpoint left behind; tell how the run went."""
    mark, control = context.run_folder / "checkpoint", context.store.root.parent
    begun = mark.exists()
    mark.touch()
    if (control / "kill").exists():
        (control / "kill").unlink()
        os._exit(9)
    (control / "resumed").write_text(str(begun))
    (context.run_folder / "out.txt").write_text("out")
    return Result({"out.txt": context.run_folder / "out.txt"})


GRAPH = (
    Stage("train", 1, ("simulation.substeps",), (), "teacher", "one", f"{__name__}:train"),
    Stage("judge", 1, ("evaluate",), (Input("one", "teacher", "one"),), "evaluation", "judged", f"{__name__}:judge"),
    Stage("last", 1, ("system",), (), "student", "killed", f"{__name__}:killed"),
)


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run the pipeline above once and return a function that runs command lines: (exit code, data or text, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2RCTL_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(graph, "graph_of", lambda system: GRAPH)

    def run(*words: str) -> tuple[int, dict, str]:
        code = main(words)
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if "--json" in words else captured.out, captured.err

    assert run("pipeline", "run", "-p", "xarm7-smoke", "--seed", "3", "--set", "simulation.substeps=5")[0] == 0
    return run


def test_bitwise_equal_whatever_the_clock_and_the_pictures_say(call, tmp_path):
    code, value, _ = call("reproduce", "teacher/one", "--json")
    data = value["data"]
    assert code == 0 and data["verdict"] == "bitwise equal" and data["first_difference"] is None
    assert {file["path"]: (file["state"], file["counts"]) for file in data["files"]} == {
        "policy.safetensors": ("equal", True), "metrics.jsonl": ("times", True), "curve.png": ("differs", False),
    }  # fmt: skip
    assert data["changed_since"] == [] and data["kept"] is None
    store = Store(tmp_path / "store")
    assert len(store.list()) == 3 and list((store.root / "runs").glob("[0-9a-f]*")) == [], "nothing is left over"
    text = call("reproduce", "teacher/one")[1]
    assert "bitwise equal (1 of 3 files bitwise)" in text and "metrics.jsonl: only measured times differ" in text


def test_different_and_where_first(call, tmp_path):
    (tmp_path / "noise").write_text("0.5")
    code, value, err = call("reproduce", "teacher/one", "--json")
    data = value["data"]
    assert code == 1 and value["error"]["code"] == 1 and data["verdict"] == "different"
    first = data["first_difference"]
    assert first["path"] == "metrics.jsonl" and first["place"]["where"] == "line 1, loss"
    weights = next(file for file in data["files"] if file["path"] == "policy.safetensors")
    assert weights["place"]["where"] == "tensor a.kernel[1, 2]"
    assert weights["place"]["more"] == "1 numbers differ, in a.kernel by at most 0.5"
    assert "teacher/one came out different, first in metrics.jsonl: first difference at line 1, loss: 0.0 -> 0.5" in err


def test_statistically_equal_with_the_test_that_says_so(call, tmp_path):
    (tmp_path / "luck").write_text("3")
    code, value, _ = call("reproduce", "evaluation/judged", "--json")
    (rate,) = value["data"]["rates"]
    assert code == 0 and value["data"]["verdict"] == "statistically equal"
    assert rate["test"] == "exact McNemar test, 64 paired episodes" and rate["p_value"] == 0.25
    assert value["data"]["first_difference"]["place"]["where"] == "line 1, success"
    text = call("reproduce", "evaluation/judged")[1]
    assert "statistically equal" in text and "exact McNemar test, 64 paired episodes" in text
    (tmp_path / "luck").write_text("12")
    code, value, _ = call("reproduce", "evaluation/judged", "--json")
    assert code == 1 and value["data"]["verdict"] == "different" and value["data"]["rates"][0]["p_value"] < 0.001


def test_a_newer_stage_is_said(call, monkeypatch):
    from dataclasses import replace

    monkeypatch.setattr(graph, "graph_of", lambda system: (replace(GRAPH[0], version=2), *GRAPH[1:]))
    data = call("reproduce", "teacher/one", "--json")[1]["data"]
    assert data["verdict"] == "bitwise equal" and "stage version 1 -> 2" in data["changed_since"]


def damage(store: Store, ref: str, name: str) -> None:
    blob = store.resolve(ref).path(name)
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(content)


def test_equal_bytes_heal_a_damaged_original(call, tmp_path):
    store = Store(tmp_path / "store")
    original = store.resolve("evaluation/judged")
    damage(store, "evaluation/judged", "episodes.jsonl")
    problems = call("artifacts", "verify", "--full", "--json")[1]["data"]["problems"]
    assert problems[0]["rebuild"] == [f"s2rctl reproduce {original.id[:12]} --keep"]
    code, value, _ = call(*problems[0]["rebuild"][0].split()[1:], "--json")
    assert code == 0 and value["data"]["healed"] and value["data"]["kept"] == original.id
    assert verify(Store(store.root), full=True).clean and Store(store.root).get(original.id).intact()


def test_what_cannot_be_healed_is_replaced_wherever_it_was_named(call, tmp_path):
    store = Store(tmp_path / "store")
    original = store.resolve("teacher/one")
    damage(store, "teacher/one", "curve.png")  # which no run repeats
    call("artifacts", "verify", "--full")
    code, value, _ = call("reproduce", original.id[:12], "--keep", "--json")
    assert code == 0 and value["data"]["verdict"] == "bitwise equal" and not value["data"]["healed"]
    fresh = Store(store.root)
    for alias in ("latest", "xarm7-smoke", "reproduced"):
        assert fresh.resolve(f"teacher/one:{alias}").id == value["data"]["kept"] != original.id
    assert fresh.resolve("teacher/one").intact()
    code, out, _ = call("pipeline", "run", "-p", "xarm7-smoke", "--seed", "3", "--set", "simulation.substeps=5")
    assert code == 0 and "cached" in out.splitlines()[1], "the cache finds the new one"


def test_a_whole_original_keeps_its_refs(call, tmp_path):
    (tmp_path / "noise").write_text("0.5")
    original = Store(tmp_path / "store").resolve("teacher/one").id
    code, value, err = call("reproduce", "teacher/one", "--keep", "--json")
    kept = value["data"]["kept"]
    assert code == 1 and f"hint: play both: s2rctl evaluate {kept[:12]} --against {original[:12]}" in err
    store = Store(tmp_path / "store")
    assert store.resolve("teacher/one").id == original and store.resolve("teacher/one:reproduced").id == kept


def test_what_no_stage_makes_and_inputs_that_are_gone(call, tmp_path):
    assert call("sweep", "-p", "xarm7-smoke", "--seeds", "0", "--stage", "judge")[0] == 0
    code, _, err = call("reproduce", "sweep/xarm7-smoke")
    assert code == 2 and "no stage makes sweep/xarm7-smoke again" in err
    store = Store(tmp_path / "store")
    teacher = store.resolve("teacher/one").id
    (store.root / "manifests" / f"{teacher}.json").unlink()
    code, _, err = call("reproduce", "evaluation/judged")
    assert code == 4 and "cannot be made again" in err and f"hint: s2rctl reproduce {teacher[:12]} --keep" in err


PROGRAM = """
import sys
from s2rctl.cli.main import main
from s2rctl.pipeline import graph
from tests.pipeline import test_reproduce
graph.graph_of = lambda system: test_reproduce.GRAPH
sys.exit(main(sys.argv[1:]))
"""


def test_kill_9_then_the_same_command_goes_on(call, tmp_path):
    (tmp_path / "kill").touch()
    top = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(top)}
    for code in (9, 0):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, "reproduce", "student/killed"], env=environment, capture_output=True,
            text=True, cwd=tmp_path, timeout=HANG_S, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
    assert (tmp_path / "resumed").read_text() == "True"


def arrays(path: Path, **values: np.ndarray) -> Path:
    np.savez(path, **values)
    return path


@pytest.mark.parametrize(
    ("name", "one", "two", "where"),
    [
        ("a.json", b'{"a": {"b": [1, 2]}}', b'{"a": {"b": [1, 3]}}', "a.b"),
        ("a.json", b'{"a": 1, "inference_ms_p50": 3}', b'{"inference_ms_p50": 4, "a": 1}', None),
        ("a.json", b'{"a": 1}', b'{"a": 1, "b": 2}', "b"),
        ("a.json", b"[1]", b"[2]", "the value"),
        ("a.json", b"{", b"[", "byte 0"),
        ("a.jsonl", b'{"a": 1}\n{"a": 2}\n', b'{"a": 1}\n{"a": 3}\n', "line 2, a"),
        ("a.jsonl", b'{"a": 1}\n', b'{"a": 1}\n{"a": 3}\n', "line 2"),
        ("a.bin", b"abc" * 40_000, b"abc" * 39_999 + b"abd", "byte 119999"),
        ("a.bin", b"abc", b"abcd", "byte 3"),
        ("a.bin", b"abc", b"abc", None),
        ("a.safetensors", b"not tensors", b"not tensorz", "byte 10"),
    ],
)
def test_first_difference(tmp_path, name, one, two, where):
    for side, content in (("left", one), ("right", two)):
        (tmp_path / side).mkdir()
        (tmp_path / side / name).write_bytes(content)
    found = first_difference(tmp_path / "left" / name, tmp_path / "right" / name)
    assert (found.where if found else None) == where


def test_first_difference_of_arrays(tmp_path):
    base = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([np.nan, 1.0])}
    left = arrays(tmp_path / "left.npz", **base)
    assert first_difference(left, arrays(tmp_path / "same.npz", **base)) is None, "NaN is NaN"
    shape = first_difference(left, arrays(tmp_path / "shape.npz", a=base["a"].T, b=base["b"]))
    assert (shape.where, shape.left, shape.right) == ("tensor a", "float64 2x3", "float64 3x2")
    gone = first_difference(left, arrays(tmp_path / "gone.npz", a=base["a"]))
    assert (gone.where, gone.right) == ("tensor b", "not there")
    other = first_difference(left, arrays(tmp_path / "other.npz", a=base["a"] + np.eye(2, 3), b=base["b"]))
    assert other.where == "tensor a[0, 0]" and other.more == "2 numbers differ, in a by at most 1"
