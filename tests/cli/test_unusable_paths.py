"""Paths that cannot even be looked at, and readers that have gone: two lines or none, and no bug."""

import os
import stat
import subprocess
import sys
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


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_folder_that_one_may_not_enter_is_two_lines(tmp_path, words):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            pytest.skip("the temporary folder is closed to other users")
    line = [sys.executable, "-m", "s2rctl.cli.main", *(word.replace("PATH", str(closed / "x")) for word in words)]
    done = subprocess.run(
        line,
        cwd="/",
        env=os.environ | {"PYTHONPATH": str(TOP), "S2RCTL_STORE": str(tmp_path / "store")},
        capture_output=True,
        text=True,
        user=54321,
        group=54321,
        extra_groups=[],
    )
    assert done.returncode in (0, 2, 3, 4, 7), done.stderr
    if done.returncode:
        assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["error", "hint"], done.stderr


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
