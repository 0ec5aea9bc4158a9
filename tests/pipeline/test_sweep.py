"""Sweeps: the grid, one table over episodes and over seeds, failing cells, resuming, and what the store keeps."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from s2rctl.cli.main import main
from s2rctl.core.errors import UsageError
from s2rctl.pipeline import graph
from s2rctl.pipeline.grid import grid_of, parse_seeds
from s2rctl.store.gc import collect
from s2rctl.store.store import Store
from s2rctl.store.verify import verify
from tests.pipeline import fake_sweep
from tests.waiting import HANG_S

TOP = Path(__file__).parents[2]
LATER_S = 10_000.0


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command line on the sweep's fake pipeline: (exit code, data or text, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2RCTL_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(graph, "graph_of", lambda system: fake_sweep.GRAPH)

    def run(*words: str) -> tuple[int, dict, str]:
        code = main(words)
        captured = capsys.readouterr()
        return code, json.loads(captured.out) if "--json" in words else captured.out, captured.err

    return run


SWEEP = ("sweep", "-p", "xarm7-smoke", "--seeds", "0..5", "--set", "simulation.substeps=5,8", "--stage", "judge")


def calls(folder: Path) -> list[str]:
    log = folder / "calls.log"
    lines = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def test_one_table_over_episodes_and_over_seeds_with_paired_differences(call, tmp_path):
    code, value, _ = call(*SWEEP, "--json")
    data = value["data"]
    assert code == 0 and data["stage"] == "judge" and data["metric"] == "success_rate" and data["failed"] == []
    assert data["seeds"] == [0, 1, 2, 3, 4, 5] and len(data["cells"]) == 12
    few, many = data["settings"]
    assert few["label"] == "simulation.substeps=5" and few["changes"] == ["simulation.substeps=5"]
    assert few["episodes"] == 6 * fake_sweep.EPISODES and few["successes"] == sum(
        cell["successes"] for cell in data["cells"] if cell["changes"] == few["changes"]
    )
    for row in (few, many):
        assert row["interval_low"] < row["mean"] < row["interval_high"], "over episodes"
        assert row["seeds_low"] < row["mean"] < row["seeds_high"], "over seeds"
        assert row["mean"] == pytest.approx(row["successes"] / row["episodes"])
    pairs = many["against_first"]
    assert pairs["seeds"] == data["seeds"] and pairs["low"] <= pairs["difference"] <= pairs["high"]
    assert pairs["difference"] == pytest.approx(many["mean"] - few["mean"])
    assert pairs["p_value"] == pytest.approx(2 / 2**6), "every seed does better"
    assert pairs["high"] - pairs["low"] < 0.5 * (many["seeds_high"] - many["seeds_low"]), "seeds cancel"
    assert Path(data["plot_path"]).read_bytes().startswith(b"\x89PNG")
    assert sorted(calls(tmp_path)) == sorted([f"prepare@{s}" for s in range(6)] + [f"judge@{s}" for s in range(6)] * 2)


def test_the_sweep_is_an_artifact_that_depends_on_nothing_but_its_cells(call, tmp_path):
    first = call(*SWEEP, "--json")[1]["data"]
    store = Store(tmp_path / "store")
    artifact = store.resolve("sweep/xarm7-smoke")
    assert artifact.id == first["artifact"] and sorted(artifact.files) == ["sweep.csv", "sweep.json", "sweep.png"]
    assert {item.id for item in artifact.manifest.content.inputs} == {cell["artifact"] for cell in first["cells"]}
    rows = artifact.path("sweep.csv").read_text().splitlines()
    assert rows[0] == "seed,simulation.substeps,success_rate,successes,episodes,artifact,error" and len(rows) == 13
    calls(tmp_path)
    again = call(*SWEEP, "--json")[1]["data"]
    assert again["artifact"] == first["artifact"] and again["cached"] == 12 and calls(tmp_path) == []
    elsewhere = call(*SWEEP, "--json", "--store", str(tmp_path / "other" / "store"))[1]["data"]
    assert elsewhere["artifact"] == first["artifact"], "not on the machine, nor on the time"
    assert verify(store, full=True).clean
    assert call("artifacts", "list", "--kind", "sweep", "--json")[1]["data"]["artifacts"][0]["name"] == "xarm7-smoke"


def test_refs_of_the_stages_do_not_move(call, tmp_path):
    call("pipeline", "run", "-p", "xarm7-smoke")
    before = Store(tmp_path / "store").refs.all()
    call(*SWEEP)
    after = Store(tmp_path / "store").refs.all()
    assert after.keys() - before.keys() == {"sweep/xarm7-smoke:latest"} and before.items() <= after.items()


def test_the_whole_pipeline_runs_without_a_stage_and_all_results_are_kept(call, tmp_path):
    code, value, _ = call("sweep", "-p", "xarm7-smoke", "--seeds", "0,3", "--json")
    assert code == 0 and value["data"]["stage"] == "judge" and value["data"]["settings"][0]["label"] == "all"
    store = Store(tmp_path / "store")
    import time

    collect(store, now=time.time() + LATER_S)
    kinds = [artifact.manifest.content.kind for artifact in store.list()]
    assert sorted(kinds) == ["evaluation"] * 2 + ["report"] * 2 + ["sweep"] + ["teacher"] * 2


def test_a_cell_that_fails_is_named_ends_no_other_and_is_tried_again(call, tmp_path):
    (tmp_path / "fail-1-8").touch()
    (tmp_path / "bug-3-5").touch()
    code, value, err = call(*SWEEP, "--json")
    assert code == 1 and not value["ok"] and value["error"]["code"] == 1
    failed = {item["name"]: item for item in value["data"]["failed"]}
    assert failed.keys() == {"seed 1 simulation.substeps=8", "seed 3 simulation.substeps=5"}
    assert failed["seed 1 simulation.substeps=8"]["error"] == "1-8 was made to fail"
    assert failed["seed 3 simulation.substeps=5"] | {"error": ""} == failed["seed 3 simulation.substeps=5"] | {
        "error": "", "code": 70
    }  # fmt: skip
    assert "error: 2 of 12 cells failed: seed 1 simulation.substeps=8: 1-8 was made to fail; seed 3" in err
    assert "hint: s2rctl" in err and len(err.split("error: ")[1].splitlines()) == 2
    few, many = value["data"]["settings"]
    assert few["seeds"] == [0, 1, 2, 4, 5] and many["seeds"] == [0, 2, 3, 4, 5]
    assert many["against_first"]["seeds"] == [0, 2, 4, 5], "pairs need both"
    text = call(*SWEEP)[1]
    assert "failed: seed 1 simulation.substeps=8" in text and "5 of 6" in text
    (tmp_path / "fail-1-8").unlink()
    (tmp_path / "bug-3-5").unlink()
    calls(tmp_path)
    code, value, _ = call(*SWEEP, "--json")
    assert code == 0 and value["data"]["cached"] == 10 and calls(tmp_path) == ["judge@1", "judge@3"]


def test_all_cells_failed(call, tmp_path):
    for seed in range(2):
        (tmp_path / f"fail-{seed}-10").touch()
    code, _, err = call("sweep", "-p", "xarm7-smoke", "--seeds", "0..1")
    assert code == 1 and "all 2 cells failed; seed 0: 0-10 was made to fail" in err
    assert Store(tmp_path / "store").list("sweep") == []


def test_where_it_runs_is_nothing_to_compare(call):
    first = call("sweep", "-p", "xarm7-smoke", "--seeds", "0..1", "--stage", "judge", "--json")[1]["data"]
    words = ("sweep", "-p", "xarm7-smoke", "--seeds", "0..1", "--stage", "judge", "--json", "--set", "launcher.cores=2")
    assert call(*words)[1]["data"] | {"cached": 0, "plot_path": ""} == first | {"cached": 0, "plot_path": ""}
    assert call(*words[:-1], "launcher.cors=2")[0] == 3


def test_few_seeds_have_no_interval_and_are_told_so(call):
    code, value, _ = call("sweep", "-p", "xarm7-smoke", "--seeds", "0..1", "--stage", "judge", "--json")
    assert code == 0 and value["data"]["settings"][0]["seeds_low"] is None
    text = call("sweep", "-p", "xarm7-smoke", "--seeds", "0..1", "--stage", "judge")[1]
    assert "fewer than three seeds" in text
    text = call("sweep", "-p", "xarm7-smoke", "--seeds", "0..2", "--stage", "judge")[1]
    assert "at most 75 %" in text


def test_any_figure_can_be_compared(call):
    data = call(*SWEEP, "--metric", "reward", "--json")[1]["data"]
    assert [row["mean"] for row in data["settings"]] == [10.0, 16.0] and "episodes" not in data["settings"][0]
    assert data["settings"][1]["against_first"]["difference"] == 6.0
    code, _, err = call(*SWEEP, "--metric", "rewrd")
    assert code == 2 and "did you mean reward?" in err


PROGRAM = """
import sys
from s2rctl.cli.main import main
from s2rctl.pipeline import graph
from tests.pipeline import fake_sweep
graph.graph_of = lambda system: fake_sweep.GRAPH
sys.exit(main(sys.argv[1:]))
"""


def store_key(store: Store, identities: set[str]) -> str:
    """Return the cache key of the cell with seed 0 and 8 substeps."""
    wanted = next(
        artifact.id for artifact in store.list("evaluation")
        if artifact.id in identities and b"judged 0-8" in artifact.path("out.txt").read_bytes()
    )  # fmt: skip
    return next(key for key, identity in store.keys().items() if identity == wanted)


def program(folder: Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(TOP), "S2RCTL_STORE": str(folder / "store")}
    call = [sys.executable, "-c", PROGRAM, *SWEEP]
    return subprocess.run(
        call, env=environment, capture_output=True, text=True, cwd=folder, timeout=HANG_S, check=False
    )


@pytest.mark.parametrize(("how", "code"), [("kill", -signal.SIGKILL), ("stop", 130)])
def test_the_same_command_goes_on_where_a_sweep_was_stopped_and_nothing_is_collected_meanwhile(
    call, tmp_path, how, code
):
    (tmp_path / f"{how}-3-5").touch()
    done = program(tmp_path)
    assert done.returncode == code, done.stderr
    if how == "stop":
        assert "hint: to resume: s2rctl" in done.stderr
    import time

    store = Store(tmp_path / "store")
    assert verify(store, full=True).clean
    before = {artifact.id for artifact in store.list("evaluation")}
    collect(store, now=time.time() + LATER_S)
    assert {artifact.id for artifact in store.list("evaluation")} == before and len(before) >= 6
    code, out, _ = call("pipeline", "status", "-p", "xarm7-smoke")
    assert code == 0 and "sweep of profile xarm7-smoke: interrupted" in out and f"{len(before)}/12 cells" in out
    (tmp_path / "kill-0-8").touch()  # the next attempt comes no further than the second cell
    (store.root / "keys" / store_key(store, before)).unlink()
    assert program(tmp_path).returncode == -signal.SIGKILL
    collect(store, now=time.time() + LATER_S)
    assert {artifact.id for artifact in store.list("evaluation")} == before, "what the first attempt made is kept"
    calls(tmp_path)
    code, value, _ = call(*SWEEP, "--json")
    again = [name for name in calls(tmp_path) if name.startswith("judge")]
    assert code == 0 and len(again) == 12 - len(before) + 1 and value["data"]["cached"] >= 5


def test_settings_that_make_no_profile_are_refused_before_anything_runs(call, tmp_path):
    code, _, err = call("sweep", "-p", "xarm7-smoke", "--seeds", "0", "--set", "simulation.substeps=5,none")
    assert code == 3 and "simulation.substeps" in err and calls(tmp_path) == []
    assert call("sweep", "-p", "xarm7-smoke", "--seeds", "0", "--stage", "jugde")[0] == 2
    assert call("sweep", "-p", "xarm7-smoke", "--seeds", "0", "--on", "moon")[0] == 2
    assert call("sweep", "-p", "xarm7-smoke", "--seeds", "0", "--name", "../x")[0] == 2
    assert calls(tmp_path) == []


def test_seeds():
    assert parse_seeds("0..7") == tuple(range(8)) and parse_seeds("3") == (3,)
    assert parse_seeds("0,2, 8..10") == (0, 2, 8, 9, 10)
    for text in ("", "a", "-1", "3..1", "1..", "0,0", "0..3,2", "1.5", "99999999999", "0..9999999"):
        with pytest.raises(UsageError, match="--seeds"):
            parse_seeds(text)


def test_values_are_split_outside_brackets_and_quotes():
    grid = grid_of("0..1", ["a.b=1,2,3", "c=[1,2],[3,4]", "d='x,y',z", "e={p: 1, q: [2,3]}", "f=7"])
    assert [len(axis.values) for axis in grid.axes] == [3, 2, 2, 1, 1] and len(grid.cells) == 24
    assert grid.axes[1].values == ("[1,2]", "[3,4]") and grid.axes[2].values == ("'x,y'", "z")
    first = grid.cells[0]
    assert first.changes == ("a.b=1", "c=[1,2]", "d='x,y'", "e={p: 1, q: [2,3]}", "f=7")
    assert grid.label(first.changes) == "a.b=1 c=[1,2] d='x,y'", "what does not vary is not said"
    assert [cell.seed for cell in grid.cells] == [0] * 12 + [1] * 12


@pytest.mark.parametrize(
    "sets", [["a.b"], ["=1"], ["a=1,1"], ["a=1", "a=2"], ["seed=1,2"], ["simulation.compilation=quick,full"]]
)
def test_axes_that_mean_nothing(sets):
    with pytest.raises(UsageError, match="--set"):
        grid_of("0", sets)


def test_a_grid_has_an_end():
    with pytest.raises(UsageError, match="more than"):
        grid_of("0..999", [f"a{number}=" + ",".join(map(str, range(100))) for number in range(6)])
