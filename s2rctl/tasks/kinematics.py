"""Forward kinematics and Jacobian of a serial chain of hinges in pure JAX, with the chain read from a MuJoCo model.

The model is only read as data (names and arrays), so this needs no simulator and runs on every backend.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.errors import RunError

_HINGE = 3  # mjtJoint.mjJNT_HINGE


@dataclass(frozen=True)
class Link:
    """One body of the chain in its parent's frame and the hinge that turns it (none: welded)."""

    position: np.ndarray  # (3,) m
    rotation: np.ndarray  # (3, 3)
    axis: np.ndarray | None  # (3,) in the body's frame
    anchor: np.ndarray  # (3,) m in the body's frame


@dataclass(frozen=True)
class Chain:
    """A serial chain from a base body to a tool frame."""

    joints: tuple[str, ...]
    low: np.ndarray  # (n,) rad
    high: np.ndarray  # (n,) rad
    links: tuple[Link, ...]
    tool_position: np.ndarray  # (3,) m in the last body's frame
    tool_rotation: np.ndarray  # (3, 3)


class Frames(NamedTuple):
    """What forward kinematics gives, in the base body's frame."""

    position: jax.Array  # (3,) m, the tool
    rotation: jax.Array  # (3, 3)
    axes: jax.Array  # (n, 3) unit vectors of the joints
    anchors: jax.Array  # (n, 3) m


def read_chain(model: Any, base: str, site: str) -> Chain:
    """Read the chain of hinges between the body ``base`` and the site ``site``.

    Raises RunError when the site does not hang on the base by hinges alone.
    """
    tool = model.site(site)
    bodies: list[int] = []
    body = int(tool.bodyid[0])
    base_id = int(model.body(base).id)
    while body != base_id:
        if body == 0:
            raise RunError(f"site '{site}' does not hang on body '{base}'", "check the names in the scene")
        bodies.append(body)
        body = int(model.body_parentid[body])
    names: list[str] = []
    low, high = [], []
    links = []
    for index in reversed(bodies):
        count, first = int(model.body_jntnum[index]), int(model.body_jntadr[index])
        axis, anchor = None, np.zeros(3)
        if count:
            if count > 1 or int(model.jnt_type[first]) != _HINGE:
                raise RunError(f"body '{model.body(index).name}' is not moved by one hinge", "choose another site")
            axis, anchor = np.array(model.jnt_axis[first]), np.array(model.jnt_pos[first])
            names.append(model.joint(first).name)
            low.append(model.jnt_range[first][0])
            high.append(model.jnt_range[first][1])
        rotation = rotation_of(model.body_quat[index])
        links.append(Link(np.array(model.body_pos[index]), rotation, axis, anchor))
    return Chain(tuple(names), np.array(low), np.array(high), tuple(links), np.array(tool.pos), rotation_of(tool.quat))


def rotation_of(quat: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the rotation matrix (3, 3) of a quaternion w x y z, in numpy: for constants of the model."""
    w, x, y, z = np.asarray(quat, float) / np.linalg.norm(quat)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def forward(chain: Chain, q: jax.Array) -> Frames:
    """Return tool pose, joint axes and anchors in the base frame at the joint angles ``q`` (n,) rad."""
    position, rotation = jnp.zeros(3), jnp.eye(3)
    axes, anchors = [], []
    for link in chain.links:
        position = position + rotation @ link.position
        rotation = rotation @ link.rotation
        if link.axis is None:
            continue
        anchor = position + rotation @ link.anchor
        axes.append(rotation @ link.axis)
        anchors.append(anchor)
        rotation = rotation @ _turn(link.axis, q[len(axes) - 1])
        position = anchor - rotation @ link.anchor
    return Frames(
        position + rotation @ chain.tool_position,
        rotation @ chain.tool_rotation,
        jnp.stack(axes),
        jnp.stack(anchors),
    )


def _turn(axis: np.ndarray, angle: jax.Array) -> jax.Array:
    """Return the rotation matrix about a constant axis (Rodrigues)."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return jnp.eye(3) + jnp.sin(angle) * cross + (1 - jnp.cos(angle)) * (cross @ cross)


def jacobian(frames: Frames, point: jax.Array) -> jax.Array:
    """Return the geometric Jacobian (6, n), linear rows first, of a ``point`` (3,) m that is fixed to the tool."""
    linear = jnp.cross(frames.axes, point - frames.anchors)
    return jnp.concatenate([linear.T, frames.axes.T])


def damped_least_squares(matrix: jax.Array, error: jax.Array, damping: float) -> jax.Array:
    """Return the joint change (n,) that reduces ``error`` (m,): J^T (J J^T + damping I)^-1 e (Wampler 1986)."""
    square = matrix @ matrix.T + damping * jnp.eye(matrix.shape[0])
    factor = jnp.linalg.cholesky(square)  # positive definite by the damping
    return matrix.T @ jax.scipy.linalg.cho_solve((factor, True), error)
