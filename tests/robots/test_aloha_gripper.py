import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2rctl.robots.aloha.gripper import CLOSED_M, GRIPPERS, LEADER_GRIPPERS, OPEN_M, follow
from s2rctl.robots.aloha.motors import LEADING, VX300S, error_text, to_angle, to_ticks
from s2rctl.robots.aloha.specification import SPECIFICATION

ALL = [*GRIPPERS.values(), *LEADER_GRIPPERS.values()]
grippers = st.sampled_from(ALL)


@given(grippers, st.floats(0.0, 1.0))
def test_travel_and_angle_are_inverse_between_closed_and_open(gripper, part):
    travel = CLOSED_M + part * (OPEN_M - CLOSED_M)
    angle = gripper.angle(travel)
    assert gripper.travel(angle) == pytest.approx(travel, abs=1e-9)
    assert gripper.closed_rad - 1e-6 <= angle <= gripper.open_rad + 1e-6
    assert gripper.opening(travel) == pytest.approx(part, abs=1e-9)


@given(grippers, st.floats(-1.5, 1.5), st.floats(-3.0, 3.0))
def test_the_rate_is_the_derivative_of_the_travel(gripper, angle, speed):
    step = 1e-5
    slope = (gripper.travel(angle + step) - gripper.travel(angle - step)) / (2 * step)
    assert gripper.rate(angle, speed) == pytest.approx(slope * speed, abs=1e-6)


@given(grippers, st.floats(-0.05, 0.1))
def test_no_travel_is_out_of_the_motors_reach(gripper, travel):
    assert -math.pi / 2 <= gripper.angle(travel) <= math.pi / 2


def test_the_published_figures_of_the_first_generation():
    """Carriage at 0.01844 m closed and 0.05800 m open (tonyzhaozh/aloha): our travel is that, scaled to the scene's."""
    gripper = GRIPPERS["aloha1"]
    for share in (0.25, 0.5, 0.75):
        carriage = 0.01844 + share * (0.05800 - 0.01844)
        sine = (gripper.horn_m**2 + carriage**2 - gripper.rod_m**2) / (2 * gripper.horn_m * carriage)
        assert gripper.opening(float(gripper.travel(math.asin(sine)))) == pytest.approx(share, abs=3e-3)


@given(st.sampled_from(sorted(GRIPPERS)), st.floats(0.0, 1.0))
def test_a_follower_opens_as_far_as_its_leader(name, part):
    leader, follower = LEADER_GRIPPERS[name], GRIPPERS[name]
    travel = leader.closed_m + part * (leader.open_m - leader.closed_m)
    opened = follower.opening(float(follower.travel(follow(leader, follower, leader.angle(travel)))))
    assert opened == pytest.approx(part, abs=1e-6)


def test_measured_end_angles_replace_the_presets():
    gripper = GRIPPERS["aloha2"].between(0.1, 1.4)
    assert gripper.travel(0.1) == pytest.approx(CLOSED_M)
    assert gripper.travel(1.4) == pytest.approx(OPEN_M)


@given(st.floats(-math.pi, math.pi))
def test_ticks_are_half_a_tick_from_the_angle(angle):
    assert abs(to_angle(to_ticks(angle)) - angle) <= math.pi / 4096 + 1e-12
    assert 0 <= to_ticks(angle) <= 4096


@given(st.integers(0, 4095))
def test_every_tick_survives_the_round_trip(ticks):
    assert to_ticks(to_angle(ticks)) == ticks


def test_the_leading_motors_are_the_targets_of_an_arm():
    names = [target.partition("/")[2] for target in SPECIFICATION.targets[: len(LEADING)]]
    assert [motor.name for motor in LEADING] == names
    assert [motor.number for motor in VX300S] == list(range(1, 10))


def test_error_bits_have_names():
    assert error_text(1 << 5 | 1 << 2) == "overheating, overload"
    assert error_text(1 << 1) == "bit 1"
