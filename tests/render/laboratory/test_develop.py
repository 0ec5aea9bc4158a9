import numpy as np
import pytest

from s2rctl.render.laboratory.chance import Chance
from s2rctl.render.laboratory.develop import bent, develop
from s2rctl.render.laboratory.light import temperature_colour
from s2rctl.schema.laboratory import LOOK_AXES

N, H, W = 3, 32, 32
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(40, 200, (N, H, W, 3)).astype(np.uint8)
IMAGES[:, 8:20, 10:24] = (200, 30, 30)


def values(**held: float) -> dict[str, np.ndarray]:
    return {name: np.full(N, held.get(name, axis.nominal)) for name, axis in LOOK_AXES.items()}


def chance(frame: int = 0) -> Chance:
    return Chance((world, frame) for world in range(N))


def test_a_nominal_camera_changes_nothing():
    assert np.array_equal(develop(IMAGES, values(), chance()), IMAGES)
    assert np.array_equal(bent(IMAGES, np.zeros(N)), IMAGES)


SPOILS = {
    "exposure": 1.0,
    "auto_exposure": 1.0,
    "white_balance": 0.5,
    "gamma": 1.4,
    "saturation": 0.4,
    "vignette": 0.6,
    "blur": 0.8,
    "motion_blur": 1.5,
    "noise": 0.05,
    "rolling_noise": 0.03,
    "bayer": 1.0,
    "jpeg": 0.7,
}


@pytest.mark.parametrize("axis", SPOILS)
def test_each_axis_spoils_the_picture_the_same_way_again(axis):
    spoilt = develop(IMAGES, values(**{axis: SPOILS[axis]}), chance())
    assert np.abs(spoilt.astype(int) - IMAGES).mean() > 1
    assert np.array_equal(spoilt, develop(IMAGES, values(**{axis: SPOILS[axis]}), chance()))


@pytest.mark.parametrize("axis", sorted({"noise", "rolling_noise", "motion_blur"}))
def test_frames_differ_and_one_frame_is_the_same_in_any_company(axis):
    held = values(**{axis: SPOILS[axis]})
    first, second = develop(IMAGES, held, chance(0)), develop(IMAGES, held, chance(1))
    assert not np.array_equal(first, second)
    alone = develop(IMAGES[1:2], {name: value[1:2] for name, value in held.items()}, Chance([(1, 0)]))
    assert np.array_equal(alone[0], first[1])


def test_other_frames_values_leave_a_frame_alone():
    held = values()
    for axis, value in SPOILS.items():
        held[axis] = np.array([held[axis][0], value, held[axis][2]])
    spoilt = develop(IMAGES, held, chance())
    assert np.array_equal(spoilt[0], IMAGES[0])
    assert not np.array_equal(spoilt[1], IMAGES[1])


def test_exposure_doubles_light_and_white_balance_turns_red_against_blue():
    grey = np.full((N, H, W, 3), 100, np.uint8)
    brighter = develop(grey, values(exposure=1.0), chance())
    assert (brighter / 255.0) ** 2.2 == pytest.approx(2 * (100 / 255.0) ** 2.2, rel=0.02)
    red, green, blue = develop(grey, values(white_balance=1.0), chance())[0, 0, 0].tolist()
    assert red > green > blue


def test_a_bent_picture_keeps_its_centre():
    out = bent(IMAGES, np.full(N, 0.1))
    assert np.array_equal(out[:, 15:17, 15:17], IMAGES[:, 15:17, 15:17])
    assert not np.array_equal(out, IMAGES)


def test_warm_lamps_are_red_and_cold_ones_blue():
    assert temperature_colour(6500.0) == pytest.approx(np.ones(3))
    warm, cold = temperature_colour(3000.0), temperature_colour(10000.0)
    assert warm[0] > 1 > warm[2]
    assert cold[0] < 1 < cold[2]
