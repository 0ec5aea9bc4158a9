import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
DRIVER = Path(__file__).with_name("full_disk_driver.py")


def _own_namespace() -> list[str]:
    """Return the words before a program that may mount without anybody else seeing it, or skip."""
    words = ["unshare", "--mount", "--propagation", "private"]
    try:
        probe = [*words, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/mnt"]
        done = subprocess.run(probe, capture_output=True, timeout=60, check=False)
    except OSError:
        pytest.skip("there is no unshare here")
    if done.returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    return words


@pytest.mark.parametrize("lock", ["lock file", "no lock file"])
@pytest.mark.parametrize("how", ["tmpfs", "injected"])
def test_commands_that_make_space_need_none(how, lock, tmp_path):
    before = _own_namespace() if how == "tmpfs" else []
    done = subprocess.run(
        [*before, sys.executable, str(DRIVER), how, lock, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    assert line is not None, done.stderr
    result = json.loads(line.removeprefix("RESULT "))
    assert set(result["codes"].values()) == {0}, (result, done.stderr)
    assert result["manifests"] == result["blobs"] == 1 and result["refs"] == ["teacher/kept:latest"]


def test_a_read_only_store_can_be_read_and_its_printed_path_stays(tmp_path):
    before = _own_namespace()
    program = f"""
import subprocess, sys
from pathlib import Path
from tests.store.full_disk_driver import publish
from s2rctl.store.store import Store
store = Store(Path({str(tmp_path)!r}) / "store")
store.set_ref("teacher/pick", publish(store, "pick").id, "test")
def call(*words):
    return subprocess.run([sys.executable, "-m", "s2rctl.cli.main", *words, "--store", str(store.root)],
                          capture_output=True, text=True, timeout=120)
subprocess.run(["mount", "--bind", "-o", "ro", str(store.root), str(store.root)], check=True)
subprocess.run(["mount", "-o", "remount,bind,ro", str(store.root)], check=True)
path = call("artifacts", "path", "teacher/pick", "w.bin")
assert path.returncode == 0, path.stderr
print("CONTENT", Path(path.stdout.strip()).read_bytes()[:4])
lines = ("list", "verify", "gc --yes", "path teacher/pick")
print("CODES", [call("artifacts", *line.split()).returncode for line in lines])
"""
    done = subprocess.run(
        [*before, sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(TOP), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "CONTENT b'pick'" in done.stdout, done.stderr
    assert "CODES [0, 0, 7, 0]" in done.stdout
    shutil.rmtree(tmp_path / "cache")
