"""What an appearance adds to the model: extra geoms and lamps, appended to layout, poses and look.

From here on they are geoms and lights like all others. They are in no physics, so they can be as many and as odd as the
look wants them.
"""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np

from s2rctl.render.layout import GROUP_LIMIT, Group, Layout, Light
from s2rctl.render.primitives import Shape
from s2rctl.render.protocol import EXTRA_SHAPES, Appearance, Extras, Lamps
from s2rctl.scene.poses import Poses


def dressed(layout: Layout, poses: Poses, look: Appearance) -> tuple[Layout, Poses, Appearance]:
    """Return all three with the extra geoms and lamps of ``look``; unchanged where it has none."""
    if look.extras is not None:
        layout = _with_groups(layout, look.geom_rgba.shape[1], look.extras.parent.shape[1])
        poses, look = _with_geoms(poses, look, look.extras)
    if look.lamps is not None:
        layout = _with_lights(layout, look.light_pos.shape[1], look.lamps.direction.shape[1])
        look = _with_lamps(look, look.lamps)
    return layout, poses, look


def _with_groups(layout: Layout, geoms: int, extras: int) -> Layout:
    """Return the layout with groups of the extra geoms, which follow the model's ``geoms``."""
    groups, first = list(layout.groups), layout.drawn
    for place, name in enumerate(EXTRA_SHAPES):
        mine = np.arange(geoms + place, geoms + extras, len(EXTRA_SHAPES))
        for start in range(0, len(mine), GROUP_LIMIT):
            part = mine[start : start + GROUP_LIMIT]
            none = np.zeros(len(part), np.float32)
            groups.append(Group(Shape[name.upper()], part, none.astype(bool), none, first))
            first += len(part)
    return replace(layout, groups=tuple(groups))


def _with_geoms(poses: Poses, look: Appearance, extras: Extras) -> tuple[Poses, Appearance]:
    """Return poses (B, n + E, ...) and a look with the sizes and colours of the extra geoms."""
    hangs = extras.parent >= 0
    parent = jnp.maximum(extras.parent, 0)
    place = jnp.where(hangs[..., None], jnp.take_along_axis(poses.geom_xpos, parent[..., None], 1), 0.0)
    turn = jnp.take_along_axis(poses.geom_xmat, parent[..., None, None], 1)
    turn = jnp.where(hangs[..., None, None], turn, jnp.eye(3))
    at = place + jnp.einsum("beij,bej->bei", turn, extras.pos)
    poses = poses._replace(
        geom_xpos=jnp.concatenate([poses.geom_xpos, at], 1),
        geom_xmat=jnp.concatenate([poses.geom_xmat, turn @ extras.mat], 1),
    )
    return poses, look._replace(
        geom_rgba=jnp.concatenate([look.geom_rgba, extras.rgba], 1),
        geom_size=jnp.concatenate([look.geom_size, extras.size], 1),
    )


def _with_lights(layout: Layout, lights: int, lamps: int) -> Layout:
    """Return the layout with directional lights after the model's ``lights``."""
    added = [Light(lights + number, True, -1.0, 0.0, (1.0, 0.0, 0.0), False) for number in range(lamps)]
    return replace(layout, lights=(*layout.lights, *added))


def _with_lamps(look: Appearance, lamps: Lamps) -> Appearance:
    return look._replace(
        light_pos=jnp.concatenate([look.light_pos, jnp.zeros_like(lamps.direction)], 1),
        light_dir=jnp.concatenate([look.light_dir, lamps.direction], 1),
        light_diffuse=jnp.concatenate([look.light_diffuse, lamps.diffuse], 1),
    )
