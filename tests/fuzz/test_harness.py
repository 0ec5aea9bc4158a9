"""The fuzzers can fail: whatever breaks the property is found, made smaller, and written down."""

import mmap

import pytest

from s2rctl.core.errors import ArtifactError, S2rError
from s2rctl.core.exits import ExitCode
from tests.fuzz.box import Box, Finding
from tests.fuzz.child import LARGEST, Worker
from tests.fuzz.harness import Target, call, check
from tests.fuzz.mutate import RandomChooser


def target(run, **more) -> Target:
    return Target("toy", run, lambda: [b"fine"], **more)


def bug(code=ExitCode.BUG) -> S2rError:
    error = S2rError("a bug")
    error.exit_code = code
    return error


def raising(error):
    def run(data, box):
        raise error

    return run


def test_a_result_and_an_error_for_the_user_are_no_findings(tmp_path):
    box = Box(tmp_path / "box")
    assert check(target(lambda data, box: len(data)), b"abc", box) == "fine 3"
    assert check(target(raising(ArtifactError("damaged", "again"))), b"", box).startswith("ArtifactError damaged")


@pytest.mark.parametrize("error", [ValueError("x"), RecursionError(), bug(), bug(ExitCode.INTERRUPTED), S2rError(" ")])
def test_any_other_end_is_a_finding(tmp_path, error):
    with pytest.raises(Finding):
        check(target(raising(error)), b"", Box(tmp_path / "box"))


def write(data, box):
    (box.home / "../victim/f").write_bytes(data)


def make(data, box):
    (box.root / "new").mkdir()


def remove(data, box):
    (box.root / "victim" / "f").unlink()


@pytest.mark.parametrize("touch", [write, make, remove])
def test_a_touch_outside_is_a_finding_and_the_box_is_new_afterwards(tmp_path, touch):
    box = Box(tmp_path / "box")
    with pytest.raises(Finding, match="outside"):
        check(target(touch), b"other", box)
    assert check(target(lambda data, box: box.file("a/b", data).stat().st_size), b"xyz", box) == "fine 3"
    assert not any(box.home.iterdir())


def test_memory_is_bounded(tmp_path):
    with pytest.raises(Finding, match="MemoryError"):
        check(target(lambda data, box: bytearray(3 << 30)), b"", Box(tmp_path / "box"))


def test_the_command_line_is_judged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("profile", "validate", "missing", "--json")[0] == 3
    for text in ("error: x\nhint: y\x1b[31m\n", "Traceback (most recent call last)\nerror: x\nhint: y\n", "error: x\n"):

        def main(words, text=text):
            import sys

            sys.stderr.write(text)
            return 4

        with monkeypatch.context() as patch:
            patch.setattr("s2rctl.cli.main.main", main)
            with pytest.raises(Finding):
                call("artifacts", "list")


def test_a_finding_is_made_smaller_and_written_with_the_way_to_see_it_again(tmp_path):
    def run(data, box):
        assert b"!" not in data

    current = mmap.mmap(-1, 8 + LARGEST)
    worker = Worker(target(run), Box(tmp_path / "box"), tmp_path / "findings", current)
    assert worker.run(b"fine") and not worker.run(b"good")
    assert worker.run(b"some words around ! and behind it")
    (file,) = (tmp_path / "findings" / "toy").glob("*.bin")
    assert file.read_bytes() == b"!"
    assert f"--reproduce {file}" in file.with_suffix(".txt").read_text()
    assert len(worker.keys) == 1


def test_the_same_choices_make_the_same_input():
    toy = target(lambda data, box: None)
    assert [toy.drawn(RandomChooser(seed)) for seed in range(50)] == [toy.drawn(RandomChooser(n)) for n in range(50)]
