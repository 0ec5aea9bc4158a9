"""Frames of a still scene tell what a camera does to its pictures, and refuse to tell what they cannot."""

import numpy as np
import pytest

from s2rctl.core.errors import UsageError
from s2rctl.identification.camera.clip import Clip
from s2rctl.identification.camera.identify import identify
from s2rctl.schema.camera_faults import MEANINGS
from tests.identification import still


def clip_of(rgb=None, depth=None) -> Clip:
    return Clip("wrist", rgb, depth)


@pytest.fixture(scope="module")
def found():
    return identify(clip_of(still.colour_frames(), still.depth_frames()), still.flat_frame(0.3)[None])


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("pixel_noise", still.NOISE),
        ("brightness", 0.05),
        ("vignette", 0.3),
        ("disparity_constant", still.CONSTANT_MM),
        ("disparity_sigma", 0.3),
        ("loss", still.LOSS),
        ("scratches", 0),
        ("blackout", 0.0),
    ],
)
def test_a_camera_s_figures_are_within_their_intervals(found, name, truth):
    figure = found.figure(name)
    assert figure.told, figure.why
    assert figure.low <= truth <= figure.high
    assert figure.high - figure.low < 0.3 * MEANINGS[name].width


def test_without_a_flat_picture_no_vignette_is_told(found):
    figure = identify(clip_of(still.colour_frames())).figure("vignette")
    assert not figure.told and "--flat" in figure.why


def test_a_flat_picture_that_shows_something_tells_no_vignette():
    busy = still.flat_frame(0.1)
    busy[5:15, 5:15] //= 2
    figure = identify(clip_of(still.colour_frames()), busy[None]).figure("vignette")
    assert not figure.told and "something else" in figure.why


def test_brightness_that_drifts_slowly_is_told_as_such():
    rng = np.random.default_rng(1)
    drift = 1.0 + 0.05 * np.sin(np.arange(still.FRAMES) / 12.0)
    steady = 120.0 + 255.0 * still.NOISE * rng.uniform(-1, 1, (still.FRAMES, still.SIZE, still.SIZE, 3))
    frames = np.round(steady * drift[:, None, None, None]).astype(np.uint8)
    figure = identify(clip_of(frames)).figure("brightness")
    assert "drifts slowly" in figure.why and figure.high > 0.06


def test_depth_without_steps_tells_no_noise_of_them():
    depth = np.round(3000.0 + 3.0 * np.random.default_rng(0).normal(size=(60, 32, 32))).astype(np.uint16)
    found = identify(clip_of(depth=depth))
    assert not found.figure("disparity_constant").told and not found.figure("disparity_sigma").told
    assert found.figure("blackout").told


def test_frames_without_any_depth_are_counted():
    depth = still.depth_frames()
    depth[[3, 20, 21]] = 0
    figure = identify(clip_of(depth=depth)).figure("blackout")
    assert figure.value == pytest.approx(3 / still.FRAMES) and figure.low < 3 / still.FRAMES < figure.high


def test_frames_that_repeat_the_one_before_are_omitted():
    found = identify(clip_of(np.repeat(still.colour_frames(40), 2, axis=0)))
    assert (found.colour_frames, found.repeated) == (40, 40)
    noise = found.figure("pixel_noise")
    assert noise.low <= still.NOISE <= noise.high


@pytest.mark.parametrize("kind", ["colour", "depth"])
def test_a_scene_that_moves_is_refused(kind):
    clip = clip_of(still.colour_frames(move=12)) if kind == "colour" else clip_of(depth=still.depth_frames(move=12))
    with pytest.raises(UsageError, match="moves") as error:
        identify(clip)
    assert "nothing moves" in error.value.hint


def test_too_few_frames_are_refused():
    with pytest.raises(UsageError, match="too few") as error:
        identify(clip_of(still.colour_frames(10)))
    assert "30" in error.value.hint


def test_many_repeats_are_named_as_the_reason():
    with pytest.raises(UsageError, match="90 more repeat"):
        identify(clip_of(np.repeat(still.colour_frames(10), 10, axis=0)))


def test_a_flat_picture_of_another_size_is_refused():
    with pytest.raises(UsageError, match="the flat picture is 16 x 16"):
        identify(clip_of(still.colour_frames()), np.full((1, 16, 16, 3), 120, np.uint8))
