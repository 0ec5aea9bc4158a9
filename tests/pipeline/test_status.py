"""``pipeline status`` while a run is under way in another process, and after it died; --only and --fresh STAGE."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from s2rctl.cli.main import main
from s2rctl.core.progress import NullReporter
from s2rctl.pipeline import graph
from s2rctl.pipeline.progress_file import FileReporter
from s2rctl.pipeline.status import all_runs, run_of
from s2rctl.store.store import Store
from tests.pipeline import fake_stages
from tests.waiting import HANG_S, wait_for

TOP = Path(__file__).parents[2]
PROGRAM = """
import sys
from s2rctl.cli.main import main
from s2rctl.pipeline import graph
from tests.pipeline import fake_stages
graph.graph_of = lambda system: fake_stages.GRAPH
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command line on the fake pipeline: (exit code, data or text, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2RCTL_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(graph, "graph_of", lambda system: fake_stages.GRAPH)

    def run(*words: str) -> tuple[int, dict, str]:
        monkeypatch.setattr(sys, "argv", ["s2rctl", *words])
        code = main(words)
        captured = capsys.readouterr()
        return code, json.loads(captured.out)["data"] if "--json" in words else captured.out, captured.err

    return run


@pytest.fixture
def elsewhere(call, tmp_path):
    """Start a run in another process that stops at the third of five units and waits there."""
    (tmp_path / "wait").touch()
    words = [sys.executable, "-c", PROGRAM, "pipeline", "run", "-p", "xarm7-smoke", "-q"]
    environment = os.environ | {"PYTHONPATH": str(TOP)}
    child = subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    marks = tmp_path / "store" / "runs"
    assert wait_for(lambda: any(mark.read_text() == "3" for mark in marks.glob("*/checkpoint")))
    yield child
    child.kill()
    child.communicate(timeout=HANG_S)


STATUS = ("pipeline", "status", "-p", "xarm7-smoke")


def calls(folder: Path) -> list[str]:
    log = folder / "calls.log"
    lines = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def test_a_run_in_another_terminal_and_after_kill_9(call, elsewhere, tmp_path):
    first, second, third = call(*STATUS, "--json")[1]["stages"]
    assert (first["state"], second["state"], third["state"]) == ("running", "waiting", "open")
    assert first["run"]["process"] == elsewhere.pid and first["run"]["unit"] == "units"
    assert first["run"]["total"] == 5 and 1 <= first["run"]["done"] <= 3 and first["run"]["spent_s"] >= 0
    text = call(*STATUS)[1]
    assert text.startswith("0 of 3 stages done") and "running" in text and "/5 units" in text
    elsewhere.kill()
    elsewhere.wait(timeout=HANG_S)
    code, data, _ = call(*STATUS, "--json")
    assert code == 0 and data["stages"][0]["state"] == "interrupted"
    assert data["stages"][0]["action"] == "resume" and data["stages"][0]["run"]["process"] is None
    assert "interrupted, will resume" in call(*STATUS)[1]


def test_a_run_with_other_values_is_listed_below(call, elsewhere):
    data = call(*STATUS, "--set", "simulation.substeps=5", "--json")[1]
    assert data["stages"][0]["state"] == "open"
    (other,) = data["others"]
    assert (other["stage"], other["profile"], other["state"]) == ("first", "xarm7-smoke", "running")
    text = call(*STATUS, "--set", "simulation.substeps=5")[1]
    assert f"other runs in this store:\n  first of profile xarm7-smoke: running (process {elsewhere.pid})" in text


def test_a_page_for_a_phone(call, elsewhere, tmp_path):
    assert call(*STATUS, "--html", "status.html")[0] == 0
    page = (tmp_path / "status.html").read_text()
    assert '<meta name="viewport"' in page and "http-equiv" not in page and "0 of 3 stages done" in page
    assert '<progress max="1" value="' in page and ">running<" in page
    assert call(*STATUS, "--every", "5")[0] == 2
    elsewhere.send_signal(signal.SIGINT)
    assert elsewhere.wait(timeout=HANG_S) == 130
    (tmp_path / "wait").unlink()
    assert call("pipeline", "run", "-p", "xarm7-smoke")[0] == 0
    assert call(*STATUS, "--html", "status.html", "--every", "7")[0] == 0, "it ends when all is done"
    page = (tmp_path / "status.html").read_text()
    assert '<meta http-equiv="refresh" content="7">' in page and "3 of 3 stages done" in page


def test_why_a_stage_failed(call, tmp_path):
    (tmp_path / "fail").touch()
    assert call("pipeline", "run", "-p", "xarm7-smoke")[0] == 70
    second = call(*STATUS, "--json")[1]["stages"][1]
    assert second["state"] == "failed" and second["run"]["error"] == "ZeroDivisionError: made to fail"
    assert "failed, will resume" in call(*STATUS)[1] and "made to fail" in call(*STATUS)[1]
    (tmp_path / "fail").unlink()
    assert call("pipeline", "run", "-p", "xarm7-smoke")[0] == 0
    data = call(*STATUS, "--json")[1]
    assert [stage["state"] for stage in data["stages"]] == ["done"] * 3 and data["others"] == []


def test_rate_and_time_left_follow_from_what_was_said(tmp_path):
    store = Store(tmp_path / "store")
    folder = store.run_folder("a" * 64)
    now = [1000.0]
    reporter = FileReporter(NullReporter(), folder, clock=lambda: now[0])
    reporter.start("train", 100, "steps")
    reporter.update(10, {"loss": float("nan"), "reward": 1.5})
    now[0] += 20
    reporter.update(30, {})
    (folder / "state.json").write_text(json.dumps({"stage": "train", "profile": "x", "seconds": 50.0}))
    run = run_of(store, "a" * 16, 1030.0)
    assert (run.state, run.done, run.rate_per_s, run.share) == ("interrupted", 30, 1.0, 0.3)
    assert run.spent_s == 70.0 and run.metrics == {"reward": 1.5} and run.silent_s == 10.0
    assert run.text() == "30 %  30/100 steps  reward=1.5"


@pytest.mark.parametrize(
    "content", ["[]", '{"total": "x", "done": {}, "metrics": [1], "updated": true}', "{", '{"done": 1e300}']
)
@pytest.mark.parametrize("name", ["state.json", "progress.json", "failure.json"])
def test_whatever_lies_in_a_run_folder_is_no_obstacle(call, tmp_path, name, content):
    store = Store(tmp_path / "store")
    folder = store.run_folder("b" * 64)
    (folder / "state.json").write_text('{"stage": "x\\u001b[2J", "profile": [], "inputs": 3}')
    (folder / name).write_text(content)
    assert len(all_runs(store)) <= 1
    code, out, _ = call(*STATUS)
    assert code == 0 and "\x1b" not in out
    assert call(*STATUS, "--html", "x.html")[0] == 0 and "\x1b" not in (tmp_path / "x.html").read_text()


def test_only_runs_one_stage_on_what_is_there(call, tmp_path):
    code, _, err = call("pipeline", "run", "-p", "xarm7-smoke", "--only", "second")
    assert code == 4 and "second needs teacher/one" in err
    code, data, _ = call("pipeline", "run", "-p", "xarm7-smoke", "--only", "first", "--json")
    assert code == 0 and [stage["stage"] for stage in data["stages"]] == ["first"]
    assert call("pipeline", "run", "-p", "xarm7-smoke", "--only", "second")[0] == 0
    assert calls(tmp_path) == ["first@0", "second@0"]
    assert call("pipeline", "run", "-p", "xarm7-smoke", "--only", "second", "--force")[0] == 0
    assert calls(tmp_path) == ["second@0"]
    (tmp_path / "gate").touch()
    assert call("pipeline", "run", "-p", "xarm7-smoke", "--only", "third")[0] == 5
    for words in (("--only", "secnd"), ("--only", "first", "--from", "first"), ("--only", "first", "--fresh", "third")):
        assert call("pipeline", "run", "-p", "xarm7-smoke", *words)[0] == 2


@pytest.mark.parametrize(
    ("words", "begins"), [(("--fresh", "first"), 0), (("--fresh",), 0), (("--fresh", "third"), 3), ((), 3)]
)
def test_fresh_forgets_the_run_of_one_stage_or_of_all(call, elsewhere, tmp_path, words, begins):
    elsewhere.kill()
    elsewhere.wait(timeout=HANG_S)
    (tmp_path / "wait").unlink()
    calls(tmp_path)
    assert call("pipeline", "run", "-p", "xarm7-smoke", *words, "-q")[0] == 0
    assert calls(tmp_path)[0] == f"first@{begins}"


def test_what_resumes_a_fresh_run_discards_nothing(call, monkeypatch):
    from s2rctl.core.errors import Interrupted

    def stopped(context):
        raise Interrupted("stopped")

    monkeypatch.setattr(fake_stages, "first", stopped)
    for words in (("--fresh", "first"), ("--fresh=first",), ("--fresh",)):
        code, _, err = call("pipeline", "run", "-p", "xarm7-smoke", *words, "-q")
        assert code == 130 and err.splitlines()[-1] == "hint: to resume: s2rctl pipeline run -p xarm7-smoke -q"
