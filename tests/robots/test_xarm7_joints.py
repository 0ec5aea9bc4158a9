"""The xArm7 moved by its joints and merely watched, through the genuine SDK; and its own link figures."""

import time

import numpy as np
import pytest

from s2rctl.core.errors import SafetyStop
from s2rctl.emulation.plant import PlantStart
from s2rctl.emulation.xarm.server import make as make_emulator
from s2rctl.robots import ROBOTS, factory_chain, make_joint_driver
from s2rctl.robots.protocol import StopLevel, Target
from s2rctl.robots.xarm7.factory import difference, factory_kinematics, nominal_figures
from s2rctl.robots.xarm7.specification import IN_JOINTS
from s2rctl.scene import SCENES
from s2rctl.schema.deployment import Safety
from s2rctl.schema.robots import XArm7Robot
from s2rctl.systems import system_of_robot

FIGURES = np.array(nominal_figures()).reshape(7, 4)
SAFETY = Safety(max_state_age_periods=40, device_watchdog_s=2.0, joint_speed=0.8)


def own(seed: int = 0) -> np.ndarray:
    """Figures of an arm as it is built: tenths of millimetres and of degrees beside the nominal one."""
    return FIGURES + np.random.default_rng(seed).normal(size=(7, 4)) * [2e-3, 0.3, 2e-3, 0.3]


@pytest.mark.parametrize("factors", [(1.0, 1.0), (1e-3, 1.0), (1.0, 180 / np.pi), (1e-3, 180 / np.pi)])
def test_figures_are_read_in_any_unit(factors) -> None:
    metre, turn = factors
    chain = factory_kinematics((own() * [turn, metre, turn, metre]).ravel())
    assert chain is not None
    metres, radians = difference(chain)
    assert 1e-4 < metres < 8e-3 and 1e-4 < radians < 0.02
    nominal = factory_kinematics(FIGURES.ravel())
    assert nominal is not None and difference(nominal) == pytest.approx((0, 0), abs=1e-9)


def test_figures_of_the_other_convention_are_read_too() -> None:
    """a and alpha of each row before its joint instead of after it (Craig's convention)."""
    craig = FIGURES.copy()
    craig[1:, [2, 3]], craig[0, [2, 3]] = FIGURES[:-1, [2, 3]], 0.0
    chain = factory_kinematics(craig.ravel())
    assert chain is not None and difference(chain)[0] < 1e-9


@pytest.mark.parametrize("figures", [[], [0.0] * 28, [float("nan")] * 28, [1.0] * 27, (FIGURES * 1.1).ravel().tolist()])
def test_figures_that_are_no_xarm7_are_not_used(figures) -> None:
    assert factory_kinematics(figures) is None
    assert factory_chain(ROBOTS.load("xarm7"), figures) is None
    assert factory_chain(ROBOTS.load("aloha"), list(FIGURES.ravel())) is None


@pytest.fixture
def device():
    model = SCENES.load(system_of_robot("xarm7").scene)(0.005)
    with make_emulator(model) as running:
        running.reset(PlantStart(model.key_qpos[0], np.zeros(model.nv), model.key_ctrl[0]))
        yield running


@pytest.mark.paced
def test_the_genuine_sdk_moves_joints_and_reads_the_arms_own_figures(device) -> None:
    device.controller.link_figures = tuple(own().ravel())
    section = XArm7Robot(name="xarm7", address=device.address)
    robot = make_joint_driver(section, SAFETY, 0.05)
    try:
        identity = robot.connect()
        assert robot.specification is IN_JOINTS
        assert identity.kinematics == pytest.approx(own().ravel(), abs=1e-4)
        begin = robot.read().joint_pos
        goal = begin + np.array([0.15, 0, 0, 0, 0, 0, 0.2])
        end = time.monotonic() + 20
        while np.abs(robot.read().joint_pos - goal).max() > 0.01 and time.monotonic() < end:
            robot.send(Target(goal))
            time.sleep(0.05)
        assert robot.read().joint_pos == pytest.approx(goal, abs=0.01)
        with pytest.raises(SafetyStop, match="only finite joint positions"):
            robot.send(Target(np.full(7, np.nan)))
        robot.stop(StopLevel.SOFT)
    finally:
        robot.close()


@pytest.mark.paced
def test_an_arm_that_is_watched_is_neither_enabled_nor_sent_anything(device) -> None:
    section = XArm7Robot(name="xarm7", address=device.address)
    robot = make_joint_driver(section, SAFETY, 0.05, watch=True)
    try:
        identity = robot.connect()
        assert identity.kinematics == (), "this firmware does not tell them"
        assert robot.read().joint_pos == pytest.approx(device.controller._measured(), abs=0.02)
        with pytest.raises(SafetyStop, match="only reads"):
            robot.send(Target(robot.read().joint_pos))
        assert not device.controller.enabled and device.controller.commands == 0
    finally:
        robot.close()
