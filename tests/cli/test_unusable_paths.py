"""Paths that cannot even be looked at, and readers that have gone: two lines or none, and no bug."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from s2rctl.cli.main import main

TOP = Path(__file__).resolve().parents[2]
LONG = "y" * 300
LONGER = "y" * 5000
WORDS = [
    ("artifacts", "import", "PATH.tar"),
    ("artifacts", "export", "teacher/pick", "PATH.tar"),
    ("replay", "PATH.mcap", "--no-video"),
    ("latency", "fit", "PATH.mcap", "-p", "xarm7-smoke"),
    ("evaluate", "PATH.onnx"),
    ("profile", "show", "PATH.yaml"),
    ("profile", "list", "--events", "PATH"),
    ("profile", "list", "--store", "PATH"),
    ("artifacts", "list", "--store", "PATH"),
]


@pytest.mark.parametrize("path", [LONG, LONGER, f"{LONG}/x"], ids=["a name", "a path", "a folder"])
@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_path_that_is_too_long_is_two_lines(tmp_path, monkeypatch, capsys, words, path):
    monkeypatch.chdir(tmp_path)
    code = main([word.replace("PATH", path) for word in words])
    said = capsys.readouterr().err
    assert code in (0, 2, 3, 4), said
    assert not code or [line.split(":")[0] for line in said.splitlines()] == ["error", "hint"], said


BECOME = ("setpriv", "--reuid", "54321", "--clear-groups")
"""Run as a user whom nobody knows."""


@pytest.fixture
def closed():
    """Make a folder that only we may enter in one that everybody may enter, which pytest's own is not."""
    if os.getuid() != 0 or shutil.which(BECOME[0]) is None:
        pytest.skip("only root can become somebody else")
    if subprocess.run([*BECOME, sys.executable, "-c", "import pydantic"], check=False, capture_output=True).returncode:
        pytest.skip("this Python is not for everybody")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        (Path(name) / "closed").mkdir(mode=0o700)
        yield Path(name) / "closed"


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_folder_that_one_may_not_enter_is_two_lines(closed, words):
    line = [sys.executable, "-m", "s2rctl.cli.main", *(word.replace("PATH", str(closed / "x")) for word in words)]
    environment = os.environ | {"PYTHONPATH": str(TOP), "S2RCTL_STORE": str(closed.parent / "store")}
    done = subprocess.run([*BECOME, *line], cwd=closed.parent, env=environment, capture_output=True, text=True)
    assert done.returncode in (0, 2, 3, 4, 7), done.stderr
    if done.returncode:
        # The ONNX runtime has words of its own for a user who may see little of the machine.
        assert [line.split(":")[0] for line in done.stderr.splitlines()][-2:] == ["error", "hint"], done.stderr
        assert "Traceback" not in done.stderr


def test_an_archive_for_a_reader_that_has_gone_needs_no_words(tmp_path):
    words = [sys.executable, "-m", "s2rctl.cli.main"]
    environment = os.environ | {"PYTHONPATH": str(TOP), "S2RCTL_STORE": str(tmp_path / "store")}
    subprocess.run([*words, "artifacts", "import", "xarm7-reach"], env=environment, check=True, capture_output=True)
    reader, writer = os.pipe()
    os.close(reader)
    line = [*words, "artifacts", "export", "reach/xarm7:pretrained", "-"]
    done = subprocess.run(line, env=environment, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")
    full = subprocess.run(
        ["bash", "-c", '"$@" >/dev/full', "bash", *line], env=environment, capture_output=True, check=False
    )
    assert full.returncode == 7 and full.stderr.count(b"\n") == 2, full.stderr


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e300"])
@pytest.mark.parametrize(
    "words", ["emulate xarm7 --seconds", "deploy onnx/x --serve openpi --seconds", "doctor --timeout"]
)
def test_a_time_that_is_none_is_a_usage_error(capsys, words, value):
    assert main([*words.split(), value]) == 2
    assert capsys.readouterr().err.startswith("error: invalid value for '--")
