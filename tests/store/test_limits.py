"""Quotas and clocks: what the operating system refuses or gets wrong costs nothing that was stored."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from s2rctl.cli.main import main
from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.pipeline.status import run_of
from s2rctl.store.gc import collect
from s2rctl.store.verify import verify
from tests.waiting import HANG_S

TOP = Path(__file__).resolve().parents[2]
DAY_S = 86_400.0

LIMITED = """
import resource, sys
from pathlib import Path
from s2rctl.cli.main import main
store, source = sys.argv[1:3]
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))   # as ulimit -f has it
words = [["import", source], ["tag", "teacher/kept", "candidate"], ["verify"], ["gc", "--yes"], ["list"]]
print("CODES", [main(["artifacts", *line, "--store", store, "-q"]) for line in words])
"""


def test_a_limit_on_the_size_of_files(store, publish, tmp_path, capsys):
    """What is too large is refused with exit code 7; everything else works, and so does the import without a limit."""
    kept = publish(store, "kept")
    store.set_ref("teacher/kept", kept.id, "test")
    other = type(store)(tmp_path / "other")
    large = publish(other, "large", content=os.urandom(200_000))
    other.set_ref("teacher/large", large.id, "test")
    archive = tmp_path / "large.tar"
    assert main(["artifacts", "export", "teacher/large", str(archive), "--store", str(other.root)]) == 0
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(store.root), str(archive)],
        capture_output=True, text=True, timeout=HANG_S, check=False, env=os.environ | {"PYTHONPATH": str(TOP)},
    )  # fmt: skip
    assert "CODES [7, 0, 0, 0, 0]" in done.stdout, done.stderr
    assert "no space left for the store" in done.stderr and "hint: free space" in done.stderr
    assert verify(store, full=True).clean and store.get(kept.id).intact() and len(list(store.ids())) == 1
    assert not list((store.root / "tmp").iterdir())
    assert main(["artifacts", "import", str(archive), "--store", str(store.root)]) == 0
    assert store.get(large.id).intact() and verify(store, full=True).clean


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_quota_that_is_exceeded_at_any_write(call, store, publish, monkeypatch):
    """The kernel says so when a block is needed, which may be as late as when a file is synced or renamed."""
    kept = publish(store, "kept")
    before = {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()}
    count, again, real = 0, True, getattr(os, call)
    while again:
        count += 1
        left, again = count, False

        def refused(*arguments, **options):
            nonlocal left, again
            left -= 1
            if left == 0:
                again = True
                raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
            return real(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, refused)
            try:
                publish(store, f"new-{count}", content=b"%d" % count)
            except MissingEnvironmentError as error:
                assert "no space left" in error.message
        assert verify(store, full=True).clean and store.get(kept.id).intact()
    assert count > 2 and before.items() <= {p: p.read_bytes() for p in store.root.rglob("*") if p.is_file()}.items()


def shifted(root: Path, seconds: float) -> None:
    """Let everything there have been written by a clock that was ahead (or behind) by so much."""
    for path in root.rglob("*"):
        status = path.lstat()
        os.utime(path, (status.st_atime + seconds, status.st_mtime + seconds), follow_symlinks=False)


@pytest.mark.parametrize("ahead", [DAY_S, 400 * DAY_S])
def test_after_the_clock_was_set_back_nothing_is_collected_and_everything_goes_on(ahead, store, publish):
    tagged, loose = publish(store, "tagged", key="a" * 64), publish(store, "loose", content=b"loose")
    store.set_ref("teacher/tagged", tagged.id, "test")
    shifted(store.root, ahead)
    garbage = collect(store)
    assert garbage.manifests == () and garbage.blobs == () and store.get(loose.id).intact(), "it seems to be young"
    newer = publish(store, "tagged", content=b"newer")
    store.set_ref("teacher/tagged", newer.id, "test")
    assert store.resolve("teacher/tagged").id == newer.id and store.lookup_key("a" * 64).id == tagged.id
    assert publish(store, "tagged", key="a" * 64).id == tagged.id
    assert verify(store, full=True).clean
    assert loose.id in collect(store, now=time.time() + ahead + DAY_S).manifests
    assert store.get(newer.id).intact() and verify(store, full=True).clean


def test_a_run_that_began_in_the_future_has_no_negative_times(store):
    folder, later = store.run_folder("b" * 64), time.time() + DAY_S
    said = {"begun": later, "first_at": later, "updated": later + 10, "done": 5, "first_done": 0, "total": 10}
    (folder / "state.json").write_text(json.dumps({"stage": "distill", "profile": "aloha", "seconds": 7}))
    (folder / "progress.json").write_text(json.dumps(said | {"part": "distill", "unit": "steps", "metrics": {}}))
    run = run_of(store, folder.name, time.time())
    assert run is not None and run.silent_s == 0 and 7 <= run.spent_s < 60 and run.eta_s == pytest.approx(10)
