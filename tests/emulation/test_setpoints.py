"""Twin and emulated motors are one plant: told the same, they move alike, as smoothly too."""

import mujoco
import numpy as np
import pytest

from s2rctl.core.clock import VirtualClock
from s2rctl.emulation.dynamixel.arms import Arms
from s2rctl.emulation.faults import Faults
from s2rctl.emulation.plant import PlantStart
from s2rctl.emulation.twin import Twin
from s2rctl.robots import ROBOTS
from s2rctl.robots.aloha.gripper import GRIPPERS
from s2rctl.robots.aloha.motors import (
    GOAL_CURRENT,
    GOAL_POSITION,
    LEADING,
    OPERATING_MODE,
    PROFILE_VELOCITY,
    TORQUE_ENABLE,
    VELOCITY_UNIT,
    Mode,
    to_ticks,
)
from s2rctl.robots.protocol import StopLevel, Target
from s2rctl.scene import SCENES

SPEED, PERIOD_S, STEP_S = 1.5, 0.05, 0.005
SPECIFICATION = ROBOTS.load("aloha")
SPACE = SPECIFICATION.space


def start_of(model) -> PlantStart:
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    return PlantStart(data.qpos.copy(), data.qvel.copy(), data.ctrl.copy())


def commands(seed: int, steps: int = 80) -> np.ndarray:
    """Return a policy's restless commands (steps, m): at most 0.02 rad a step, and the grippers close half way."""
    rng = np.random.default_rng(seed)
    home = np.array(SPECIFICATION.home)
    arm = np.array([entry.kind == "joint" for entry in SPECIFICATION.command])
    told = home + np.cumsum(rng.uniform(-0.02, 0.02, (steps, len(home))), axis=0)
    told = np.clip(told, SPACE.low + 0.02, SPACE.high - 0.02)  # motors refuse goals beyond their range
    told[:, ~arm] = np.where(np.arange(steps)[:, None] < steps // 2, 0.037, 0.01)
    return told


def by_motors(told: np.ndarray) -> np.ndarray:
    """Return the joints (ticks, n) of emulated motors that are told these commands."""
    model = SCENES.load("insertion")(STEP_S)
    arms = Arms(model, GRIPPERS["aloha2"], 0.0)
    for bus in arms.buses.values():
        for motor in bus.motors.values():
            gripper = motor.number == LEADING[-1].number
            motor.set(OPERATING_MODE, int(Mode.CURRENT_BASED_POSITION if gripper else Mode.POSITION))
            motor.set(PROFILE_VELOCITY, 0 if gripper else round(SPEED / VELOCITY_UNIT))
            motor.set(GOAL_CURRENT, 200)
            motor.set(TORQUE_ENABLE, 1)
            motor.resting = False
    arms.reset(start_of(model), 0.0)
    address = [int(model.joint(name).qposadr[0]) for name in SPECIFICATION.joints]
    rows = []
    for row in told:
        for number, (name, value) in enumerate(zip(SPECIFICATION.targets, row, strict=True)):
            leader = LEADING[number % len(LEADING)]
            angle = arms.gripper.angle(value) if leader is LEADING[-1] else value
            goal = to_ticks(angle).to_bytes(4, "little", signed=True)
            for motor in arms.buses[name.partition("/")[0]].motors.values():
                if motor.obeys(leader.number):
                    motor.write(GOAL_POSITION.address, goal, arms.plant.time)
        for _ in range(round(PERIOD_S / STEP_S)):
            arms.tick()
            rows.append(arms.plant.data.qpos[address].copy())
    return np.array(rows)


def by_twin(told: np.ndarray, speed: float | None) -> np.ndarray:
    """Return the joints (ticks, n) of a twin that is told these commands."""
    model = SCENES.load("insertion")(STEP_S)
    clock = VirtualClock()
    twin = Twin(model, SPECIFICATION, clock, (), None, Faults(), period_s=PERIOD_S, setpoint_speed=speed)
    twin.reset(start_of(model), 0)
    rows = []
    for row in told:
        twin.send(Target(row))
        for _ in range(round(PERIOD_S / STEP_S)):
            clock.sleep_until(clock.now() + STEP_S)
            rows.append(twin.read().joint_pos)
    return np.array(rows)


def jerk(joints: np.ndarray) -> np.ndarray:
    """Return the largest acceleration (n,) of the joints."""
    return np.abs(np.diff(joints, n=2, axis=0)).max(axis=0) / STEP_S**2


@pytest.fixture(scope="module")
def moved():
    told = commands(0)
    return by_motors(told), by_twin(told, SPEED), by_twin(told, None)


def test_twin_and_motors_move_alike(moved):
    motors, twin, _ = moved
    assert np.abs(twin - motors).max() < 0.003  # a goal is rounded to ticks of 1.5 mrad


def test_both_are_as_smooth_as_servos_with_a_velocity_profile(moved):
    motors, twin, at_once = moved
    arm = [number for number, name in enumerate(SPECIFICATION.joints) if "finger" not in name]
    ratio = jerk(twin)[arm] / jerk(motors)[arm]
    assert np.all((ratio > 0.85) & (ratio < 1.15))
    assert np.mean(jerk(at_once)[arm] / jerk(motors)[arm]) > 1.2


def test_a_stop_forgets_the_way_to_the_goal():
    told = np.array(SPECIFICATION.home)
    model, clock = SCENES.load("insertion")(STEP_S), VirtualClock()
    twin = Twin(model, SPECIFICATION, clock, (), None, Faults(), period_s=PERIOD_S, setpoint_speed=0.2)
    twin.reset(start_of(model), 0)
    told[0] += 0.3
    twin.send(Target(told))
    clock.sleep_until(0.3)
    twin.stop(StopLevel.SOFT)
    begun = twin.read().joint_pos[0]
    clock.sleep_until(1.5)
    assert abs(twin.read().joint_pos[0] - begun) < 0.02
