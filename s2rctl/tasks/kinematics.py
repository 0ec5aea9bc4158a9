"""Chains of hinges that are read from a MuJoCo model, for JAX.

The model is only read as data (names and arrays), so this needs no simulator and runs on every backend.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.errors import RunError
from s2rctl.core.kinematics import Frames, Kinematics, Link, Point
from s2rctl.core.spatial import to_matrix

_HINGE = 3  # mjtJoint.mjJNT_HINGE
_TOOL = "tool"


@dataclass(frozen=True)
class Chain:
    """A serial chain of hinges from a base body to a tool frame, in the base body's frame."""

    kinematics: Kinematics
    low: np.ndarray  # (n,) rad
    high: np.ndarray  # (n,) rad

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the joints, nearest to the base first."""
        return self.kinematics.joints

    @property
    def offsets(self) -> list[np.ndarray]:
        """Where each body is in the one before it, (3,) m, and last the tool in the last body."""
        links, tool = self.kinematics.links_to(_TOOL)
        return [np.array(position) for position in (*(link.position for link in links), tool.position)]

    def frames(self, q: jax.Array) -> Frames:
        """Return tool pose, joint axes and anchors at the joint angles ``q`` (n,) rad."""
        return self.kinematics.frames(_TOOL, q, jnp)


def read_chain(model: Any, base: str, site: str) -> Chain:
    """Read the chain of hinges between the body ``base`` and the site ``site``.

    Raises RunError when the site does not hang on the base by hinges alone.
    """
    tool = model.site(site)
    links: list[Link] = []
    hinges: list[int] = []
    for body in _bodies(model, base, site):
        name, parent = model.body(body).name, links[-1].name if links else ""
        position, quaternion = model.body_pos[body], tuple(model.body_quat[body].tolist())
        count, hinge = int(model.body_jntnum[body]), int(model.body_jntadr[body])
        if not count:
            links.append(Link(name, parent, tuple(position.tolist()), quaternion))
            continue
        if count > 1 or int(model.jnt_type[hinge]) != _HINGE:
            raise RunError(f"body '{name}' is not moved by one hinge", "choose another site")
        hinges.append(hinge)
        anchor = model.jnt_pos[hinge]
        place = tuple((position + to_matrix(quaternion) @ anchor).tolist())
        joint, axis = model.joint(hinge).name, tuple(model.jnt_axis[hinge].tolist())
        links.append(Link(name, parent, place, quaternion, joint, axis))
        if anchor.any():  # what turns about the anchor is not at the anchor
            links.append(Link(f"{name} origin", name, tuple((-anchor).tolist())))
    names = [model.joint(hinge).name for hinge in hinges]
    point = Point(links[-1].name, tuple(tool.pos.tolist()), tuple(tool.quat.tolist()))
    limits = model.jnt_range[hinges]
    return Chain(Kinematics(links, names, {_TOOL: point}), limits[:, 0].copy(), limits[:, 1].copy())


def _bodies(model: Any, base: str, site: str) -> list[int]:
    """Return the bodies between ``base`` and ``site``, nearest to the base first."""
    body, last = int(model.site(site).bodyid[0]), int(model.body(base).id)
    bodies = []
    while body != last:
        if body == 0:
            raise RunError(f"site '{site}' is not attached to body '{base}'", "check the names in the scene")
        bodies.append(body)
        body = int(model.body_parentid[body])
    return bodies[::-1]


def damped_least_squares(matrix: jax.Array, error: jax.Array, damping: float) -> jax.Array:
    """Return the joint change (n,) that reduces ``error`` (m,): J^T (J J^T + damping I)^-1 e (Wampler 1986)."""
    square = matrix @ matrix.T + damping * jnp.eye(matrix.shape[0])
    factor = jnp.linalg.cholesky(square)  # positive definite by the damping
    return matrix.T @ jax.scipy.linalg.cho_solve((factor, True), error)
