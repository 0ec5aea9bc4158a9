"""kill -9 at system calls that write, in everything that changes a store: whole before, whole after, and goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.kill_driver import OPERATIONS
from tests.waiting import HANG_S

FEW = 6
"""Points of each operation by default, evenly spread; and two at which a write is torn."""


def killed(operation: str, folder: Path, points: int, seconds: float) -> list[dict]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.kill_driver", operation, str(folder), str(points)],
        capture_output=True,
        text=True,
        timeout=seconds,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    if "untraceable" in found[0]:
        pytest.skip(f"processes cannot be traced here: {found[0]['untraceable']}")
    return found


@pytest.mark.parametrize("operation", OPERATIONS)
def test_at_some_calls(operation, tmp_path):
    check(killed(operation, tmp_path, FEW, HANG_S), FEW)


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_at_every_call(operation, tmp_path):
    check(killed(operation, tmp_path, 0, 40 * HANG_S), 15)


def check(found: list[dict], least: int) -> None:
    assert len(found) >= least and all(point["killed"] for point in found), found
    bad = [point for point in found if not (point["clean"] and point["kept"] and point["again"])]
    assert bad == [], "clean: the store verifies; kept: nothing published is lost; again: the same command completes"
