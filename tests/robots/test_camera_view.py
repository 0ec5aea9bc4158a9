import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.robots.cameras.view import Fit, View
from s2rctl.schema.cameras import Intrinsics


def pinhole(width, height, fovy_deg, shift=(0.0, 0.0), stretch=1.0):
    focal = 0.5 * height / math.tan(math.radians(fovy_deg) / 2)
    cx, cy = (width - 1) / 2 + shift[0], (height - 1) / 2 + shift[1]
    return Intrinsics(width=width, height=height, fx=focal * stretch, fy=focal, cx=cx, cy=cy)


def picture(lens, fine=4):
    """What a camera sees of a wall with soft waves, averaged over each pixel."""
    columns = (np.arange(lens.width * fine) + 0.5) / fine - 0.5
    rows = (np.arange(lens.height * fine) + 0.5) / fine - 0.5
    x, y = np.meshgrid((columns - lens.cx) / lens.fx, (rows - lens.cy) / lens.fy)
    wall = np.stack([np.sin(9 * x + 1), np.cos(7 * y), np.sin(6 * (x + y))], -1) * 100 + 128
    return wall.reshape(lens.height, fine, lens.width, fine, 3).mean((1, 3)).round().astype(np.uint8)


@pytest.mark.parametrize("size", [(32, 32), (84, 84), (40, 24)])
@pytest.mark.parametrize(
    "lens",
    [
        pinhole(640, 480, 58),
        pinhole(320, 240, 70, shift=(6.5, -9.0)),
        pinhole(424, 300, 64, shift=(-3.3, 2.2), stretch=1.1),
    ],
    ids=["centred", "off-centre", "stretched"],
)
def test_the_policy_sees_what_its_own_camera_would_see(size, lens):
    view = View(*size, 42.0, None, None)
    seen = Fit(view, lens, "eye").colour(picture(lens))
    own = picture(pinhole(*size, 42.0), fine=16)
    assert seen.shape == (size[1], size[0], 3)
    assert np.abs(seen.astype(int) - own).max() <= 4


def test_a_wrong_window_would_be_noticed():
    lens = pinhole(640, 480, 58, shift=(20, 0))
    centred = lens.model_copy(update={"cx": 319.5})
    view = View(32, 32, 42.0, None, None)
    right, wrong = (Fit(view, used, "eye").colour(picture(lens)).astype(int) for used in (lens, centred))
    assert np.abs(right - wrong).max() > 20


def test_a_narrow_camera_is_refused_with_figures():
    with pytest.raises(MissingEnvironmentError, match=r"'eye' sees 42° vertically .* trained with 58°") as caught:
        Fit(View(32, 32, 58.0, None, None), pinhole(640, 480, 42), "eye")
    assert "robot.cameras.eye.width" in caught.value.hint


def test_depth_is_the_measurement_at_the_centre_in_the_contracts_unit():
    lens = pinhole(320, 240, 60)
    view = View(32, 32, 60.0, 1e-4, (0.0, 0.4))
    fit = Fit(view, lens, "eye", depth_scale_m=1e-3)
    counts = np.full((240, 320), 150, np.uint16)
    counts[:, 160:] = 250
    counts[:60] = 0
    counts[200:] = 900
    depth = fit.depth(counts)
    assert set(np.unique(depth)) == {0, 1500, 2500}  # no invented surface between 0.15 and 0.25 m
    assert not depth[:8].any() and not depth[27:].any()  # nothing, and out of range
    assert depth.dtype == np.uint16
    assert np.all(depth[10, :16] == 1500) and np.all(depth[10, 16:] == 2500)
    same = Fit(view, lens, "eye", depth_scale_m=1e-4).depth(counts * 10)
    assert np.array_equal(same, depth)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(16, 200),
    st.integers(16, 200),
    st.integers(1, 60),
    st.integers(1, 60),
    st.floats(10, 60),
    st.integers(0, 255),
    st.integers(0, 2**31),
)
def test_any_window_averages(width, height, w, h, fovy, level, seed):
    lens = pinhole(width, height, 90)
    view = View(w, h, fovy, None, None)
    try:
        fit = Fit(view, lens, "eye")
    except MissingEnvironmentError:
        return
    assert np.all(fit.colour(np.full((height, width, 3), level, np.uint8)) == level)
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    seen = fit.colour(noise)
    assert seen.min() >= noise.min() and seen.max() <= noise.max()
