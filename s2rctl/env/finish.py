"""Draws of all that goes beyond plain colours: textures, background, extra geoms, lamps, apparent sizes."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from s2rctl.env.geoms import half_sides, members, thin_axes
from s2rctl.env.pictures import Pictures
from s2rctl.render.protocol import EXTRA_SHAPES, PATTERNS, Appearance, Background, Extras, Lamps, Textures
from s2rctl.schema.appearance import BackgroundRange, DistractorRange, LampRange, Looks, SkinRange, TextureRange

_AXES = np.eye(3, dtype=np.float32)
_SKY_PERIODS = (0.3, 3.0)
"""Periods of a background's pattern per unit of direction, about one radian."""


class Wardrobe(NamedTuple):
    """A profile's ranges resolved on a model; fixed."""

    looks: Looks
    textured: tuple[np.ndarray, ...]  # per texture range (ngeom,) bool
    sized: tuple[np.ndarray, ...]  # per size range
    skinned: tuple[np.ndarray, ...]  # per skin range: geom ids
    half: np.ndarray  # (ngeom, 3) m
    thin: np.ndarray  # (ngeom,)
    pictures: Pictures | None


def wardrobe(model: mujoco.MjModel, looks: Looks, pictures: Pictures | None = None) -> Wardrobe:
    """Resolve the geom patterns of ``looks``; a range that matches nothing has no effect."""
    return Wardrobe(
        looks,
        tuple(members(model, r.geoms) for r in looks.textures),
        tuple(members(model, r.geoms) for r in looks.sizes),
        tuple(np.flatnonzero(members(model, r.geoms) & (half_sides(model) > 0).all(1)) for r in looks.skins),
        half_sides(model),
        thin_axes(model),
        pictures,
    )


def finish(key: jax.Array, look: Appearance, own: Wardrobe) -> Appearance:
    """Return the look (leaves (B, ...)) with everything of the wardrobe drawn for each world."""
    keys = jax.random.split(key, 5)
    looks = own.looks
    if looks.sizes:
        look = look._replace(geom_size=_sizes(keys[0], look.geom_size, own))
    if looks.distractors or any(len(geoms) for geoms in own.skinned):
        look = look._replace(extras=_extras(keys[1], look, own))
    if looks.textures:
        look = look._replace(textures=_textures(keys[2], look, own))
    if looks.background is not None:
        look = look._replace(background=_background(keys[3], look, looks.background, own.pictures))
    if looks.lamps is not None:
        look = _lit(keys[4], look, looks.lamps)
    return look


def _sizes(key: jax.Array, size: jax.Array, own: Wardrobe) -> jax.Array:
    for number, (limits, mine) in enumerate(zip(own.looks.sizes, own.sized, strict=True)):
        spread = limits.spread * np.array([axis in limits.axes for axis in "xyz"], np.float32)
        factor = 1.0 + spread * _symmetric(jax.random.fold_in(key, number), size.shape)
        size = jnp.where(jnp.asarray(mine)[:, None], size * factor, size)
    return size


def _textures(key: jax.Array, look: Appearance, own: Wardrobe) -> Textures:
    """Return textures of the model's geoms, and none on the extra ones. The last range that names a geom decides."""
    worlds, geoms = look.geom_rgba.shape[:2]
    extra = 0 if look.extras is None else look.extras.parent.shape[1]
    total = geoms + extra
    drawn = Textures(
        pattern=jnp.zeros((worlds, total), jnp.int32),
        other=jnp.zeros((worlds, total, 3)),
        axes=jnp.broadcast_to(jnp.eye(3), (worlds, total, 3, 3)),
        phase=jnp.zeros((worlds, total, 3)),
        picture=jnp.zeros((worlds, total), jnp.int32),
        shine=jnp.zeros((worlds, total)),
    )
    for number, (limits, mine) in enumerate(zip(own.looks.textures, own.textured, strict=True)):
        one = _texture(jax.random.fold_in(key, number), look, limits, own)
        chosen = jnp.asarray(np.append(mine, np.zeros(extra, bool)))
        padded = jax.tree.map(lambda leaf: jnp.pad(leaf, [(0, 0), (0, extra)] + [(0, 0)] * (leaf.ndim - 2)), one)
        drawn = Textures(*(_where(chosen, new, old) for new, old in zip(padded, drawn, strict=True)))
    return drawn


def _texture(key: jax.Array, look: Appearance, limits: TextureRange, own: Wardrobe) -> Textures:
    """Return one range's draw on all geoms: one pattern and period per world, a phase for each geom."""
    keys = jax.random.split(key, 8)
    worlds, geoms = look.geom_rgba.shape[:2]
    has = jax.random.bernoulli(keys[0], limits.probability, (worlds,))
    pattern = jnp.where(has, _pattern(keys[1], worlds, limits.patterns, own.pictures), 0)
    picture = _picture(keys[2], worlds, own.pictures)
    shift = limits.spread * (_symmetric(keys[3], (worlds, 1)) + 0.5 * _symmetric(keys[4], (worlds, 3)))
    other = jnp.clip(look.geom_rgba[..., :3] + shift[:, None], 0.0, 1.0)
    if own.pictures is not None:
        is_picture = (pattern == PATTERNS.index("picture"))[:, None, None]
        other = jnp.where(is_picture, jnp.asarray(own.pictures.mean)[picture][:, None], other)
    share = jax.random.uniform(keys[5], (worlds, 1, 1, 1))
    shown = (pattern == PATTERNS.index("picture"))[:, None, None, None]
    period = jnp.where(shown, _between(share, limits.picture_m), _between(share, limits.period_m))
    wide = (worlds, geoms)
    return Textures(
        pattern=jnp.broadcast_to(pattern[:, None], wide),
        other=other,
        axes=_turned_faces(keys[6], own.thin, worlds) / period,
        phase=jax.random.uniform(keys[7], (*wide, 3)),
        picture=jnp.broadcast_to(picture[:, None], wide),
        shine=jnp.broadcast_to(limits.shine * jax.random.uniform(jax.random.fold_in(key, 1), (worlds, 1)), wide),
    )


def _turned_faces(key: jax.Array, thin: np.ndarray, worlds: int) -> jax.Array:
    """Return (B, ngeom, 3, 3): rows along a geom's large faces, turned within them, and the thin axis last."""
    rows = np.stack([_AXES[(thin + 1) % 3], _AXES[(thin + 2) % 3], _AXES[thin]], axis=1)
    angle = jax.random.uniform(key, (worlds,), maxval=2 * math.pi)
    return jnp.einsum("bij,njk->bnik", _about_last(angle), rows)


def _background(key: jax.Array, look: Appearance, limits: BackgroundRange, pictures: Pictures | None) -> Background:
    keys = jax.random.split(key, 8)
    worlds = look.geom_rgba.shape[0]
    has = jax.random.bernoulli(keys[0], limits.probability, (worlds,))
    low, high = jnp.asarray(limits.low), jnp.asarray(limits.high)
    colours = low + (high - low) * jax.random.uniform(keys[1], (2, worlds, 3))
    periods = _between(jax.random.uniform(keys[2], (worlds, 1, 1)), _SKY_PERIODS)
    pattern = _pattern(keys[3], worlds, limits.patterns, pictures)
    # One picture spans about a radian to either side, so that it is seen as a room and not as a wallpaper.
    periods = jnp.where((pattern == PATTERNS.index("picture"))[:, None, None], 0.7, periods)
    # Upright: the second coordinate is the world's z, but for a random lean.
    lean = _about_last(0.3 * _symmetric(keys[4], (worlds,)))
    yaw = _about_last(jax.random.uniform(keys[5], (worlds,), maxval=2 * math.pi))
    upright = jnp.asarray(_AXES[[0, 2, 1]])
    return Background(
        pattern=jnp.where(has, pattern, 0),
        colour=jnp.where(has[:, None], colours[0], 0.0),
        other=colours[1],
        axes=periods * (lean @ upright @ yaw),
        phase=jax.random.uniform(keys[6], (worlds, 3)),
        picture=_picture(keys[7], worlds, pictures),
    )


def _extras(key: jax.Array, look: Appearance, own: Wardrobe) -> Extras:
    """Return skins and distractors, one after the other; those that a world has too many of have alpha 0."""
    parts = []
    for number, (skin, geoms) in enumerate(zip(own.looks.skins, own.skinned, strict=True)):
        if len(geoms):
            parts.append(_skins(jax.random.fold_in(key, number), look, skin, geoms, own.half))
    for number, thing in enumerate(own.looks.distractors):
        parts.append(_distractors(jax.random.fold_in(key, 100 + number), look, thing))
    # Every part fills whole rounds of the shapes, so that joined they do as well.
    return Extras(*(jnp.concatenate(leaves, 1) for leaves in zip(*parts, strict=True)))


def _distractors(key: jax.Array, look: Appearance, limits: DistractorRange) -> Extras:
    keys = jax.random.split(key, 6)
    worlds, slots = look.geom_rgba.shape[0], _rounds(limits.most)
    low, high = jnp.asarray(limits.low_m), jnp.asarray(limits.high_m)
    smallest, largest = limits.size_m
    rgb = jax.random.uniform(keys[0], (worlds, slots, 3))
    return Extras(
        parent=jnp.full((worlds, slots), -1, jnp.int32),
        pos=low + (high - low) * jax.random.uniform(keys[1], (worlds, slots, 3)),
        mat=_about_last(jax.random.uniform(keys[2], (worlds, slots), maxval=2 * math.pi)),
        size=jax.random.uniform(keys[3], (worlds, slots, 3), minval=smallest, maxval=largest),
        rgba=jnp.concatenate([rgb, _shown(keys[4], worlds, slots, limits.most)], -1),
    )


def _skins(key: jax.Array, look: Appearance, limits: SkinRange, geoms: np.ndarray, half: np.ndarray) -> Extras:
    keys = jax.random.split(key, 6)
    worlds, slots = look.geom_rgba.shape[0], _rounds(limits.most)
    which = jax.random.randint(keys[0], (worlds, slots), 0, len(geoms))
    parent = jnp.asarray(geoms, jnp.int32)[which]
    box = jnp.asarray(half)[parent]
    # z along the geom's longest side, as round shapes have it
    longest = np.argmax(half, axis=1)
    turn = jnp.asarray(np.stack([_AXES[[(k + 1) % 3, (k + 2) % 3, k]].T for k in longest]))[parent]
    low, high = limits.scale
    sides = jnp.einsum("bsji,bsj->bsi", turn, box)
    sides = sides * jax.random.uniform(keys[1], (worlds, slots, 3), minval=low, maxval=high)
    radius = jnp.sqrt(sides[..., 0] * sides[..., 1])
    shape = jnp.arange(slots) % len(EXTRA_SHAPES)
    straight = jnp.maximum(sides[..., 2] - radius, 0.1 * radius)
    capsule = jnp.stack([radius, straight, radius], -1)
    cylinder = jnp.stack([radius, sides[..., 2], radius], -1)
    round_one = jnp.where((shape == EXTRA_SHAPES.index("capsule"))[:, None], capsule, cylinder)
    is_round = (shape == EXTRA_SHAPES.index("capsule")) | (shape == EXTRA_SHAPES.index("cylinder"))
    own = jax.random.bernoulli(keys[2], limits.own_colour, (worlds, slots, 1))
    parents = jnp.take_along_axis(look.geom_rgba, parent[..., None], 1)
    random = jax.random.uniform(keys[3], (worlds, slots, 1)) + 0.1 * _symmetric(keys[3], (worlds, slots, 3))
    rgb = jnp.where(own, parents[..., :3], jnp.clip(random, 0.0, 1.0))
    return Extras(
        parent=parent,
        pos=limits.offset * box * _symmetric(keys[4], (worlds, slots, 3)),
        mat=turn,
        size=jnp.where(is_round[:, None], round_one, sides),
        rgba=jnp.concatenate([rgb, _shown(keys[5], worlds, slots, limits.most)], -1),
    )


def _lit(key: jax.Array, look: Appearance, limits: LampRange) -> Appearance:
    """Return the look with tinted lights, some of them off, and further lamps from above."""
    keys = jax.random.split(key, 7)
    worlds, lights = look.light_diffuse.shape[:2]
    off = jax.random.bernoulli(keys[0], limits.off, (worlds, lights)) & (jnp.arange(lights) > 0)
    tinted = look.light_diffuse * (1.0 + limits.tint * _symmetric(keys[1], look.light_diffuse.shape))
    low, high = limits.ambient
    factor = jax.random.uniform(keys[2], (worlds, 1), minval=low, maxval=high)
    look = look._replace(
        light_diffuse=jnp.where(off[..., None], 0.0, jnp.clip(tinted, 0.0, 1.0)), ambient=look.ambient * factor
    )
    if not limits.most:
        return look
    shape = (worlds, limits.most)
    across = jax.random.normal(keys[3], (*shape, 2))
    direction = jnp.concatenate([across, -jnp.ones((*shape, 1))], -1)
    tint = 1.0 + limits.tint * _symmetric(keys[5], (*shape, 3))
    bright = limits.intensity * jax.random.uniform(keys[4], (*shape, 1)) * _shown(keys[6], *shape, limits.most)
    unit = direction / jnp.linalg.norm(direction, axis=-1, keepdims=True)
    return look._replace(lamps=Lamps(unit, bright * tint))


def _shown(key: jax.Array, worlds: int, slots: int, most: int) -> jax.Array:
    """Return (B, slots, 1) of 0 and 1: from none to ``most`` of the slots, any of them."""
    count_key, order_key = jax.random.split(key)
    count = jax.random.randint(count_key, (worlds, 1), 0, most + 1)
    order = jnp.argsort(jax.random.uniform(order_key, (worlds, slots)), axis=1)
    return (order < count).astype(jnp.float32)[..., None]


def _rounds(count: int) -> int:
    """Return ``count`` rounded up to whole rounds of the shapes."""
    return -(-count // len(EXTRA_SHAPES)) * len(EXTRA_SHAPES)


def _pattern(key: jax.Array, worlds: int, names: Sequence[str], pictures: Pictures | None) -> jax.Array:
    """Return (B,) int32 places in PATTERNS."""
    known = [PATTERNS.index(name) for name in names if pictures is not None or name != "picture"]
    return jnp.asarray(known or [0], jnp.int32)[jax.random.randint(key, (worlds,), 0, max(1, len(known)))]


def _picture(key: jax.Array, worlds: int, pictures: Pictures | None) -> jax.Array:
    """Return (B,) int32: one of the made pictures or, as often, one of the user's own."""
    if pictures is None:
        return jnp.zeros((worlds,), jnp.int32)
    which, own_key, made_key = jax.random.split(key, 3)
    total = len(pictures.tiles)
    made = jax.random.randint(made_key, (worlds,), 0, total - pictures.own)
    if not pictures.own:
        return made
    own = jax.random.randint(own_key, (worlds,), total - pictures.own, total)
    return jnp.where(jax.random.bernoulli(which, 0.5, (worlds,)), own, made)


def _about_last(angle: jax.Array) -> jax.Array:
    """Return rotations (..., 3, 3) by ``angle`` rad about the last axis."""
    c, s, zero = jnp.cos(angle), jnp.sin(angle), jnp.zeros_like(angle)
    rows = [jnp.stack(row, -1) for row in ((c, -s, zero), (s, c, zero), (zero, zero, zero + 1.0))]
    return jnp.stack(rows, -2)


def _between(share: jax.Array, ends: tuple[float, float]) -> jax.Array:
    """Return what lies at ``share`` of the way between two lengths, by ratio."""
    return ends[0] * (ends[1] / ends[0]) ** share


def _symmetric(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)


def _where(chosen: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
    return jnp.where(chosen.reshape(1, -1, *[1] * (new.ndim - 2)), new, old)
