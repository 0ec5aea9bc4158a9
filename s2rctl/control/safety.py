"""The safety filter: every command of every driver, and of simulation, passes through it.

Order: what cannot be trusted stops the robot (stale or non-finite observations, device errors, a joint far outside its
range, a non-finite action); what is merely too much is reduced (trained range, tracking error, rate, joint limits,
tool speed, workspace) and counted by name. A pure function of (memory, action, state, ages).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any

import numpy as np

from s2rctl.control.action import ActionMapping
from s2rctl.control.envelope import READING_SLACK, Envelope
from s2rctl.core.errors import SafetyStop
from s2rctl.robots.protocol import RobotSpecification, State

INTERVENTIONS = (
    "action_range", "tracking", "rate", "joint_limit", "joint_speed", "tool_speed", "workspace"
)  # fmt: skip

SPEED_REFINEMENTS = 4
"""Scalings of one arm's motion before it is held instead; one is enough except near singular poses."""


@dataclass(frozen=True)
class Memory:
    """What the filter remembers between steps."""

    last: np.ndarray  # (m,) last command
    tools: np.ndarray  # (arms, 3) m, tool positions at the last command
    tracking_steps: int = 0  # consecutive steps limited by the tracking error


@dataclass(frozen=True)
class Verdict:
    """What may be sent, and what was done to it."""

    target: np.ndarray  # (m,)
    interventions: tuple[str, ...]


class SafetyFilter:
    """The filter of one robot, one action mapping and one envelope."""

    def __init__(self, envelope: Envelope, mapping: ActionMapping, specification: RobotSpecification) -> None:
        self.envelope = envelope
        self._mapping = mapping
        self._specification = specification
        self._tools = specification.tools
        self._kinematics = specification.kinematics
        space = self._space = specification.space
        self._inner_low, self._inner_high = envelope.low + envelope.margin, envelope.high - envelope.margin
        self._reading_low = envelope.joint_low - READING_SLACK
        self._reading_high = envelope.joint_high + READING_SLACK
        # Tools that are not commanded are carried by the entries that drive joints of their arm.
        self._carried = [arm for arm in range(len(specification.arms)) if arm not in space.tools]
        self._carriers = {arm: _driving(specification, arm) for arm in self._carried}
        self._solved = {arm: _solved(specification, arm) for arm in space.tools}

    def start(self, state: State) -> Memory:
        """Return the memory at which the robot stands; raise SafetyStop when it cannot be trusted."""
        self._trust(state, {})
        last = self._mapping.start(state)
        return Memory(last, self._tool_positions(last, state))

    def step(
        self, memory: Memory, action: np.ndarray, state: State, ages: Mapping[str, float]
    ) -> tuple[Memory, Verdict]:
        """Return the new memory and the command for ``action`` (m,); raise SafetyStop when the robot must stop.

        ``ages`` are the seconds since each source was measured: ``envelope.STATE`` and the cameras' names.
        """
        limits = self.envelope
        action = np.asarray(action, float)
        self._trust(state, ages)
        if action.shape != (self._mapping.size,):
            raise SafetyStop(f"the policy returned an action of shape {action.shape}, not ({self._mapping.size},)")
        if not isfinite(action.sum()):
            raise SafetyStop("the policy returned a number that is not finite", "inspect its inputs in the recording")
        done: list[str] = []
        bounded = _between(action, self._mapping.low, self._mapping.high)
        if (bounded != action).any():
            done.append("action_range")
        wanted = self._mapping.apply(memory.last, bounded, state)
        target, lagging = self._follow(memory.last, wanted, state)
        steps = memory.tracking_steps + 1 if lagging.any() else 0
        if lagging.any():
            done.append("tracking")
        if steps > limits.tracking_patience:
            entry = self._space.entries[int(np.argmax(lagging))]
            allowed = limits.tracking[int(np.argmax(lagging))]
            raise SafetyStop(
                f"tracking error: the arm did not follow its commands for {steps} steps "
                f"('{entry.name}' is more than {allowed:g} {entry.unit} off)",
                "check for contact, an unpowered joint, or a wrong joint order",
            )
        target = self._limit_rate(memory.last, target, done)
        target = self._limit_range(memory.last, target, done)
        target, tools = self._limit_carried(memory, target, state, done)
        for arm, entries in self._space.tools.items():
            target[entries] = tools[arm] = self._limit_joints(arm, memory.last, target, state, done)
        return Memory(target, tools, steps), Verdict(target, tuple(done))

    def _trust(self, state: State, ages: Mapping[str, float]) -> None:
        """Raise SafetyStop for stale, non-finite or impossible measurements and for device errors."""
        if state.codes:
            raise SafetyStop(
                "the robot reports: " + "; ".join(state.codes), "clear the error and run s2rctl deploy again"
            )
        for source, age in ages.items():
            limit = self.envelope.oldest(source)
            if not -self.envelope.dt <= age <= limit:
                raise SafetyStop(
                    f"'{source}' is {age * 1e3:.0f} ms old (limit {limit * 1e3:.0f} ms)",
                    "check the camera's or robot's connection",
                )
        if state.joint_pos.shape != self.envelope.joint_low.shape:
            raise SafetyStop(f"the robot reports {state.joint_pos.size} joints, not {self.envelope.joint_low.size}")
        # a sum is finite only if every term is (or overflows, which is no better)
        if not isfinite(state.joint_pos.sum() + state.joint_vel.sum()):
            raise SafetyStop("the robot reports a joint position or speed that is not finite")
        if not isfinite(state.tool.sum()):
            raise SafetyStop("the robot reports a tool pose that is not finite")
        outside = (state.joint_pos < self._reading_low) | (state.joint_pos > self._reading_high)
        if outside.any():
            name = self._specification.joints[int(np.argmax(outside))]
            raise SafetyStop(f"joint '{name}' is measured outside its mechanical limits", "check its zero position")

    def _follow(self, last: np.ndarray, wanted: np.ndarray, state: State) -> tuple[np.ndarray, np.ndarray]:
        """Return the target no further than the tracking error from the measurement, and which entries (m,) lag."""
        allowed = self.envelope.tracking
        measured = self._space.values(state.joint_pos, state.tool)
        target = _between(wanted, measured - allowed, measured + allowed)
        return target, (target != wanted) | (np.abs(last - measured) > allowed)

    def _limit_rate(self, last: np.ndarray, target: np.ndarray, done: list[str]) -> np.ndarray:
        """Return the target no further from the last command than one step allows."""
        space, step = self._space, self.envelope.tool_step
        change = target - last
        bounded = _between(change, -self.envelope.rate, self.envelope.rate)
        for entries in space.tools.values():
            length = _length(change[entries])
            bounded[entries] = change[entries] * (step / length) if length > step else change[entries]
        if (bounded == change).all():
            return target
        self._name(bounded != change, "rate", "tool_speed", done)
        return last + bounded

    def _limit_range(self, last: np.ndarray, target: np.ndarray, done: list[str]) -> np.ndarray:
        """Return the target inside the limits; a start outside the margin may only move inwards."""
        low, high = np.minimum(self._inner_low, last), np.maximum(self._inner_high, last)
        bounded = _between(target, low, high)
        self._name(bounded != target, "joint_limit", "workspace", done)
        return bounded

    def _name(self, changed: np.ndarray, driven: str, tool: str, done: list[str]) -> None:
        """Note what was done to entries (m,) that drive a joint, and to those that move a tool."""
        if changed[self._space.driven].any():
            done.append(driven)
        if any(changed[entries].any() for entries in self._space.tools.values()):
            done.append(tool)

    def _tool_positions(self, target: np.ndarray, state: State) -> np.ndarray:
        """Return where the tools (arms, 3) m are when the target is reached; joints it does not drive stay."""
        positions = np.empty((len(self._tools), 3))
        for arm, entries in self._space.tools.items():
            positions[arm] = target[entries]
        if self._carried:
            joints = self._specification.joints_from_command(target, state.joint_pos)
            positions[self._carried] = self._kinematics.points_of([self._tools[arm] for arm in self._carried], joints)
        return positions

    def _limit_carried(
        self, memory: Memory, target: np.ndarray, state: State, done: list[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Slow an arm whose carried tool would move too fast, hold one whose tool would leave its box.

        Return the target (m,) and where the tools (arms, 3) m then are.
        """
        last, before, after = memory.last, memory.tools, self._tool_positions(target, state)
        for arm, mask in self._carriers.items():
            for _ in range(SPEED_REFINEMENTS):
                length = _length(after[arm] - before[arm])
                if length <= self.envelope.tool_step:
                    break
                # the tool's path is curved: the first scaling can end a little above the limit
                target = np.where(mask, last + (target - last) * (0.999 * self.envelope.tool_step / length), target)
                after = self._tool_positions(target, state)
                if "tool_speed" not in done:
                    done.append("tool_speed")
            else:
                target = np.where(mask, last, target)
                after = self._tool_positions(target, state)
            if self.envelope.workspace and _leaves(before[arm], after[arm], self.envelope.workspace):
                target = np.where(mask, last, target)
                after = np.concatenate([after[:arm], before[arm : arm + 1], after[arm + 1 :]])
                done.append("workspace")
        return target, after

    def _limit_joints(
        self, arm: int, last: np.ndarray, target: np.ndarray, state: State, done: list[str]
    ) -> np.ndarray:
        """Return a commanded tool's position (3,) m: slower when the joints that are solved for it run fast.

        It is held when the motion would drive one of them into its margin.
        """
        limits, solved, entries = self.envelope, self._solved[arm], self._space.tools[arm]
        begin, goal = last[entries], target[entries]
        joint_pos, least, most = state.joint_pos[solved], limits.joint_low[solved], limits.joint_high[solved]
        fastest = float(np.abs(state.joint_vel[solved]).max(initial=0.0))
        if fastest > limits.joint_speed:
            goal = begin + (goal - begin) * (limits.joint_speed / fastest)
            done.append("joint_speed")
        reach = limits.joint_margin + limits.joint_speed * limits.dt
        near_low, near_high = joint_pos < least + reach, joint_pos > most - reach
        if not (near_low | near_high).any():
            return goal
        jacobian = self._kinematics.jacobian(self._tools[arm], state.joint_pos)[:, solved]
        move = np.concatenate([goal - state.tool[arm, :3], np.zeros(3)])
        change = np.linalg.lstsq(jacobian, move, rcond=1e-4)[0]
        after = joint_pos + change
        low, high = least + limits.joint_margin, most - limits.joint_margin
        if ((near_low & (change < 0) & (after < low)) | (near_high & (change > 0) & (after > high))).any():
            done.append("joint_limit")
            return begin
        return goal


def _driving(specification: RobotSpecification, arm: int) -> np.ndarray:
    """Return which entries (m,) drive a joint of an arm."""
    joints, prefix = specification.joints, specification.arms[arm]
    return np.array([e.joint is not None and joints[e.joint].startswith(prefix) for e in specification.command])


def _solved(specification: RobotSpecification, arm: int) -> np.ndarray:
    """Return the joints of an arm that its controller solves for: those that no entry drives."""
    driven, prefix = {*specification.space.joints}, specification.arms[arm]
    return np.array(
        [
            number
            for number, name in enumerate(specification.joints)
            if name.startswith(prefix) and specification.mimic.get(number, number) not in driven
        ]
    )


def _between(values: np.ndarray, low: Any, high: Any) -> np.ndarray:
    """Return the values clipped to [low, high]; ``numpy.clip`` takes three times as long for a few numbers."""
    return np.minimum(np.maximum(values, low), high)


def _length(vector: np.ndarray) -> float:
    return sqrt(vector @ vector)


def _leaves(before: np.ndarray, after: np.ndarray, box: tuple[np.ndarray, np.ndarray]) -> bool:
    """Return whether the motion from ``before`` to ``after`` (3,) m goes further out of the box."""
    out_before = np.maximum(box[0] - before, 0) + np.maximum(before - box[1], 0)
    out_after = np.maximum(box[0] - after, 0) + np.maximum(after - box[1], 0)
    return bool((out_after > out_before + 1e-9).any())
