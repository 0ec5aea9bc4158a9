"""Paths and names of the wrong sort, and damaged stores, from the command line: two lines, the right code, no harm."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from s2rctl.cli.main import main
from s2rctl.schema.manifest import StageRef
from s2rctl.store.store import Store

TOP = Path(__file__).resolve().parents[2]
LONG = "y" * 300


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Work in an empty folder beside a store with one artifact."""
    monkeypatch.setenv("S2RCTL_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("S2RCTL_DEBUG", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    store = Store(tmp_path / "store")
    (tmp_path / "weights.bin").write_bytes(b"weights")
    artifact = store.publish(
        "teacher",
        "pick",
        {"weights.bin": tmp_path / "weights.bin"},
        stage=StageRef(name="train", version=1),
        profile={"name": "tiny"},
        seed=0,
        key="a" * 64,
    )
    store.set_ref("teacher/pick", artifact.id, "test")
    return store


@pytest.fixture
def call(store, capsys):
    """Return a function that runs a command line, checks that a failure is two lines, and gives (exit code, stdout)."""

    def run(*words):
        code = main(words)
        captured = capsys.readouterr()
        if code:
            assert re.fullmatch(r"error: \S.*\nhint: \S.*\n", captured.err), captured.err
        return code, captured.out

    return run


def program(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "s2rctl.cli.main", *words],
        env=os.environ | {"PYTHONPATH": str(TOP)} | environment,
        capture_output=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [
        ("export", "teacher/pick", "."),
        ("export", "teacher/pick", ".."),
        ("export", "teacher/pick", "/"),
        ("export", "teacher/pick", "new/"),
        ("export", "teacher/pick", "file/inside.tar"),
        ("export", "teacher/pick", LONG),
        ("export", "teacher/pick", "pipe"),
        ("export", "teacher/pick", "link"),
        ("export", "teacher/pick", "x.tar", "--alias", LONG),
        ("export", "teacher/pick", "x.tar", "--alias", "A B"),
        ("import", "good.tar", "--alias", LONG),
        ("tag", "teacher/pick", LONG),
        ("tag", "teacher/pick", ".."),
        ("show", f"teacher/pick:{LONG}"),
        ("show", f"teacher/{LONG}"),
        ("rm", f"teacher/pick:{LONG}", "--yes"),
        ("list", "--events", "pipe"),
        ("list", "--events", "."),
    ],
)
def test_targets_and_names_of_the_wrong_sort_are_usage_errors_and_change_nothing(words, store, call):
    assert call("artifacts", "export", "teacher/pick", "good.tar")[0] == 0
    Path("file").write_bytes(b"kept")
    os.mkfifo("pipe")
    Path("link").symlink_to("file")
    before = sorted(p.name for p in Path().iterdir()), store.refs.all()
    assert call("artifacts", *words) == (2, "")
    assert (sorted(p.name for p in Path().iterdir()), store.refs.all()) == before
    assert Path("file").read_bytes() == b"kept" and Path("pipe").is_fifo() and Path("link").is_symlink()


@pytest.mark.parametrize("verb", ["list", "verify", "gc", "show x/y", "rm x/y --yes", "import good.tar"])
@pytest.mark.parametrize("place", ["file", "file/below", "pipe", "nowhere", LONG])
def test_a_store_that_is_no_folder_is_a_usage_error_and_no_empty_store(place, verb, call):
    assert call("artifacts", "export", "teacher/pick", "good.tar")[0] == 0
    Path("file").write_bytes(b"kept")
    os.mkfifo("pipe")
    Path("nowhere").symlink_to("gone")
    assert call("artifacts", *verb.split(), "--store", place) == (2, "")
    assert Path("file").read_bytes() == b"kept" and not Path("gone").exists()


@pytest.mark.parametrize("target", ["-", "/proc/self/fd/1"])
def test_an_archive_can_go_to_stdout_and_the_answer_goes_to_stderr(target, store, call):
    assert call("artifacts", "export", "teacher/pick", "x.tar")[0] == 0
    done = program("artifacts", "export", "teacher/pick", target, "--json")
    assert done.returncode == 0 and done.stdout == Path("x.tar").read_bytes()
    assert json.loads(done.stderr)["data"]["bytes"] == len(done.stdout)
    assert not Path("-").exists()


@pytest.mark.parametrize("words", [("render", "aloha", "-o"), ("latency", "fit", "x.mcap", "-p", "aloha", "-o")])
def test_other_outputs_do_not_replace_what_is_no_file_either(words, call):
    Path("file").write_bytes(b"kept")
    Path("link.png").symlink_to("file")
    Path("folder.png").mkdir()
    os.mkfifo("pipe.png")
    for name in ("link.png", "folder.png", "pipe.png"):
        assert call(*words, name) == (2, "")
    assert Path("link.png").is_symlink() and Path("pipe.png").is_fifo() and Path("file").read_bytes() == b"kept"


@pytest.mark.parametrize("damage", [b"\xff\xfe\x00random", b"", b"[" * 100_000])
@pytest.mark.parametrize("name", ["refs/teacher/pick/latest", f"keys/{'a' * 64}", "VERSION", "manifest", "refs.log"])
def test_damage_is_an_artifact_error_that_the_named_commands_repair(name, damage, store, call):
    identity = next(iter(store.ids()))
    path = store.root / (f"manifests/{identity}.json" if name == "manifest" else name)
    path.chmod(0o644)
    path.write_bytes(damage)
    for words in ("list", "show teacher/pick", "gc", "gc --yes", "verify", "verify"):
        assert call("artifacts", *words.split())[0] in (0, 4), words
    assert call("artifacts", "rm", "teacher/pick", "--yes")[0] == 0
    call("artifacts", "verify")
    for words in ("gc --yes", "list", "verify"):
        code, _ = call("artifacts", *words.split())
        assert code == 0 or (words == "verify" and name.startswith("keys"))


def test_a_folder_among_refs_is_no_bug_and_can_be_removed(store, call):
    folder = store.root / "refs/teacher/pick/folder"
    folder.mkdir()
    (folder / "inside").write_bytes(b"kept")
    for words in ("list", "show teacher/pick", "gc"):
        assert call("artifacts", *words.split())[0] == 0
    assert call("artifacts", "show", "teacher/pick:folder")[0] == 4
    assert call("artifacts", "rm", "teacher/pick:folder", "--yes")[0] == 0
    assert call("artifacts", "verify")[0] == 0
    assert (store.root / "quarantine/folder/inside").read_bytes() == b"kept"


def test_a_path_that_was_printed_stays_when_the_store_takes_no_checkout(store, tmp_path):
    shutil.rmtree(store.root / "checkouts", ignore_errors=True)
    (store.root / "checkouts").write_bytes(b"in the way")
    for cache in (tmp_path / "cache", tmp_path / "weights.bin"):  # the second one is no folder
        variables = {"XDG_CACHE_HOME": str(cache), "TMPDIR": str(tmp_path)}
        folder = program("artifacts", "path", "teacher/pick", **variables)
        file = program("artifacts", "path", "teacher/pick", "weights.bin", **variables)
        assert folder.returncode == file.returncode == 0, file.stderr
        assert (Path(folder.stdout.decode().strip()) / "weights.bin").read_bytes() == b"weights"
        assert Path(file.stdout.decode().strip()).read_bytes() == b"weights"
    assert (store.root / "checkouts").read_bytes() == b"in the way"
