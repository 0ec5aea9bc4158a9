"""Steps that are clear of every limit, as nearly all are, decided in plain numbers.

At 20 Hz a control loop finds the processor's caches cold: each numpy function that it calls for the first time after
its sleep costs some 10 µs, and the filter needs dozens. Numbers compared one by one cost little more than when warm.
What is not clear, by a hair, goes the whole way through the filter; nothing is stopped or reduced here.
"""

from collections.abc import Mapping, Sequence
from math import dist, inf, isfinite

import numpy as np

from s2rctl.control.action import ActionMapping
from s2rctl.control.envelope import READING_SLACK, Envelope
from s2rctl.core.chain import Triple
from s2rctl.robots.protocol import RobotSpecification, State

HAIR = 1e-9
"""rad (m): more than rounding adds to a position, so that rounding never decides otherwise than the filter."""

Limits = list[tuple[float, float]]


class ClearWay:
    """The short way through the filter of one robot, one action mapping and one envelope."""

    def __init__(self, envelope: Envelope, mapping: ActionMapping, specification: RobotSpecification) -> None:
        self._envelope, self._mapping = envelope, mapping
        self._driven = specification.target_joint
        self._source = _sources(specification)
        self._readings = _limits(envelope.joint_low - READING_SLACK, envelope.joint_high + READING_SLACK)
        self._actions = _limits(mapping.low, mapping.high)
        # Without a hair: a gripper that is open stands at its limit, and numbers are compared, not computed.
        self._targets = _limits(envelope.low + envelope.margin, envelope.high - envelope.margin)
        self._rate = (envelope.rate - HAIR).tolist()
        reach = envelope.joint_margin + envelope.joint_speed * envelope.dt
        self._joints = _limits(envelope.joint_low + reach, envelope.joint_high - reach)
        self._box = _limits(*envelope.workspace) if envelope.workspace else [(-inf, inf)] * 3
        kinematics = specification.kinematics.reduced(specification.tools)
        self._chains = [kinematics.chain(name) for name in specification.tools]

    def step(
        self, last: np.ndarray, tools: np.ndarray, action: np.ndarray, state: State, ages: Mapping[str, float]
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Return target (m,) and where the tools will be (arms, 3) m, or None where anything is near a limit."""
        if state.codes or not self._young(ages) or len(action) != len(self._actions):
            return None
        joints, wanted = state.joint_pos.tolist(), action.tolist()
        if len(joints) != len(self._readings) or not (
            _within(joints, self._readings) and _within(wanted, self._actions)
        ):
            return None
        speeds = state.joint_vel.tolist()
        # a sum is finite only if every term is
        if not isfinite(sum(speeds) + sum(map(sum, state.tool.tolist()))):
            return None
        before = last.tolist()
        target = self._mapping.plain(before, wanted, state)
        tool = self._envelope.kind == "tool"
        measured = state.tool[0].tolist()[:3] if tool else [joints[index] for index in self._driven]
        if not self._free(before, target, measured):
            return None
        if tool:
            return (np.array(target), np.array([target])) if self._joints_free(joints, speeds) else None
        places = self._places(target, tools)
        return None if places is None else (np.array(target), np.array(places))

    def _young(self, ages: Mapping[str, float]) -> bool:
        limits = self._envelope
        for source, age in ages.items():
            if not -limits.dt <= age <= limits.oldest(source):
                return False
        return True

    def _free(self, last: Sequence[float], target: Sequence[float], measured: Sequence[float]) -> bool:
        """Return whether the target is inside its range, near enough to the measurement and to the last command."""
        limits = self._envelope
        if limits.kind == "tool" and not dist(target, last) < limits.tool_step - HAIR:
            return False
        lag = limits.tracking - HAIR
        for now, then, here, (low, high), rate in zip(target, last, measured, self._targets, self._rate, strict=True):
            if not (low <= now <= high and -rate < now - then < rate):
                return False
            if not (-lag < now - here < lag and -lag < then - here < lag):
                return False
        return True

    def _joints_free(self, joints: Sequence[float], speeds: Sequence[float]) -> bool:
        """Return whether a tool command finds every joint slow and away from its margins."""
        fastest = self._envelope.joint_speed
        return _within(joints, self._joints) and all(-fastest <= speed <= fastest for speed in speeds)

    def _places(self, target: Sequence[float], before: np.ndarray) -> list[Triple] | None:
        """Return where the tools will be, or None if one moves too fast or is not inside its box."""
        joints = [0.0 if index < 0 else target[index] for index in self._source]
        places = [chain.position(joints) for chain in self._chains]
        for place, earlier in zip(places, before.tolist(), strict=True):
            if not (dist(place, earlier) < self._envelope.tool_step - HAIR and _within(place, self._box)):
                return None
        return places


def _sources(specification: RobotSpecification) -> list[int]:
    """Return for each joint the target that moves it, also as the mimic of another one; -1: none."""
    source = [-1] * len(specification.joints)
    for number, joint in enumerate(specification.target_joint):
        source[joint] = number
    for joint, other in specification.mimic.items():
        source[joint] = source[other]
    return source


def _limits(low: np.ndarray, high: np.ndarray) -> Limits:
    return list(zip(low.tolist(), high.tolist(), strict=True))


def _within(values: Sequence[float], limits: Limits) -> bool:
    """Return whether every value is in its interval; what is not a number is in none."""
    for value, (low, high) in zip(values, limits, strict=True):
        if not low <= value <= high:
            return False
    return True
