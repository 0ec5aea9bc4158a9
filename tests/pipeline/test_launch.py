"""Every launcher does every piece, in any order; a worker that dies is a piece that failed; nobody else notices."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from s2rctl.cli.main import main
from s2rctl.core.errors import UsageError
from s2rctl.core.progress import NullReporter
from s2rctl.pipeline.launch import launcher_of
from s2rctl.schema.launcher import Launcher
from s2rctl.schema.load import load_profile
from s2rctl.store.store import Store
from s2rctl.store.verify import verify
from tests.pipeline.errands import Errand, publish
from tests.waiting import HANG_S

TOP = Path(__file__).parents[2]


APART = ["processes", "ray", "ray, sent"]


@pytest.fixture(params=["in turn", *APART])
def launcher(request):
    """Return every launcher in turn."""
    if request.param.startswith("ray"):
        request.getfixturevalue("cluster")
        sent = "sent" if request.param.endswith("sent") else "probe"
        return launcher_of(Launcher(on="ray", cores=1, attempts=2, store=sent))
    return launcher_of(Launcher(at_once=2 if request.param == "processes" else 1))


def errands(folder: Path, *deeds: str, reads: str = "") -> list[Errand]:
    store = str(folder / "store")
    return [Errand(i, f"errand-{i}", store, "again", str(folder / "log"), d, reads) for i, d in enumerate(deeds)]


def test_every_piece_is_done_once_and_what_it_made_is_in_the_store(launcher, tmp_path):
    store = Store(tmp_path / "store")
    given = publish(store, "given ", key="f" * 64)
    pieces = errands(tmp_path, "write", "write", "write", reads=given.id)
    found = {done.index: done for done in launcher.run(pieces, NullReporter())}
    assert [found[i].text for i in range(3)] == [f"given errand-{i}" for i in range(3)]
    assert sorted((tmp_path / "log").read_text().split()) == [piece.name for piece in pieces]
    keys = store.keys()
    for index, done in found.items():
        assert store.get(done.artifact).path("out.txt").read_text() == f"given errand-{index} "
        assert keys[f"{index:064x}"] == done.artifact
    assert verify(store, full=True).clean and store.refs.all() == {}
    assert not list((tmp_path / "store" / "runs").glob(".seen-*"))


@pytest.mark.parametrize("launcher", APART, indirect=True)
def test_a_worker_that_dies_is_a_piece_that_failed(launcher, tmp_path):
    found = {done.index: done for done in launcher.run(errands(tmp_path, "write", "die", "write"), NullReporter())}
    assert found[0].text == "errand-0" and found[2].text == "errand-2"
    assert not found[1].text and found[1].error


def test_on_ray_what_died_is_begun_again_as_often_as_the_profile_says(cluster, tmp_path):
    launcher = launcher_of(Launcher(on="ray", cores=1, attempts=2))
    found = {done.index: done for done in launcher.run(errands(tmp_path, "die once", "die"), NullReporter())}
    assert found[0].text == "errand-0" and found[1].error
    assert sorted((tmp_path / "log").read_text().split("\n")) == ["", *["errand-0"] * 2, *["errand-1"] * 2]


def test_a_node_that_does_not_see_the_store_is_sent_what_it_needs(cluster, tmp_path, monkeypatch):
    """The mark in the store decides, not what its path looks like."""
    from s2rctl.pipeline import ray_node

    monkeypatch.setattr(ray_node, "token_path", lambda root, token: root / "runs" / ".elsewhere")
    store = Store(tmp_path / "store")
    given = publish(store, "given ", key="f" * 64)
    launcher = launcher_of(Launcher(on="ray", cores=1))
    found = list(launcher.run(errands(tmp_path, "write", "write", reads=given.id), NullReporter()))
    assert {done.text for done in found} == {"given errand-0", "given errand-1"}
    assert all(done.store != str(tmp_path / "store") for done in found)
    assert verify(store, full=True).clean and len(list(store.ids())) == 3


PROGRAM = """
import sys
from pathlib import Path
from s2rctl.core.errors import Interrupted
from s2rctl.core.progress import LineReporter
from s2rctl.pipeline.launch import launcher_of
from s2rctl.schema.launcher import Launcher
from tests.pipeline.test_launch import errands
if __name__ == "__main__":
    try:
        list(launcher_of(Launcher(at_once=2)).run(errands(Path(sys.argv[1]), "wait", "wait", "write"), LineReporter()))
    except Interrupted as stop:
        print(stop.hint)
        sys.exit(130)
"""


def test_a_request_to_stop_reaches_the_processes_and_nothing_is_left_running(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    call = [sys.executable, str(tmp_path / "program.py"), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TOP), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(call, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log, end = tmp_path / "log", time.monotonic() + HANG_S
    while not (log.exists() and len(log.read_text().split()) == 2) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 130 and "to resume: again" in out, err
    assert sorted(log.read_text().split()) == ["errand-0", "errand-1"], "the third one was not begun"


def test_on_is_an_option_and_a_field_of_the_profile():
    assert type(launcher_of(Launcher(on="ray"))).__name__ == "Ray"
    assert type(launcher_of(Launcher(on="ray"), "local")).__name__ == "Local"
    assert type(launcher_of(Launcher(), "ray://head:10001")).__name__ == "Ray"
    for place in ("moon", "ray://", ""):
        with pytest.raises(UsageError):
            launcher_of(Launcher(), place)


def test_without_ray_the_command_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setenv("S2RCTL_STORE", str(tmp_path / "store"))
    assert main(["sweep", "-p", "xarm7-smoke", "--seeds", "0", "--on", "ray"]) == 7
    err = capsys.readouterr().err
    assert "needs the Python package 'ray'" in err and "hint: pip install 's2rctl[ray]'" in err


def test_where_it_runs_is_part_of_no_result():
    here = load_profile("xarm7-smoke").profile
    there = load_profile("xarm7-smoke", ["launcher.on=ray://head:10001", "launcher.cores=4"]).profile
    assert there.launcher.cores == 4 and there.model_dump(mode="json") == here.model_dump(mode="json")
    assert there.complete()["launcher"]["on"] == "ray://head:10001"
