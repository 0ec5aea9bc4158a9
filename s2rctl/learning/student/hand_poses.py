"""Poses of a robot's hands by forward kinematics of the commanded joints, as features of a student.

To push a peg into a hole a student has to know the hands' places to a few millimetres. A perceptron learns the
kinematics of twelve joints only roughly; here they are exact, and given at the scale at which the task needs them:
relative to the pose from which the arms begin their work, coarse and fine. docs/benchmarks.md says what that is worth.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.kinematics import Link, Point, Turns, turns_of
from s2rctl.core.spatial import to_matrix
from s2rctl.robots.protocol import RobotSpecification

_FAR = 3.0  # features end here: beyond, another one of another scale says where the arm is


class Hands(NamedTuple):
    """Poses of the hands, in the order of the robot's arms."""

    position: tuple[jax.Array, ...]  # each (N, 3) m, world
    rotation: tuple[jax.Array, ...]  # each (N, 3, 3)


class Between(NamedTuple):
    """The second hand as seen from the first one."""

    way: jax.Array  # (..., 3) m, in the first hand's axes
    turn: jax.Array  # (..., 9) rotation by rows
    grip: np.ndarray  # (3,) m, from a hand's tool to where it holds a thing, in the hand's axes


class HandPoses:
    """Features of the commanded joints of a robot whose arms are all built alike.

    ``ready`` has the joint angles (rad) of all arms, one after the other, without grippers. Raises ValueError for arms
    that differ.
    """

    def __init__(self, specification: RobotSpecification, ready: Sequence[float]) -> None:
        kinematics = specification.kinematics
        self._arms = len(specification.arms)
        self._grip = np.array(specification.grip, np.float32)
        chains = [kinematics.links_to(tool) for tool in specification.tools]
        constants = [_constants(*chain) for chain in chains]
        if any((ours != theirs).any() for one in constants[1:] for ours, theirs in zip(constants[0], one, strict=True)):
            raise ValueError(f"the arms of '{specification.name}' are not built alike")
        offsets, *turns = constants[0]
        self._turns = Turns(*turns)
        self._joints = len(self._turns.still)
        self._per_arm = len(specification.targets) // self._arms
        self._first, self._offsets = offsets[0, :, None], offsets[1:].reshape(-1, 1)
        self._bases: list[tuple[Any, Any]] = [
            (np.array(links[0].position, np.float32), np.array(to_matrix(links[0].quaternion), np.float32))
            for links, _ in chains
        ]
        self._ready = np.array(ready, np.float32).reshape(self._arms, self._joints)
        self._at_ready = self._between_at_ready(specification) if self._arms == 2 else None

    @property
    def size(self) -> int:
        """How many numbers ``features`` gives."""
        of_arm = self._joints + self._per_arm + 9
        return self._arms * of_arm + (12 if self._at_ready is not None else 0)

    def poses(self, angles: jax.Array) -> Hands:
        """Return the poses of the hands for joint angles (N, arms, joints) rad.

        As ``Kinematics.pose`` does, but all arms are one batch, and all offsets are added at once: in an exported graph
        each operation costs microseconds, and with the general form the student's takes 1.3 times as long.
        """
        joints = angles.reshape(-1, self._joints)
        turns = self._turns.at(joints, jnp)  # (arms * N, joints, 3, 3)
        axes = [turns[:, 0]]
        for joint in range(1, self._joints):
            axes.append(axes[-1] @ turns[:, joint])
        place = (self._first + jnp.concatenate(axes, axis=-1) @ self._offsets).reshape(-1, self._arms, 3)
        turned = axes[-1].reshape(-1, self._arms, 3, 3)
        bases = list(enumerate(self._bases))
        return Hands(
            tuple(at + place[:, arm] @ to_world.T for arm, (at, to_world) in bases),
            tuple(to_world @ turned[:, arm] for arm, (_, to_world) in bases),
        )

    def features(self, targets: jax.Array) -> jax.Array:
        """Return numbers of order one (N, size) from joint targets (N, m): per arm its joints rad, then its gripper m.

        For each arm: joints relative to ``ready`` coarse, gripper, joints fine, the hand's position (3) and two rows of
        its rotation in the world (6). With two arms then the second hand as seen from the first one, relative to how
        they stand at ``ready``: the way coarse and fine (6), and two rows of its rotation (6).
        """
        arms = self._by_arm(targets)
        angles, fingers = arms[..., : self._joints], arms[..., self._joints :]
        away = angles - self._ready
        poses = self.poses(angles)
        # 24/m: the open gripper of a ViperX reads 1
        joints = jnp.concatenate([2.0 * away, 24.0 * fingers, _clip(10.0 * away)], axis=-1)
        parts = [
            part
            for arm in range(self._arms)
            for part in (joints[:, arm], 5.0 * poses.position[arm], poses.rotation[arm].reshape(-1, 9)[:, :6])
        ]
        return jnp.concatenate(parts + self._second(poses), axis=-1)

    @property
    def away_size(self) -> int:
        """How many of the first numbers of ``measured`` say how far the hands are from where they were sent."""
        return 3 * self._arms

    @property
    def measured_size(self) -> int:
        """How many numbers ``measured`` gives."""
        return self.away_size + (12 if self._at_ready is not None else 0)

    def measured(self, positions: jax.Array, targets: jax.Array) -> jax.Array:
        """Return where measured joints really bring the hands, numbers of order one (N, measured_size).

        ``positions`` and ``targets`` (N, m) are joints in the order of the commands, measured and commanded. For each
        arm how far the hand is from where it was sent (3), in the world; with two arms then the second hand as seen
        from the first one, as ``features`` tells it (12).
        """
        real, sent = (self.poses(self._by_arm(values)[..., : self._joints]) for values in (positions, targets))
        off = [_clip(40.0 * (there - wanted)) for there, wanted in zip(real.position, sent.position, strict=True)]
        return jnp.concatenate(off + self._second(real), axis=-1)

    def between(self, second: jax.Array) -> Between:
        """Return the second hand as seen from the first one by the last 12 numbers (..., 12) of ``features``.

        Of hands that are not further than 0.3 m along any axis from how they stand at ``ready``.
        """
        assert self._at_ready is not None
        way, turn = self._at_ready
        rows = turn[:6] + second[..., 6:] / 3.0
        third = jnp.cross(rows[..., :3], rows[..., 3:])
        return Between(second[..., :3] / 10.0 + way, jnp.concatenate([rows, third], axis=-1), self._grip)

    def _by_arm(self, targets: jax.Array) -> jax.Array:
        return targets.reshape(-1, self._arms, self._per_arm)

    def _second(self, poses: Hands) -> list[jax.Array]:
        """Return the second hand as seen from the first one, relative to how they stand at ``ready``."""
        if self._at_ready is None:
            return []
        way, turn = _between(poses)
        way, turn = way - self._at_ready[0], (turn - self._at_ready[1])[:, :6]
        return [_clip(10.0 * way), _clip(40.0 * way), 3.0 * turn]

    def _between_at_ready(self, specification: RobotSpecification) -> tuple[np.ndarray, np.ndarray]:
        """Return way and turn between the hands at ``ready``; in numpy, since nothing shall be compiled for it."""
        targets = np.array(specification.home).reshape(self._arms, self._per_arm)
        targets[:, : self._joints] = self._ready
        joints = specification.joints_from_targets(targets.ravel())
        (left, left_axes), (right, right_axes) = (
            specification.kinematics.pose(tool, joints) for tool in specification.tools
        )
        way, turn = left_axes.T @ (right - left), left_axes.T @ right_axes
        return way.astype(np.float32), turn.ravel().astype(np.float32)


def _between(poses: Hands) -> tuple[jax.Array, jax.Array]:
    """Return the second hand's place (N, 3) and rotation (N, 9) in the first one's axes."""
    back = jnp.swapaxes(poses.rotation[0], 1, 2)
    way = back @ (poses.position[1] - poses.position[0])[..., None]
    return way[..., 0], (back @ poses.rotation[1]).reshape(-1, 9)


def _constants(links: Sequence[Link], point: Point) -> list[np.ndarray]:
    """Return of one arm the offsets (joints + 1, 3) m and the three parts of its joints' rotations (joints, 3, 3)."""
    hinges = [link for link in links if link.joint]
    offsets = np.array([*(link.position for link in hinges), point.position])
    return [part.astype(np.float32) for part in (offsets, *turns_of(hinges))]


def _clip(values: jax.Array) -> jax.Array:
    return jnp.clip(values, -_FAR, _FAR)
