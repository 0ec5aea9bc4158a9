import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2rctl.emulation.dynamixel.motor import Motor
from s2rctl.emulation.dynamixel.profile import Profile
from s2rctl.robots.aloha.motors import CURRENT_LIMIT, HARDWARE_ERROR, PWM_LIMIT, XM540_W270

DT = 0.002


def travel(goal, fastest, acceleration, steps=6000):
    profile, places = Profile(), []
    for _ in range(steps):
        profile.move(goal, fastest, acceleration, DT)
        places.append(profile.position)
    return np.array(places)


def test_without_limits_the_set_point_is_at_its_goal_at_once_and_with_one_it_travels_evenly():
    assert travel(1.0, 0.0, 5.0, 1)[0] == 1.0
    places = travel(-1.0, 0.5, 0.0)
    assert np.allclose(np.diff(places)[: int(1.9 / DT)], -0.5 * DT)
    assert places[-1] == pytest.approx(-1.0)


@pytest.mark.parametrize(("goal", "fastest"), [(1.0, 0.5), (-0.02, 2.0)])
def test_with_an_acceleration_it_is_a_trapezoid_or_a_triangle(goal, fastest):
    acceleration = 2.0
    places = travel(goal, fastest, acceleration)
    speed = np.diff(places, prepend=0.0) / DT
    assert np.abs(np.diff(speed)).max() <= acceleration * DT + 1e-9
    peak = min(fastest, math.sqrt(acceleration * abs(goal)))  # of the triangle: half of the way gains it
    assert np.abs(speed).max() == pytest.approx(peak, rel=0.1)
    lasts = peak / acceleration + abs(goal) / peak  # gaining, coasting, braking
    arrived = np.flatnonzero(np.abs(places - goal) < 1e-4)[0] * DT
    assert arrived == pytest.approx(lasts, rel=0.1)
    assert abs(places[-1] - goal) < 1e-9


@given(
    goals=st.lists(st.floats(-3, 3), min_size=1, max_size=5),
    fastest=st.floats(0.05, 5),
    acceleration=st.floats(0.5, 50),
)
def test_the_set_point_never_exceeds_its_limits_and_always_arrives(goals, fastest, acceleration):
    profile = Profile()
    for goal in goals:
        for _ in range(50):
            before = profile.speed
            profile.move(goal, fastest, acceleration, DT)
            assert abs(profile.speed) <= fastest + 1e-9
            assert abs(profile.speed - before) <= acceleration * DT + 1e-9
    for _ in range(100_000):
        profile.move(goals[-1], fastest, acceleration, DT)
        if abs(profile.position - goals[-1]) < 1e-6:
            break
    assert abs(profile.position - goals[-1]) < 1e-6


def motor(volts=12.0):
    made = Motor(2, XM540_W270, True)
    made.supply(volts)
    return made


def test_torque_is_what_the_data_sheet_has_between_stall_and_no_load():
    low, high = motor().torques(0.0)
    assert high == pytest.approx(10.6) and low == pytest.approx(-10.6)
    half = 15 * 2 * math.pi / 60
    low, high = motor().torques(half)
    assert high == pytest.approx(5.3)
    assert low == pytest.approx(-2047 * 2.69e-3 * 10.6 / 4.4)  # braking is bounded by the current alone
    assert motor().torques(2 * half)[1] == pytest.approx(0.0, abs=1e-6)
    assert motor().torques(3 * half)[1] == 0.0


def test_less_voltage_less_pwm_and_a_lower_current_limit_leave_less():
    assert motor(10.0).torques(0.0)[1] == pytest.approx(10.6 * 10 / 12)
    weak = motor()
    weak.set(PWM_LIMIT, 443)
    assert weak.torques(0.0)[1] == pytest.approx(5.3, rel=0.01)
    weak.set(CURRENT_LIMIT, 500)
    assert weak.torques(0.0)[1] == pytest.approx(500 * 2.69e-3 * 10.6 / 4.4)


def test_a_voltage_below_the_limit_is_an_error_that_stays():
    sagging = motor()
    assert not sagging.alert()
    sagging.supply(9.4)
    assert sagging.get(HARDWARE_ERROR) == 1 and sagging.alert()
    sagging.reboot(0.0)
    assert sagging.alert()  # the voltage is still low
    sagging.supply(12.0)
    assert sagging.alert()
    sagging.reboot(0.0)
    assert not sagging.alert()
