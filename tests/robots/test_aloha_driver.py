"""The driver through the genuine SDK against emulated arms on pseudo-terminals."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("dynamixel_sdk", reason="the vendor's SDK is an extra")

from s2rctl.core.errors import MissingEnvironmentError, SafetyStop, UsageError
from s2rctl.emulation.dynamixel.server import EmulatedAloha
from s2rctl.robots.aloha.driver import Aloha, make
from s2rctl.robots.aloha.motors import (
    BUS_WATCHDOG,
    CURRENT_LIMIT,
    DRIVE_MODE,
    GOAL_CURRENT,
    GOAL_POSITION,
    HARDWARE_ERROR,
    HOMING_OFFSET,
    MAX_POSITION,
    MODEL_NUMBER,
    OPERATING_MODE,
    PRESENT_POSITION,
    PROFILE_VELOCITY,
    RETURN_DELAY,
    SECONDARY_ID,
    Mode,
    Register,
    to_angle,
)
from s2rctl.robots.aloha.specification import SPECIFICATION
from s2rctl.robots.protocol import StopLevel, Target
from s2rctl.scene import SCENES
from s2rctl.schema.deployment import Safety
from s2rctl.schema.robots import AlohaRobot
from tests.driven import DrivenClock
from tests.waiting import wait_for

HOME = np.array(SPECIFICATION.home)
FIRMWARE = Register("firmware version", 6, 1)
SAFETY = Safety(device_watchdog_s=2.0, max_state_age_periods=8.0)
PERIOD_S = 0.05
SILENCE_S = 0.8 * 8.0 * PERIOD_S
DRIVEN = list(SPECIFICATION.target_joint)
SAG = 0.06  # rad: what the scene's wrist gives way under its own weight


@pytest.fixture(scope="module")
def model():
    return SCENES.load("insertion")(0.005)


@pytest.fixture
def clock():
    """The time of arms and driver; it passes only where a test says so."""
    return DrivenClock()


@pytest.fixture
def emulator(model, clock):
    with EmulatedAloha(model, clock=clock) as running:
        clock.has_users(1)
        running.clock = clock
        yield running


def driver_of(emulator, safety=SAFETY, period_s=PERIOD_S, **changes):
    return make(AlohaRobot(name="aloha", ports=emulator.ports, **changes), safety, period_s, emulator.clock)


@pytest.fixture
def aloha(emulator):
    driver = driver_of(emulator)
    identity = driver.connect()
    assert identity.firmware == "46"
    yield driver
    driver.close()


def test_the_bring_up_holds_both_arms_where_they_are(emulator, aloha, clock):
    clock.advance(0.5)
    state = aloha.read()
    assert clock.now() - state.t <= 0.05
    np.testing.assert_allclose(state.joint_pos[DRIVEN], HOME, atol=SAG)
    assert state.joint_pos[7] == state.joint_pos[6]
    assert state.tool.shape == (2, 7)
    assert state.codes == ()
    for bus in emulator.arms.buses.values():
        assert all(motor.torque for motor in bus.motors.values())
        assert all(motor.get(BUS_WATCHDOG) == 100 for motor in bus.motors.values())
        gripper = bus.motors[9]
        assert gripper.get(OPERATING_MODE) == Mode.CURRENT_BASED_POSITION
        assert gripper.get(GOAL_CURRENT) == 200
        assert bus.motors[1].get(PROFILE_VELOCITY) == round(1.5 / 0.02398)


def test_targets_are_followed_by_both_arms_with_their_shadows(emulator, aloha, clock):
    target = HOME.copy()
    target[[0, 2, 7, 9]] += (0.2, -0.15, -0.2, -0.15)
    target[[6, 13]] = (0.02, 0.03)
    for part in np.linspace(0, 1, 12)[1:]:
        aloha.send(Target(HOME + part * (target - HOME)))
        clock.advance(0.05)
    clock.until(lambda: np.allclose(aloha.read().joint_pos[DRIVEN], target, atol=SAG), 2.0)
    elbow, shadow = (emulator.arms.motor("left", name) for name in ("elbow", "elbow_shadow"))
    assert elbow.get(GOAL_POSITION) == shadow.get(GOAL_POSITION)
    assert to_angle(elbow.get(GOAL_POSITION)) == pytest.approx(target[2], abs=1e-3)
    clock.advance(0.3)
    np.testing.assert_allclose(aloha.read().joint_pos[[6, 14]], target[[6, 13]], atol=0.002)


def test_the_motors_limit_their_speed_themselves(aloha, clock):
    begin = aloha.read().joint_pos[0]
    jump = HOME.copy()
    jump[0] += 1.5
    aloha.send(Target(jump))
    clock.advance(0.4)
    assert 0.2 < aloha.read().joint_pos[0] - begin < 1.5 * 0.45


def test_goals_beyond_a_motors_limit_end_at_it(emulator, aloha, clock):
    low = HOME.copy()
    low[1] = SPECIFICATION.target_low[1] - 0.1
    aloha.send(Target(low))
    clock.until(lambda: emulator.arms.motor("left", "shoulder").get(GOAL_POSITION) == 841, 0.1)


@pytest.mark.parametrize("values", [np.full(14, np.nan), np.full(14, np.inf), np.zeros(13)])
def test_what_is_not_fourteen_finite_numbers_is_never_sent(emulator, aloha, clock, values):
    before = emulator.figures()["commands"]
    with pytest.raises(SafetyStop, match="finite"):
        aloha.send(Target(values))
    with pytest.raises(SafetyStop):
        aloha.send(Target(np.zeros(3)))
    clock.advance(0.05)
    assert emulator.figures()["commands"] == before


@pytest.mark.parametrize("level", list(StopLevel))
def test_a_stop_ends_the_motion_and_keeps_torque(emulator, aloha, clock, level):
    jump = HOME.copy()
    jump[[0, 7]] += 1.0
    aloha.send(Target(jump))
    clock.advance(0.3)
    aloha.stop(level)
    clock.advance(0.7)
    assert np.abs(aloha.read().joint_vel[[0, 8]]).max() < 0.03
    stopped = aloha.read().joint_pos[0]
    assert stopped < jump[0] - 0.3
    with pytest.raises(SafetyStop, match="stopped"):
        aloha.send(Target(jump))
    clock.advance(0.3)
    assert abs(aloha.read().joint_pos[0] - stopped) < 0.03
    assert emulator.arms.motor("left", "shoulder").torque


def test_closing_leaves_the_arms_held_and_the_watchdog_off(emulator, aloha, clock):
    aloha.close()
    clock.advance(SAFETY.device_watchdog_s + 0.5)
    figures = emulator.figures()
    assert figures["stopped_by_watchdog"] == []
    assert all(m.torque for bus in emulator.arms.buses.values() for m in bus.motors.values())
    again = driver_of(emulator)
    again.connect()
    again.close()


def test_overload_is_named_and_never_cleared_by_itself(emulator, aloha, clock):
    emulator.arms.motor("right", "gripper").fail(1 << 5)
    clock.until(lambda: aloha.read().codes == ("right arm, motor 9 (gripper): overload",), 0.5)
    aloha.close()
    again = driver_of(emulator)
    with pytest.raises(SafetyStop, match=r"right arm, motor 9 \(gripper\): reports overload") as caught:
        again.connect()
    assert "robot recover" in caught.value.hint
    assert emulator.arms.motor("right", "gripper").get(HARDWARE_ERROR) == 1 << 5
    again.recover()
    assert again.read().codes == ()
    assert emulator.arms.motor("right", "gripper").torque
    again.send(Target(HOME))
    again.close()


def test_torque_that_goes_away_is_an_error(emulator, aloha, clock):
    emulator.arms.motor("left", "elbow_shadow").table[64] = 0
    clock.until(lambda: "its torque is off" in " ".join(aloha.read().codes), 0.5)


def test_single_damaged_packets_do_no_harm_and_a_dead_line_is_an_error(emulator, aloha, clock):
    line = emulator.arms.buses["left"].faults
    line.corrupt = 0.01
    clock.advance(1.0)
    assert aloha.read().codes == ()
    assert clock.now() - aloha.read().t < SILENCE_S
    line.corrupt = 1.0
    clock.until(lambda: "damaged packet" in " ".join(aloha.read().codes), 2 * SILENCE_S)


def test_a_plug_that_damages_answers_again_and_again_is_an_error_at_once(emulator, aloha, clock):
    """One answer in twenty: between them readings come, so that nothing is ever silent for long."""
    emulator.faults["corrupt"]()
    clock.until(lambda: "came damaged" in " ".join(aloha.read().codes), 1.0)


def test_a_voltage_that_sags_is_an_error_of_every_motor_and_the_arm_holds(emulator, aloha, clock):
    emulator.faults["sag"]()
    clock.until(lambda: len([code for code in aloha.read().codes if "input voltage" in code]) == 9, 0.5)
    assert all(motor.torque for motor in emulator.arms.buses["left"].motors.values())
    assert not any(motor.alert() for motor in emulator.arms.buses["right"].motors.values())


@pytest.mark.parametrize("rate_hz", [20, 40])
def test_silence_makes_the_state_old_and_then_an_error(emulator, clock, rate_hz):
    """How long is too long follows the loop's rate, as the age does that stops it."""
    silence_s = SILENCE_S * 20 / rate_hz
    aloha = driver_of(emulator, SAFETY.model_copy(update={"device_watchdog_s": 0.5}), 1 / rate_hz)
    aloha.connect()
    emulator.arms.buses["right"].faults.silent = True
    took = clock.until(lambda: aloha.read().codes == ("motor 1 of the right arm does not answer",), 1.0)
    assert silence_s - 0.02 <= took <= silence_s + 0.05
    assert clock.now() - aloha.read().t >= silence_s
    assert not emulator.arms.motor("right", "waist").tripped
    took += clock.until(lambda: emulator.arms.motor("right", "waist").tripped, 1.0)
    assert took == pytest.approx(0.5, abs=0.05)
    aloha.close()


def test_slow_answers_are_waited_for(model, clock):
    with EmulatedAloha(model) as emulator:  # the SDK waits for its answers on the wall's clock
        emulator.clock = clock
        aloha = driver_of(emulator)
        aloha.connect()
        emulator.arms.buses["left"].faults.slow_s = (0.0, 0.01)
        clock.advance(1.0)
        assert aloha.read().codes == ()
        assert clock.now() - aloha.read().t < SILENCE_S
        aloha.close()


def test_a_pulled_plug_is_an_error(emulator, aloha, clock):
    emulator.lose_port("left")
    clock.until(lambda: any("is gone" in code for code in aloha.read().codes), 0.5)
    aloha.stop(StopLevel.SOFT)
    aloha.close()


@pytest.mark.parametrize(
    ("motor", "register", "value", "text"),
    [
        ("wrist_rotate", MODEL_NUMBER, 1060, "is a XL430-W250, not a XM430-W350"),
        ("elbow", DRIVE_MODE, 0, "turns in normal direction .* not reversed"),
        ("shoulder_shadow", SECONDARY_ID, 255, "secondary ID is 255, not 2"),
        ("waist", HOMING_OFFSET, 100, "homing offset of 100"),
        ("wrist_angle", MAX_POSITION, 3000, "position limits are 830 to 3000"),
        ("forearm_roll", FIRMWARE, 37, "firmware 37 has no bus watchdog"),
        ("gripper", HARDWARE_ERROR, 1, "reports input voltage"),
        ("elbow", BUS_WATCHDOG, 255, "its bus watchdog has stopped it"),
    ],
)
def test_what_is_wrong_with_an_arm_is_said_and_nothing_moves(emulator, motor, register, value, text):
    emulator.arms.motor("left", motor).set(register, value)
    with pytest.raises(SafetyStop, match=rf"left arm, motor \d \({motor}\): .*{text}") as caught:
        driver_of(emulator).connect()
    assert caught.value.hint
    assert not any(m.torque for m in emulator.arms.buses["left"].motors.values())
    assert emulator.arms.motor("left", motor).get(register) == value


def test_settings_are_corrected_only_while_torque_is_off(emulator):
    waist = emulator.arms.motor("left", "waist")
    waist.set(RETURN_DELAY, 250)
    waist.table[DRIVE_MODE.address] = 4  # profiles by time, as ROS leaves it
    driver = driver_of(emulator)
    driver.connect()
    assert (waist.get(RETURN_DELAY), waist.get(DRIVE_MODE)) == (0, 0)
    driver.close()
    waist.set(OPERATING_MODE, 4)
    with pytest.raises(SafetyStop, match="operating mode is 4, must be 3, and cannot be changed while torque is on"):
        driver_of(emulator).connect()
    assert waist.torque


def test_the_grippers_current_is_limited_by_profile_and_motor(emulator):
    emulator.arms.motor("left", "gripper").set(CURRENT_LIMIT, 1193)
    driver = driver_of(emulator, gripper_current_ma=300.0)
    driver.connect()
    assert emulator.arms.motor("left", "gripper").get(GOAL_CURRENT) == round(300 / 2.69)
    assert emulator.arms.motor("right", "gripper").get(GOAL_CURRENT) == round(300 / 2.69)
    driver.close()


def test_a_missing_motor_is_named(emulator):
    emulator.arms.buses["right"].faults.absent = {7}
    with pytest.raises(SafetyStop, match=r"right arm, motor 7 \(wrist_angle\): no motor"):
        driver_of(emulator).connect()


def test_devices_that_cannot_be_opened(emulator, tmp_path):
    with pytest.raises(UsageError, match="no device for the right arm"):
        make(AlohaRobot(name="aloha", ports={"left": "/dev/null"}), Safety(), 0.05)
    missing = Aloha({"left": str(tmp_path / "tty")}, AlohaRobot(name="aloha"), Safety(), 0.05)
    with pytest.raises(MissingEnvironmentError, match="there is no serial device"):
        missing.connect()
    first = driver_of(emulator)
    first.connect()
    with pytest.raises(MissingEnvironmentError, match="cannot be used"):
        driver_of(emulator).connect()
    first.close()


CLIENT = """
import sys, time
import numpy as np
from s2rctl.robots.aloha.driver import make
from s2rctl.robots.protocol import Target
from s2rctl.schema.deployment import Safety
from s2rctl.schema.robots import AlohaRobot
robot = make(AlohaRobot(name="aloha", ports={"left": sys.argv[1], "right": sys.argv[2]}), Safety(), 0.05)
robot.connect()
home = np.array(robot.specification.home)
jump = home.copy()
jump[0] += 2.5
robot.send(Target(jump))
print("moving", flush=True)
time.sleep(60)
"""


def packets(bus):
    """Return a list that gets the arms' time whenever something comes on a bus."""
    times, receive = [], bus.receive
    bus.receive = lambda data, now: (times.append(now), receive(data, now))[1]
    return times


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_the_motors_stop_by_themselves_when_the_program_dies_or_hangs(emulator, clock, how):
    """The client dies on the way to a far goal: the bus watchdog stops the arm there, and says so afterwards."""
    command = [sys.executable, "-c", CLIENT, emulator.ports["left"], emulator.ports["right"]]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    try:
        assert client.stdout.readline() == b"moving\n"
        waist = emulator.arms.motor("left", "waist")
        heard = packets(emulator.arms.buses["left"])
        for _ in range(40):  # the arms' time passes only as fast as the client asks them
            clock.advance(0.005)
            assert wait_for(lambda: heard and heard[-1] >= clock.now() - 0.005)
        assert not waist.tripped
        os.kill(client.pid, how)
        os.waitpid(client.pid, os.WUNTRACED)
        took = clock.until(lambda: waist.tripped, 1.0)
        assert took == pytest.approx(Safety().device_watchdog_s, abs=0.05)
        clock.advance(0.3)
        stopped = waist.get(PRESENT_POSITION)
        assert 0.1 < to_angle(stopped) < 0.25 + 1.6
        clock.advance(0.3)
        assert abs(waist.get(PRESENT_POSITION) - stopped) < 3
        assert waist.torque
    finally:
        client.kill()
        client.wait()
    again = driver_of(emulator)
    with pytest.raises(SafetyStop, match="bus watchdog has stopped it") as caught:
        again.connect()
    assert "recover" in caught.value.hint
    again.recover()
    assert again.read().codes == ()
    again.close()
