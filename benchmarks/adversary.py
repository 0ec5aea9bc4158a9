"""Can any action or state drive the filter out of its envelope? ``python -m benchmarks.adversary [ROBOT] [STEPS]``.

Random walks of hostile steps for each robot (default: a million): actions that are NaN, infinite, huge, misshapen or
merely wrong; joints that jump, lie or are not numbers; observations that are old. What comes out is held against the
limits themselves, not against the filter's own arithmetic: numbers, range, rate, tool speed, workspace.
"""

import sys
import time
from collections import Counter

import numpy as np

from benchmarks.loop_process import PERIOD_S, contract_of
from s2rctl.control.action import action_mapping
from s2rctl.control.envelope import Envelope, envelope
from s2rctl.control.safety import Memory, SafetyFilter
from s2rctl.core.errors import SafetyStop
from s2rctl.robots import ROBOTS
from s2rctl.robots.poses import tool_poses
from s2rctl.robots.protocol import RobotSpecification, State
from s2rctl.schema.load import load_profile

WALK = 20
"""Steps from one start; the filter remembers the last command."""
NOT_NUMBERS = (np.nan, np.inf, -np.inf, 1e30, -1e30)


def main() -> None:
    """Try the robots named on the command line, or both."""
    robots = [name for name in sys.argv[1:] if not name.isdigit()] or ["xarm7", "aloha"]
    steps = next((int(word) for word in sys.argv[1:] if word.isdigit()), 1_000_000)
    for name in robots:
        begun = time.perf_counter()
        with np.errstate(all="ignore"):  # what is not a number is the point
            seen, broken = attack(name, steps, np.random.default_rng(0))
        figures = ", ".join(f"{count} {what}" for what, count in seen.most_common())
        print(f"{name}: {steps} steps in {time.perf_counter() - begun:.0f} s: {figures}; VIOLATIONS: {dict(broken)}")
        if broken:
            raise SystemExit(1)


def attack(name: str, steps: int, rng: np.random.Generator) -> tuple[Counter[str], Counter[str]]:
    """Return how the steps ended (a command, or the reason for a stop), and the promises that were broken."""
    profile = load_profile("xarm7-reach" if name == "xarm7" else "aloha").profile
    spec: RobotSpecification = ROBOTS.load(name)
    safety, card = profile.deploy.safety, contract_of(spec)
    guard = SafetyFilter(envelope(spec, safety, 1 / PERIOD_S), action_mapping(spec, card, safety.tracking_error), spec)
    size = len(spec.command)
    seen: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    memory, joints = None, np.zeros(0)
    for number in range(steps):
        if memory is None or number % WALK == 0:
            joints = _anywhere(spec, rng)
            try:
                memory = guard.start(_state(spec, joints))
            except SafetyStop:
                seen["refused starts"] += 1
                memory = None
                continue
        joints = _moved(spec, joints, rng)
        age = float(rng.uniform(-0.1, 0.3)) if rng.random() < 0.2 else 0.01
        before = memory
        try:
            memory, verdict = guard.step(before, _action(size, rng), _state(spec, joints), {"robot": age})
        except SafetyStop:
            seen["stops"] += 1
            continue
        seen["commands, limited" if verdict.interventions else "commands as asked"] += 1
        broken.update(violations(spec, guard.envelope, before, verdict.target, age))
    return seen, broken


def violations(spec: RobotSpecification, limits: Envelope, before: Memory, target: np.ndarray, age: float) -> list[str]:
    """Return the promises that a command breaks. One that begins outside a limit may stay there, but not go further."""
    found = []
    if not np.isfinite(target).all():
        return ["not a number"]
    if age > limits.max_state_age:
        found.append("from an old observation")
    if np.any(np.abs(target - before.last) > limits.rate + 1e-9):
        found.append("rate")
    low, high = limits.low + limits.margin, limits.high - limits.margin
    if np.any(target < np.minimum(low, before.last) - 1e-9) or np.any(target > np.maximum(high, before.last) + 1e-9):
        found.append("range")
    for was, now in zip(_tools(spec, before.last), _tools(spec, target), strict=True):
        if np.linalg.norm(now - was) > limits.tool_step * 1.001 + 1e-9:
            found.append("tool speed")
        if limits.workspace is not None:
            corner_low, corner_high = limits.workspace
            outside_was = np.maximum(corner_low - was, 0) + np.maximum(was - corner_high, 0)
            outside_now = np.maximum(corner_low - now, 0) + np.maximum(now - corner_high, 0)
            if np.any(outside_now > outside_was + 1e-6):
                found.append("workspace")
    return found


def _tools(spec: RobotSpecification, target: np.ndarray) -> np.ndarray:
    """Return where a target brings the tools (arms, 3) m; joints that it does not drive are at home."""
    joints = spec.joints_from_command(target, spec.joints_from_targets(np.array(spec.home)))
    tools = spec.kinematics.points_of(spec.tools, joints)
    for arm, entries in spec.space.tools.items():
        tools[arm] = target[entries]
    return tools


def _anywhere(spec: RobotSpecification, rng: np.random.Generator) -> np.ndarray:
    """Return joints (n,): mostly near home, sometimes anywhere in the mechanical range or a little outside."""
    low, high = np.array(spec.joint_low), np.array(spec.joint_high)
    if rng.random() < 0.3:
        return rng.uniform(low - 0.05, high + 0.05)
    start = spec.joints_from_targets(np.array(spec.home))
    return np.clip(start + rng.normal(0.0, 0.2, len(low)) * np.minimum(high - low, 1.0), low, high)


def _moved(spec: RobotSpecification, joints: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the next measurement: a little motion, a jump, or a sensor that lies."""
    kind = rng.random()
    if kind < 0.9:
        return joints + rng.normal(0.0, 0.01, joints.shape)
    if kind < 0.97:
        return joints + rng.normal(0.0, 1.0, joints.shape)
    lying = joints.copy()
    lying[rng.integers(joints.size)] = rng.choice(NOT_NUMBERS)
    return lying


def _action(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return an action: wrong, huge, not a number, or of another shape."""
    kind = rng.random()
    if kind < 0.6:
        return rng.uniform(-1.5, 1.5, size)
    if kind < 0.85:
        return rng.normal(0.0, 10.0 ** rng.integers(1, 9), size)
    if kind < 0.97:
        action = rng.uniform(-1, 1, size)
        action[rng.integers(size)] = rng.choice(NOT_NUMBERS)
        return action
    return rng.uniform(-1, 1, int(rng.integers(0, 2 * size + 1)))


def _state(spec: RobotSpecification, joints: np.ndarray) -> State:
    return State(0.0, joints, np.zeros_like(joints), tool_poses(spec, np.nan_to_num(joints, posinf=3.0, neginf=-3.0)))


if __name__ == "__main__":
    main()
