"""How much room contacts and constraints need, from the model alone: backends with fixed buffers reserve it."""

from typing import NamedTuple

import mujoco
import numpy as np

_TYPE = mujoco.mjtGeom
_MOST_CONTACTS = 256
"""Largest room that is chosen; a scene in which more geoms touch at once says so with ``simulation.contacts``."""
_FEWEST_CONTACTS = 8


class Room(NamedTuple):
    """Sizes of one world's buffers."""

    contacts: int
    rows: int  # of the constraint Jacobian


class Memory(NamedTuple):
    """What a backend reserved: sizes of one world's buffers (0: they grow) and the bytes of all worlds."""

    contacts: int
    rows: int
    bytes: int

    def text(self, worlds: int) -> str:
        """Return it in words."""
        size = f"{self.bytes / 1e6:.1f} MB for {worlds} worlds"
        return f"room for {self.contacts} contacts and {self.rows} constraints per world, {size}" if self.rows else size


def needed_room(model: mujoco.MjModel, contacts: int = 0) -> Room:
    """Return the room for one world; ``contacts`` 0: what all pairs of geoms that can touch could make at once."""
    most, size = contact_bound(model)
    contacts = contacts or int(np.clip(most, _FEWEST_CONTACTS, _MOST_CONTACTS))
    return Room(contacts, contacts * size + _other_rows(model))


def contact_bound(model: mujoco.MjModel) -> tuple[int, int]:
    """Return the most contacts at once, and the most constraint rows of one.

    A pair makes at most as many contacts as MuJoCo's collision function for it returns. A contact with condim d takes
    d rows with elliptic friction cones and 2 (d - 1) with pyramidal ones (1 without friction).
    """
    total, condim = 0, 1
    pairs = list(zip(model.pair_geom1, model.pair_geom2, strict=True))
    condim = max([condim, *(int(dim) for dim in model.pair_dim)])
    for first in range(model.ngeom):
        for second in range(first + 1, model.ngeom):
            if _may_touch(model, first, second):
                pairs.append((first, second))
                condim = max(condim, int(model.geom_condim[first]), int(model.geom_condim[second]))
    total = sum(_contacts_of(model, int(first), int(second)) for first, second in pairs)
    elliptic = model.opt.cone == mujoco.mjtCone.mjCONE_ELLIPTIC
    return total, condim if elliptic else max(1, 2 * (condim - 1))


def _may_touch(model: mujoco.MjModel, first: int, second: int) -> bool:
    """Return whether MuJoCo's filters let two geoms touch (parents and excluded pairs are counted as if they did)."""
    bodies = model.geom_bodyid[first], model.geom_bodyid[second]
    if model.body_weldid[bodies[0]] == model.body_weldid[bodies[1]]:
        return False
    types, affinities = model.geom_contype, model.geom_conaffinity
    return bool(types[first] & affinities[second] or types[second] & affinities[first])


def _contacts_of(model: mujoco.MjModel, first: int, second: int) -> int:
    """Return the most contacts of one pair of geoms."""
    kinds = {int(model.geom_type[first]), int(model.geom_type[second])}
    if kinds & {int(_TYPE.mjGEOM_SPHERE), int(_TYPE.mjGEOM_ELLIPSOID)}:
        return 1
    if int(_TYPE.mjGEOM_CAPSULE) in kinds:
        return 2
    return 4 if kinds & {int(_TYPE.mjGEOM_CYLINDER), int(_TYPE.mjGEOM_PLANE)} else 8


def _other_rows(model: mujoco.MjModel) -> int:
    """Return the rows of equalities (at most 6 each), of limits on both sides and of dry friction."""
    limits = int(np.sum(model.jnt_limited)) + int(np.sum(model.tendon_limited))
    dry = int(np.sum(model.dof_frictionloss > 0)) + int(np.sum(model.tendon_frictionloss > 0))
    # Worlds may have dry friction of their own where the model has none.
    return 6 * model.neq + 2 * limits + max(dry, model.nv)
