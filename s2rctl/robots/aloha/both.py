"""Two arms as one robot: what every driver of the Aloha makes of readings, and of targets."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from s2rctl.core.errors import SafetyStop
from s2rctl.robots.aloha.gripper import Gripper, joints
from s2rctl.robots.aloha.specification import SPECIFICATION
from s2rctl.robots.poses import tool_poses
from s2rctl.robots.protocol import State, Target


class ArmReading(NamedTuple):
    """One arm's newest measurement."""

    t: float  # s, monotonic
    angles: np.ndarray | Sequence[float]  # (7,) rad, six joints and the gripper's motor
    speeds: np.ndarray | Sequence[float]  # (7,) rad/s
    gripper: Gripper
    codes: tuple[str, ...]


def state_of(arms: Iterable[ArmReading]) -> State:
    """Return the measurement of both arms, as old as the older of the two; SafetyStop when there is none."""
    readings = list(arms)
    if not readings:
        raise SafetyStop("the Aloha is not connected")
    pairs = [joints(arm.gripper, arm.angles, arm.speeds) for arm in readings]
    position = np.concatenate([position for position, _ in pairs])
    velocity = np.concatenate([velocity for _, velocity in pairs])
    codes = tuple(code for arm in readings for code in arm.codes)
    return State(min(arm.t for arm in readings), position, velocity, tool_poses(SPECIFICATION, position), codes)


def targets_of(target: Target, stopped: bool) -> list[list[float]]:
    """Return each arm's targets (7,): six joints rad and finger travel m; SafetyStop for what may not be sent."""
    if not SPECIFICATION.space.takes(target.values):
        raise SafetyStop(f"only {len(SPECIFICATION.space)} finite joint targets may be sent to the Aloha")
    if stopped:
        raise SafetyStop("the Aloha is stopped", "run s2rctl deploy again")
    each: list[list[float]] = target.values.reshape(len(SPECIFICATION.arms), -1).tolist()
    return each
