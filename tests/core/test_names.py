import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2rctl.core.names import part_fault, path_fault, paths_fault

BAD_PARTS = ["", ".", "..", "a/b", "a\\b", "a\0b", "a\nb", "a\x1b[31m", "\x7f", "\ud800", "a" * 256, "é" * 128]
BAD_PATHS = ["", "/a", "a/", "a//b", "x/../../victim", "./a", "a/.", "..", "a\\..\\b", "/".join(["d" * 200] * 6)]


@pytest.mark.parametrize("part", BAD_PARTS)
def test_what_cannot_be_one_name_is_refused(part):
    assert part_fault(part)


@pytest.mark.parametrize("path", [*BAD_PATHS, *(f"x/{part}" for part in BAD_PARTS if "/" not in part)])
def test_what_cannot_be_a_path_below_a_folder_is_refused(path):
    assert path_fault(path)


def test_names_in_use_are_accepted():
    for path in ("a", "policy/own.bin", "events.out.tfevents.1", "a" * 255, "é" * 127, "...", "-", "a b"):
        assert path_fault(path) is None


@given(path=st.one_of(st.text(max_size=40), st.text("a./\\ ", max_size=12)))
def test_an_accepted_path_stays_below_its_folder(path, tmp_path_factory):
    if path_fault(path) is None:
        top = tmp_path_factory.getbasetemp().resolve()
        assert (top / path).resolve().relative_to(top).as_posix() == path


def test_files_that_cannot_lie_side_by_side_are_refused():
    assert paths_fault(["a", "b/c", "b/d", "bc"]) is None
    assert "twice" in str(paths_fault(["a", "a"]))
    assert "folder of" in str(paths_fault(["a/b/c", "a"]))
    assert "folder of" in str(paths_fault(["a", "a/b"]))
