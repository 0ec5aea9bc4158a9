"""Every system is shown in a process of its own; these take a stage's place by a file that Python imports first."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from s2rctl.cli.main import main
from s2rctl.pipeline.demonstration import shown
from tests.waiting import HANG_S, wait_for

TOP = Path(__file__).parents[2]
STAND_IN = f"""
import os, time
from pathlib import Path
from s2rctl.core.errors import GateError, Interrupted
from s2rctl.core.interrupt import interruptible
from s2rctl.pipeline import demonstration

def demonstrate(job, look):
    folder, system = Path(os.environ["DEMO_FOLDER"]), job.profile.system
    (folder / f"{{system}}.begun").touch()
    job.reporter.note("a word")
    look(folder / f"{{system}}.mp4")
    with interruptible() as interrupt:
        for _ in range(int({HANG_S} / 0.01)):
            # Until the other one has begun, too; with a file "stay" until somebody asks to stop.
            if len(list(folder.glob("*.begun"))) == 2 and not (folder / "stay").exists():
                break
            if interrupt.requested:
                (folder / f"{{system}}.stopped").touch()
                raise Interrupted("stopped", "again")
            time.sleep(0.01)
        else:
            raise SystemExit(9)
    if (folder / f"{{system}}.fails").exists():
        raise GateError("too few", "train longer")
    if (folder / f"{{system}}.dies").exists():
        os._exit(3)
    return {{
        "system": system, "policy": f"onnx/{{system}}:pretrained", "profile": system,
        "rehearsal": {{"text": "3/3 [43.9, 100.0]", "film": None}}, "evaluation": "30/32 [79.9, 98.3]",
        "report": f"/r/{{system}}.html",
        "smoke": {{"profile": job.profile.name, "stages": 7, "evaluation": "0/32 [0.0, 10.7]", "report": "/r/s.html"}},
    }}

demonstration.demonstrate = demonstrate
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(TOP)]))
    monkeypatch.setenv("DEMO_FOLDER", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_system_with_a_ready_policy_is_shown():
    assert shown() == {"aloha": "aloha-smoke", "xarm7-reach": "xarm7-smoke"}


def test_systems_are_shown_side_by_side_and_told_of_together(folder, capsys):
    assert main(["demo", "--no-open"]) == 0
    out, err = capsys.readouterr()
    for system in shown():
        assert f"{system} | a word" in err.splitlines()
        assert f"onnx/{system}:pretrained, as it comes with s2rctl" in out and f"/r/{system}.html" in out
    for part in ("3/3 [43.9, 100.0]", "30/32 [79.9, 98.3]", "0/32 [0.0, 10.7]", "budgets too small to learn from"):
        assert part in out
    *_, title, first, second, third = out.splitlines()
    assert title.endswith("next:")
    assert first.endswith("artifacts show onnx/xarm7-reach:pretrained")
    assert third.endswith("pipeline run -p xarm7-reach")
    assert "render xarm7-reach" in second


def test_programs_get_one_object(folder, capsys):
    store = folder / "elsewhere"
    assert main(["demo", "--no-open", "--json", "--store", str(store)]) == 0
    data = json.loads(capsys.readouterr().out)["data"]
    assert [lane["system"] for lane in data["lanes"]] == list(shown()) and len(data["next"]) == 3
    assert all(line.endswith(f"--store {store}") for line in data["next"] if " render " not in line)


@pytest.mark.parametrize(("how", "code", "says"), [("fails", 5, "too few"), ("dies", 1, "ended with status 3")])
def test_what_goes_wrong_with_one_is_told_by_its_name(folder, capsys, how, code, says):
    (folder / f"aloha.{how}").touch()
    assert main(["demo", "--no-open", "--json", "--store", str(folder / "s")]) == code
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["message"].startswith("aloha: ") and says in error["message"] and error["hint"]


def test_films_and_reports_are_opened_by_what_may_outlive_us(folder, capsys, monkeypatch):
    """It keeps whatever streams it inherits, so it must inherit none: the parent would wait for it."""
    opener = folder / ("open" if sys.platform == "darwin" else "xdg-open")
    stays = 'while [ ! -e "$DEMO_FOLDER/close" ]; do sleep 0.05; done'
    opener.write_text(f'#!/bin/sh\necho noise\necho "$1" >> "$DEMO_FOLDER/opened"\n{stays}\n')
    opener.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    opened = folder / "opened"
    try:
        assert main(["demo", "--open", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["ok"]
        wanted = {*(str(folder / f"{s}.mp4") for s in shown()), *(f"/r/{s}.html" for s in shown())}
        assert wait_for(lambda: opened.exists() and set(opened.read_text().split()) == wanted)
    finally:
        (folder / "close").touch()


def test_ctrl_c_asks_all_of_them_and_waits(folder):
    (folder / "stay").touch()
    command = [sys.executable, "-m", "s2rctl.cli.main", "demo", "--no-open"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: len(list(folder.glob("*.begun"))) == 2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 130 and "run the same command again" in err
    assert len(list(folder.glob("*.stopped"))) == 2


def test_a_profile_that_trains_for_long_is_no_demonstration(tmp_path, capsys):
    assert main(["demo", "--only", "xarm7-robust", "--store", str(tmp_path / "store")]) == 2
    said = capsys.readouterr().err
    assert "would train for long" in said and "xarm7-smoke" in said
