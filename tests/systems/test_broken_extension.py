"""An extension that cannot be used is named, and keeps nobody else from working."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

GROUPS = ("systems", "profiles", "tasks", "scenes", "experts", "robots")
BROKEN = {
    "a module that is not there": ("nosuchmodule_zz:X", ""),
    "an attribute that is not there": ("broken_zz:nosuch", ""),
    "no target": ("not a target!!", ""),
    "no Python": ("broken_zz:X", "def ("),
    "a module that raises": ("broken_zz:X", "raise RuntimeError('boom\\nhint: run this \\x1b[31m')"),
    "a module that ends the program": ("broken_zz:X", "import sys; sys.exit(0)"),
    "an exception that cannot be shown": (
        "broken_zz:X",
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E",
    ),
    "something else": ("broken_zz:X", "X = 3"),
    "a package that is not installed": ("broken_zz:X", "import jax_of_another_name"),
}


@pytest.fixture(params=BROKEN)
def run(request, tmp_path):
    """Run a command line in a folder of its own, with a broken extension installed; the finished process."""
    target, module = BROKEN[request.param]
    site = tmp_path / "site"
    info = site / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "broken_zz.py").write_text(module)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("".join(f"[s2rctl.{group}]\nextra = {target}\n" for group in GROUPS))
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.yaml").write_text("system: extra\nname: mine\n")
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", str(Path.cwd()))])

    def call(*words):
        return subprocess.run(
            [sys.executable, "-m", "s2rctl.cli.main", *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": path, "S2RCTL_STORE": str(tmp_path / "store")},
        )

    return call


def test_it_is_named_in_two_lines_and_the_rest_works(run):
    own = run("profile", "validate", "mine")
    assert own.returncode == 7, own.stderr
    error, hint = own.stderr.splitlines()
    assert error.startswith("error: the system 'extra' of the package broken cannot be used"), error
    assert hint == "hint: repair the package, or pip uninstall broken"
    assert "\x1b" not in own.stderr

    listed = run("profile", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    rows = {row["name"]: row for row in json.loads(listed.stdout)["data"]["profiles"]}
    assert rows["mine"]["system"] == "-" and rows["aloha"]["system"] == "aloha"

    schema = run("profile", "schema", "--json")
    assert schema.returncode == 0, schema.stderr
    assert "AlohaProfile" in schema.stdout


@pytest.mark.parametrize("run", ["a module that raises"], indirect=True)
def test_commands_that_look_through_every_system_go_on(run):
    brought = run("artifacts", "import", "xarm7-reach", "--json")
    assert brought.returncode == 0, brought.stderr
    wrong = run("evaluate", "encoder/xarm7:pretrained")
    assert wrong.returncode == 4, wrong.stderr
    assert "error: encoder/xarm7 is of kind 'encoder', which is not a policy" in wrong.stderr
    assert "the system 'extra' of the package broken cannot be used" in wrong.stderr  # said as a warning
