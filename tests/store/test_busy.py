"""Several processes at once in one store: whatever they collect, nothing that any of them has tagged is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from s2rctl.store.store import Store
from s2rctl.store.verify import verify
from tests.waiting import HANG_S

STILL_S = "8"
TOP = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("seconds", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_two_processes_publish_tag_forget_and_collect(seconds, tmp_path):
    """Garbage is what has been nobody's for as long as a process may stand still between publishing and tagging."""
    programs = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.store.busy_driver", str(tmp_path / "store"), name, str(seconds), STILL_S],
            env=os.environ | {"PYTHONPATH": str(TOP)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    ends = [program.communicate(timeout=seconds + 2 * HANG_S) for program in programs]
    assert [program.returncode for program in programs] == [0, 0], [err[-3000:] for _, err in ends]
    store = Store(tmp_path / "store")
    told = [json.loads(out) for out, _ in ends]
    assert all(min(one["done"].values()) > 0 and len(one["done"]) == 4 for one in told), told
    verdict = verify(store, full=True)
    assert verdict.clean, verdict
    refs = store.refs.all()
    for one in told:
        for ref, identity in one["tagged"].items():
            assert refs[ref] == identity and store.get(identity).intact(), ref
    assert len(refs) == sum(len(one["tagged"]) for one in told)
