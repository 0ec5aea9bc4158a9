"""``--version`` for bug reports, and completion as the shells call it."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from s2rctl import __version__
from s2rctl.cli.main import main
from s2rctl.core import installation

TOP = Path(__file__).resolve().parents[2]


def test_the_version_says_what_a_bug_report_needs(capsys):
    assert main(["--version"]) == 0
    first, origin, system, packages = capsys.readouterr().out.splitlines()
    assert first == f"s2rctl {__version__}"
    assert origin.startswith("commit ") or origin == "installed as a package"
    assert system.startswith(f"Python {platform.python_version()}") and f"{os.cpu_count()} cores" in system
    assert f"onnxruntime {importlib.metadata.version('onnxruntime')}" in packages


def test_the_version_needs_no_package(monkeypatch):
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert len(installation.about()) == 3


def complete(shell: str, words: str, place: int) -> list[str]:
    """Ask as the script of ``--show-completion`` does."""
    asked = {"_S2RCTL_COMPLETE": f"complete_{shell}", "COMP_WORDS": words, "COMP_CWORD": str(place)}
    asked |= {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args", "PYTHONPATH": str(TOP)}
    # Installed, the program is called s2rctl; the name decides which variable is asked for.
    program = "import sys; from s2rctl.cli.main import run; sys.argv = ['s2rctl']; run()"
    call = [sys.executable, "-c", program]
    done = subprocess.run(call, env=os.environ | asked, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "place", "expected"),
    [
        ("s2rctl calib", 1, ["calibrate-camera"]),
        ("s2rctl artifacts ver", 2, ["verify"]),
        ("s2rctl evaluate --sens", 2, ["--sensitivity"]),
        ("s2rctl deploy x --mode re", 4, ["rehearse"]),
        ("s2rctl pipeline plan -p xarm7-s", 4, ["xarm7-smoke"]),
        ("s2rctl profile show aloha-s", 3, ["aloha-smoke"]),
    ],
)
def test_bash_completes_commands_options_and_choices(words, place, expected):
    assert complete("bash", words, place) == expected


def test_artifacts_are_completed_and_no_store_is_no_reason_to_speak(tmp_path, monkeypatch):
    monkeypatch.setenv("S2RCTL_STORE", str(tmp_path / "store"))
    assert complete("bash", "s2rctl evaluate onnx/", 2) == []
    assert main(["artifacts", "import", "xarm7-reach"]) == 0
    assert complete("bash", "s2rctl evaluate onnx/", 2) == ["onnx/xarm7-reach:pretrained"]
    (tmp_path / "file").write_text("no store")
    monkeypatch.setenv("S2RCTL_STORE", str(tmp_path / "file"))
    assert complete("bash", "s2rctl artifacts show o", 3) == []


def test_zsh_and_fish_complete_commands():
    assert '"doctor"' in " ".join(complete("zsh", "s2rctl doc", 1))
    assert complete("fish", "s2rctl doc", 1)[0] == "doctor"
