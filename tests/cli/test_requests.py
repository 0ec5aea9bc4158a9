"""Requests to stop a command that has no loop of its own: exit 130 and two lines, wherever the request comes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
REQUESTS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
DURING_AN_IMPORT = """
import os, sys
class Asks:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            for _ in range({times}):
                os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Asks())
from s2rctl.cli.main import run
run()
"""
IN_THE_STORE = """
import os
from s2rctl.store.refs import Refs
Refs.all = lambda *_: os.kill(os.getpid(), {number}) or {{}}
from s2rctl.cli.main import run
run()
"""


def python(code: str, *words: str, folder: Path, **options) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(TOP)}, capture_output=True, text=True, check=False, **options,
    )  # fmt: skip


@pytest.mark.parametrize("number", REQUESTS)
@pytest.mark.parametrize("module", ["s2rctl.cli.output", "typer", "s2rctl.cli.artifacts"])
def test_while_python_imports(tmp_path, module, number):
    code = DURING_AN_IMPORT.format(module=module, number=int(number), times=1)
    done = python(code, "artifacts", "list", folder=tmp_path)
    assert (done.returncode, done.stdout) == (130, ""), done
    assert done.stderr == "error: interrupted\nhint: run the command again to resume\n"


def test_while_python_imports_for_a_program(tmp_path):
    code = DURING_AN_IMPORT.format(module="typer", number=int(signal.SIGTERM), times=1)
    done = python(code, "artifacts", "list", "--json", folder=tmp_path)
    assert done.returncode == 130 and json.loads(done.stdout)["error"]["code"] == 130


@pytest.mark.parametrize("number", REQUESTS)
def test_while_a_short_command_runs(tmp_path, number):
    done = python(IN_THE_STORE.format(number=int(number)), "artifacts", "list", folder=tmp_path)
    assert (done.returncode, done.stdout) == (130, ""), done
    assert done.stderr == "error: interrupted\nhint: run the command again to resume\n"


def test_a_request_that_is_ignored_stays_ignored(tmp_path):
    done = python(
        IN_THE_STORE.format(number=int(signal.SIGHUP)),
        "artifacts", "list", folder=tmp_path, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    assert done.returncode == 0, done
