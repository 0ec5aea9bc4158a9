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
        self._driven = np.array(specification.target_joint)
        self._inner_low, self._inner_high = envelope.low + envelope.margin, envelope.high - envelope.margin
        self._reading_low = envelope.joint_low - READING_SLACK
        self._reading_high = envelope.joint_high + READING_SLACK
        self._arm_targets = [
            np.array([name.startswith(arm) for name in specification.targets]) for arm in specification.arms
        ]

    def start(self, state: State) -> Memory:
        """Return the memory at which the robot stands; raise SafetyStop when it cannot be trusted."""
        self._trust(state, {})
        last = self._mapping.start(state)
        return Memory(last, self._tool_positions(last))

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
            raise SafetyStop("the policy returned a number that is not finite", "look at its inputs in the recording")
        done: list[str] = []
        bounded = _between(action, self._mapping.low, self._mapping.high)
        if (bounded != action).any():
            done.append("action_range")
        wanted = self._mapping.apply(memory.last, bounded, state)
        target, lagging = self._follow(memory.last, wanted, state)
        steps = memory.tracking_steps + 1 if lagging else 0
        if lagging:
            done.append("tracking")
        if steps > limits.tracking_patience:
            raise SafetyStop(
                f"the arm did not follow its commands for {steps} steps (more than {limits.tracking:g} off)",
                "look for contact, an unpowered joint or a wrong joint order",
            )
        target = self._limit_rate(memory.last, target, done)
        target = self._limit_range(memory.last, target, done)
        if limits.kind == "joint":
            target, tools = self._limit_tool(memory, target, done)
        else:
            target = self._limit_joints(memory.last, target, state, done)
            tools = target[None]
        return Memory(target, tools, steps), Verdict(target, tuple(done))

    def _trust(self, state: State, ages: Mapping[str, float]) -> None:
        """Raise SafetyStop for stale, non-finite or impossible measurements and for device errors."""
        if state.codes:
            raise SafetyStop("the robot reports: " + "; ".join(state.codes), "clear it and run s2rctl deploy again")
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
            raise SafetyStop(f"joint '{name}' is measured outside its mechanical range", "check its zero position")

    def _follow(self, last: np.ndarray, wanted: np.ndarray, state: State) -> tuple[np.ndarray, bool]:
        """Return the target no further than the tracking error from the measurement, and whether the arm lags."""
        allowed = self.envelope.tracking
        measured = state.tool[0, :3] if self.envelope.kind == "tool" else state.joint_pos[self._driven]
        target = _between(wanted, measured - allowed, measured + allowed)
        return target, bool((target != wanted).any() or (np.abs(last - measured) > allowed).any())

    def _limit_rate(self, last: np.ndarray, target: np.ndarray, done: list[str]) -> np.ndarray:
        """Return the target no further from the last command than one step allows."""
        change = target - last
        if self.envelope.kind == "joint":
            bounded = _between(change, -self.envelope.rate, self.envelope.rate)
        else:
            length = sqrt(change @ change)
            bounded = change if length <= self.envelope.tool_step else change * (self.envelope.tool_step / length)
        if (bounded != change).any():
            done.append("rate" if self.envelope.kind == "joint" else "tool_speed")
            return last + bounded
        return target

    def _limit_range(self, last: np.ndarray, target: np.ndarray, done: list[str]) -> np.ndarray:
        """Return the target inside the limits; a start outside the margin may only move inwards."""
        limits = self.envelope
        low, high = np.minimum(self._inner_low, last), np.maximum(self._inner_high, last)
        bounded = _between(target, low, high)
        if (bounded != target).any():
            done.append("joint_limit" if limits.kind == "joint" else "workspace")
        return bounded

    def _tool_positions(self, target: np.ndarray) -> np.ndarray:
        """Return where the tools (arms, 3) m are when the target is reached."""
        if self.envelope.kind == "tool":
            return target[None]
        return self._kinematics.points_of(self._tools, self._specification.joints_from_targets(target))

    def _limit_tool(self, memory: Memory, target: np.ndarray, done: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Joint targets: slow an arm whose tool would move too fast, hold one whose tool would leave its box."""
        last, before, after = memory.last, memory.tools, self._tool_positions(target)
        for arm, mask in enumerate(self._arm_targets):
            for _ in range(SPEED_REFINEMENTS):
                length = _length(after[arm] - before[arm])
                if length <= self.envelope.tool_step:
                    break
                # the tool's path is curved: the first scaling can end a little above the limit
                target = np.where(mask, last + (target - last) * (0.999 * self.envelope.tool_step / length), target)
                after = self._tool_positions(target)
                if "tool_speed" not in done:
                    done.append("tool_speed")
            else:
                target = np.where(mask, last, target)
                after = self._tool_positions(target)
            if self.envelope.workspace and _leaves(before[arm], after[arm], self.envelope.workspace):
                target = np.where(mask, last, target)
                after = np.concatenate([after[:arm], before[arm : arm + 1], after[arm + 1 :]])
                done.append("workspace")
        return target, after

    def _limit_joints(self, last: np.ndarray, target: np.ndarray, state: State, done: list[str]) -> np.ndarray:
        """Tool targets: hold when the motion would drive a joint into its margin; slow down when joints run fast."""
        limits = self.envelope
        fastest = float(np.abs(state.joint_vel).max())
        if fastest > limits.joint_speed:
            target = last + (target - last) * (limits.joint_speed / fastest)
            done.append("joint_speed")
        reach = limits.joint_margin + limits.joint_speed * limits.dt
        near_low, near_high = state.joint_pos < limits.joint_low + reach, state.joint_pos > limits.joint_high - reach
        if not (near_low | near_high).any():
            return target
        jacobian = self._kinematics.jacobian(self._tools[0], state.joint_pos)
        move = np.concatenate([target - state.tool[0, :3], np.zeros(3)])
        change = np.linalg.lstsq(jacobian, move, rcond=1e-4)[0]
        after = state.joint_pos + change
        low, high = limits.joint_low + limits.joint_margin, limits.joint_high - limits.joint_margin
        if ((near_low & (change < 0) & (after < low)) | (near_high & (change > 0) & (after > high))).any():
            done.append("joint_limit")
            return last
        return target


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
