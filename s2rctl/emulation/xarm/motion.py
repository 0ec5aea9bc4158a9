"""The controller's motion generator: commanded joints that follow line, joint and velocity goals within limits."""

from dataclasses import dataclass

import numpy as np

from s2rctl.core.lines import PlannerState, follow
from s2rctl.core.spatial import from_rotation_vector, rotation_vector
from s2rctl.robots.protocol import RobotSpecification

TURN_SPEED = 1.0
"""rad/s at which the tool turns while it moves on a line."""
HARD_STOP_ACCELERATION = 10.0
"""m/s²: deceleration of a commanded stop."""


@dataclass(frozen=True)
class LineGoal:
    """Bring the flange to a pose on a straight line."""

    position: np.ndarray  # (3,) m
    rotation: np.ndarray  # (3, 3)
    speed: float  # m/s
    acceleration: float  # m/s²


@dataclass(frozen=True)
class JointGoal:
    """Bring the joints to positions, each at most at ``speed``."""

    joints: np.ndarray  # (7,) rad
    speed: float  # rad/s


@dataclass(frozen=True)
class VelocityGoal:
    """Move the flange with a velocity until the deadline (the controller's own dead-man); inf runs for ever."""

    linear: np.ndarray  # (3,) m/s
    until: float  # s


Goal = LineGoal | JointGoal | VelocityGoal


class Motion:
    """Commanded joints over time. ``tick`` is called once per controller cycle."""

    def __init__(self, specification: RobotSpecification, joints: np.ndarray) -> None:
        self._kinematics = specification.kinematics
        self._low, self._high = np.array(specification.joint_low), np.array(specification.joint_high)
        self.goal: Goal | None = None
        self.reset(joints)

    def reset(self, joints: np.ndarray) -> None:
        """Stand still at the joints (7,) rad."""
        self.joints = np.array(joints, float)
        self._position, self._rotation = self.flange(self.joints)
        self._velocity = np.zeros(3)
        self.goal = None

    def flange(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the flange's position (3,) m and rotation (3, 3)."""
        return self._kinematics.pose("flange", joints)

    def inverse(self, position: np.ndarray, rotation: np.ndarray) -> tuple[np.ndarray, bool]:
        """Return joints (7,) near the present ones for a flange pose, and whether it is reached."""
        return self._kinematics.solve("flange", position, rotation, self.joints, self._low, self._high)

    @property
    def moving(self) -> bool:
        """Whether the commanded joints still change."""
        return self.goal is not None or bool(np.any(self._velocity))

    def halt(self) -> None:
        """Forget the goal; a line decelerates."""
        self.goal = None

    def tick(self, now: float, dt: float) -> None:
        """Advance the commanded joints by ``dt`` s at time ``now`` s."""
        if isinstance(self.goal, JointGoal):
            self._tick_joints(self.goal, dt)
        elif isinstance(self.goal, LineGoal):
            self._tick_line(self.goal, dt)
        else:
            velocity = np.zeros(3)
            if isinstance(self.goal, VelocityGoal):
                if now < self.goal.until:
                    velocity = self.goal.linear
                else:
                    self.goal = None
            self._accelerate(velocity, HARD_STOP_ACCELERATION, dt)
            if np.any(self._velocity):
                self._go(self._position + self._velocity * dt, self._rotation)

    def _tick_joints(self, goal: JointGoal, dt: float) -> None:
        step = np.clip(goal.joints - self.joints, -goal.speed * dt, goal.speed * dt)
        self.joints = self.joints + step
        self._position, self._rotation = self.flange(self.joints)
        self._velocity = np.zeros(3)
        if np.allclose(self.joints, goal.joints, atol=1e-9):
            self.goal = None

    def _tick_line(self, goal: LineGoal, dt: float) -> None:
        way = goal.position - self._position
        distance = float(np.linalg.norm(way))
        turn = rotation_vector(goal.rotation @ self._rotation.T)
        angle = float(np.linalg.norm(turn))
        going = PlannerState(self._position, self._velocity)
        following, self._velocity = follow(np, going, goal.position, goal.speed, goal.acceleration, dt)
        arrived = distance < 1e-4 and np.linalg.norm(self._velocity) < goal.acceleration * dt * 2
        position = goal.position if arrived else following
        fraction = 1.0 if angle <= TURN_SPEED * dt else TURN_SPEED * dt / angle
        self._go(position, from_rotation_vector(turn * fraction) @ self._rotation)
        if arrived and fraction == 1.0:
            self._velocity = np.zeros(3)
            self.goal = None

    def _accelerate(self, wanted: np.ndarray, acceleration: float, dt: float) -> None:
        change = wanted - self._velocity
        size = float(np.linalg.norm(change))
        limit = acceleration * dt
        self._velocity = wanted.copy() if size <= limit else self._velocity + change * (limit / size)

    def _go(self, position: np.ndarray, rotation: np.ndarray) -> None:
        joints, reached = self.inverse(position, rotation)
        if not reached:  # out of reach: stand where the arm can be
            self._velocity, self.goal = np.zeros(3), None
            return
        self.joints, self._position, self._rotation = joints, position, rotation
