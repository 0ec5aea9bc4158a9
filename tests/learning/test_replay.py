import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.learning.replay import Field, Replay

FIELDS = {"number": Field((), np.int64), "world": Field((), np.int64), "image": Field((2, 2), np.uint8)}


def rows(first, count, worlds):
    number = np.repeat(np.arange(first, first + count)[:, None], worlds, axis=1)
    world = np.repeat(np.arange(worlds)[None], count, axis=0)
    return {"number": number, "world": world, "image": np.zeros((count, worlds, 2, 2), np.uint8)}


@settings(max_examples=40, deadline=None)
@given(steps=st.integers(4, 17), chunks=st.lists(st.integers(1, 4), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_samples_are_the_newest_steps_with_their_successors_of_the_same_world(steps, chunks, seed):
    replay, written = Replay(steps, 3, FIELDS), 0
    for count in chunks:
        replay.add(rows(written, count, 3))
        written += count
    if written < 2:
        with pytest.raises(ValueError, match="no transition"):
            replay.sample(np.random.default_rng(seed), 5, ("number",))
        return
    found = replay.sample(np.random.default_rng(seed), 64, ("number", "world"))
    assert np.array_equal(found["next_number"], found["number"] + 1)
    assert np.array_equal(found["next_world"], found["world"])
    assert max(0, written - steps) <= found["number"].min() and found["number"].max() <= written - 2


def test_every_transition_is_drawn_about_equally_often():
    replay = Replay(10, 2, FIELDS)
    replay.add(rows(0, 10, 2))
    drawn = replay.sample(np.random.default_rng(0), 18_000, ())
    counts = np.bincount(drawn["number"] * 2 + drawn["world"])
    assert len(counts) == 18 and counts.min() > 850 and counts.max() < 1150


def test_files_keep_the_experience_for_a_resumed_run(tmp_path):
    first = Replay(6, 2, FIELDS, tmp_path)
    first.add(rows(0, 4, 2))
    kept = first.position()
    del first
    second = Replay(6, 2, FIELDS, tmp_path)
    second.move_to(kept)
    assert sorted(set(second.sample(np.random.default_rng(0), 100, ())["number"])) == [0, 1, 2]


def test_a_buffer_of_another_size_starts_anew(tmp_path):
    Replay(6, 2, FIELDS, tmp_path).add(rows(1, 4, 2))
    assert Replay(7, 2, FIELDS, tmp_path).filled == 0
    assert (tmp_path / "number.bin").stat().st_size == 7 * 2 * 8


def test_no_space_on_the_disk_is_said_before_training(tmp_path, monkeypatch):
    def full(descriptor, offset, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(MissingEnvironmentError, match="GB") as caught:
        Replay(6, 2, FIELDS, tmp_path)
    assert "reach.replay" in caught.value.hint and not list(tmp_path.iterdir())
