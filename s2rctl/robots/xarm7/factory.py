"""The arm's own link figures, measured at the factory and read from its controller.

Firmware 2.0 and later gives four figures per joint: theta, d, alpha, a (Denavit and Hartenberg 1955). The SDK says
neither which of the two conventions nor which units they are in; so each reading of them is compared with the nominal
arm, and the one that is the nominal arm up to a few millimetres is taken. Not yet seen from a real controller.
"""

import math
from collections.abc import Sequence
from itertools import product

import numpy as np

from s2rctl.core.kinematics import Kinematics, Link, Point
from s2rctl.core.spatial import from_matrix, from_rotation_vector, rotation_vector, transform
from s2rctl.robots.xarm7.kinematics import JOINTS, KINEMATICS

NEAR_M, NEAR_RAD = 0.02, 0.05
"""Largest difference of a real arm from the nominal one, anywhere."""
_SAMPLES = 12


def factory_kinematics(figures: Sequence[float]) -> Kinematics | None:
    """Return the arm's own chain, its last link named as the nominal one; None where no reading of them is this arm."""
    values = np.array(figures, float)
    if values.shape != (4 * len(JOINTS),) or not np.isfinite(values).all():
        return None
    table = values.reshape(-1, 4)
    for metre, turn, late in product((1e-3, 1.0), (1.0, math.pi / 180), (True, False)):
        chain = _chain(table * [turn, metre, turn, metre], late)
        metres, radians = difference(chain)
        if metres < NEAR_M and radians < NEAR_RAD:
            return chain
    return None


def nominal_figures() -> tuple[float, ...]:
    """Return theta rad, d mm, alpha rad, a mm of the nominal arm, joint by joint."""
    half = math.pi / 2
    rows = (
        (267.0, -half, 0.0),
        (0.0, half, 0.0),
        (293.0, half, 52.5),
        (0.0, half, 77.5),
        (342.5, half, 0.0),
        (0.0, -half, 76.0),
        (97.0, 0.0, 0.0),
    )
    return tuple(value for d, alpha, a in rows for value in (0.0, d, alpha, a))


def difference(chain: Kinematics) -> tuple[float, float]:
    """Return the largest distance (m) and angle (rad) of a chain's flange from the nominal one over sample poses."""
    rng = np.random.default_rng(0)
    worst = np.zeros(2)
    for joints in rng.uniform(-1.5, 1.5, (_SAMPLES, len(JOINTS))):
        (place, turn), (nominal, nominal_turn) = chain.pose("flange", joints), KINEMATICS.pose("flange", joints)
        apart = float(np.linalg.norm(place - nominal)), float(np.linalg.norm(rotation_vector(turn @ nominal_turn.T)))
        worst = np.maximum(worst, apart)
    return float(worst[0]), float(worst[1])


def _chain(table: np.ndarray, late: bool) -> Kinematics:
    """Return the chain of theta, d, alpha, a (7, 4); ``late``: a and alpha come after the joint, else before it."""
    links, before = [Link("link_base", "")], np.eye(4)
    parent = "link_base"
    for number, (theta, d, alpha, a) in enumerate(table):
        twist = transform((a, 0.0, 0.0), from_rotation_vector([alpha, 0.0, 0.0]))
        rise = transform((0.0, 0.0, d), from_rotation_vector([0.0, 0.0, theta]))
        here = before if late else before @ twist
        joint = f"turn{number + 1}"
        links.append(_link(joint, parent, here, JOINTS[number]))
        parent, before = joint, rise @ twist if late else rise
    links.append(_link("link7", parent, before, ""))
    gripper = Link("xarm_gripper_base_link", "link7", quaternion=(0.0, 0.0, 0.0, 1.0))
    points = {"flange": Point("link7", (0.0, 0.0, 0.0)), "tcp": Point(gripper.name, (0.0, 0.0, 0.172))}
    return Kinematics([*links, gripper], JOINTS, points)


def _link(name: str, parent: str, pose: np.ndarray, joint: str) -> Link:
    x, y, z = (float(value) for value in pose[:3, 3])
    a, b, c, d = (float(value) for value in from_matrix(pose[:3, :3]))
    return Link(name, parent, (x, y, z), (a, b, c, d), joint)
