"""What the drawn world of one episode looks like: colours, textures, things and lamps from the values of the axes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from s2rctl.render.laboratory.light import temperature_colour
from s2rctl.render.laboratory.plan import (
    CASTERS,
    FLOOR,
    MESH,
    OBJECT,
    ROBOT,
    ROOM,
    TABLE,
    TEXTURE_PX,
    TEXTURED,
    THING,
    THINGS,
    WALL,
    Plan,
)
from s2rctl.render.laboratory.textures import FLOORS, PICTURES, TABLES, hue, one_of

CONTRAST = 0.3
"""Least difference in some channel between an object and the table: a person can still do the task."""
FREE_M = 0.15
"""Things keep this distance from the way of the objects and from the robot's feet."""
_SHAPES = (6, 5, 3, 2, 4)  # mjGEOM_BOX, CYLINDER, CAPSULE, SPHERE, ELLIPSOID
_PLACES = 30


@dataclass(frozen=True)
class Base:
    """One world as the training drew it."""

    rgba: np.ndarray  # (N, 4) of the training model's geoms
    light_pos: np.ndarray  # (L, 3) m
    light_dir: np.ndarray  # (L, 3)
    light_diffuse: np.ndarray  # (L, 3)
    ambient: np.ndarray  # (3,)


@dataclass(frozen=True)
class Lamp:
    """One lamp of the drawn model."""

    position: np.ndarray
    direction: np.ndarray
    colour: np.ndarray
    casts: bool


@dataclass(frozen=True)
class Thing:
    """One thing that lies on the table."""

    shape: int
    size: np.ndarray  # (3,) m
    position: np.ndarray  # (3,) m
    yaw: float  # rad


@dataclass(frozen=True)
class Outfit:
    """What stays the same during an episode; G drawn geoms."""

    rgba: np.ndarray  # (G, 4); alpha 0: not drawn
    textures: tuple[np.ndarray | None, ...]  # one for each of TEXTURED: (n, n, 3) uint8, none: plain
    lamps: tuple[Lamp, ...]
    ambient: np.ndarray  # (3,)
    gloss: float
    things: tuple[Thing, ...]


def dress(plan: Plan, base: Base, values: Mapping[str, float], seed: int, pictures: Sequence[np.ndarray]) -> Outfit:
    """Return the outfit of one episode; each part has random numbers of its own, so that axes do not move others."""
    seeds = iter(np.random.SeedSequence(seed).spawn(16))
    draws = {name: np.random.default_rng(next(seeds)) for name in ("robot", "object", "table", "wall", "floor", "room")}
    rgba = np.ones((len(plan.role), 4))
    given = plan.follows >= 0
    rgba[given] = base.rgba[plan.follows[given]]
    rgba[plan.role == MESH, :3] = plan.colour[plan.role == MESH]
    rgba[plan.role == MESH, 3] = 1.0
    _hide(plan, rgba, values)
    robot = np.isin(plan.role, (ROBOT, MESH))
    rgba[robot, :3] = _changed(rgba[robot, :3], draws["robot"], values["robot_lightness"], values["robot_tint"])
    textures = _surfaces(plan, rgba, values, draws, pictures)
    ground = _ground(plan, rgba, textures)
    _paint_objects(plan, rgba, draws["object"], values["object_shift"], ground)
    things = _things(plan, rgba, np.random.default_rng(next(seeds)), round(values["clutter"]))
    lamps, ambient = _lamps(plan, base, values, np.random.default_rng(next(seeds)))
    return Outfit(rgba, textures, lamps, ambient, values["gloss"], things)


def _hide(plan: Plan, rgba: np.ndarray, values: Mapping[str, float]) -> None:
    meshes = values["meshes"] >= 0.5 and bool(np.any(plan.role == MESH))
    rgba[plan.role == (ROBOT if meshes else MESH), 3] = 0.0
    rgba[plan.role == THING, 3] = 0.0
    if values["background"] <= 0:
        rgba[plan.role == ROOM, 3] = 0.0


def _changed(rgb: np.ndarray, rng: np.random.Generator, lightness: float, tint: float) -> np.ndarray:
    """Return colours (n, 3) made lighter and moved towards one hue."""
    target = hue(rng, 0.9, 0.9)
    lighter = np.clip(rgb + lightness, 0.02, 1.0)
    return np.asarray((1 - tint) * lighter + tint * target)


def _surfaces(
    plan: Plan,
    rgba: np.ndarray,
    values: Mapping[str, float],
    draws: Mapping[str, np.random.Generator],
    pictures: Sequence[np.ndarray],
) -> tuple[np.ndarray | None, ...]:
    """Paint table, floor, walls and room in ``rgba``, and return their textures."""

    def of_role(role: int) -> np.ndarray:
        members = plan.role == role
        return rgba[members][0, :3] if np.any(members) else np.full(3, 0.5)

    def photograph(rng: np.random.Generator) -> np.ndarray:
        return pictures[int(rng.integers(len(pictures)))] if pictures else one_of(PICTURES, rng, TEXTURE_PX)

    table = _changed(of_role(TABLE)[None], draws["table"], values["table_lightness"], values["table_tint"])[0]
    wall = np.clip(of_role(WALL) + values["wall_lightness"], 0.02, 1.0)
    made = {
        TABLE: _mixed(table, values["table_pattern"], lambda: one_of(TABLES, draws["table"], TEXTURE_PX)),
        FLOOR: _mixed(of_role(FLOOR), values["floor_pattern"], lambda: one_of(FLOORS, draws["floor"], TEXTURE_PX)),
        WALL: _mixed(wall, values["wall_picture"], lambda: photograph(draws["wall"])),
        ROOM: _bytes(values["background"] * photograph(draws["room"])) if values["background"] > 0 else None,
    }
    for role, plain in ((TABLE, table), (WALL, wall), (FLOOR, of_role(FLOOR)), (ROOM, np.ones(3))):
        rgba[plan.role == role, :3] = 1.0 if made[role] is not None else plain
    return tuple(made[role] for role in TEXTURED)


def _mixed(colour: np.ndarray, share: float, make: Callable[[], np.ndarray]) -> np.ndarray | None:
    return _bytes((1 - share) * colour + share * make()) if share > 0 else None


def _bytes(image: np.ndarray) -> np.ndarray:
    return np.clip(np.round(255 * image), 0, 255).astype(np.uint8)


def _ground(plan: Plan, rgba: np.ndarray, textures: Sequence[np.ndarray | None]) -> np.ndarray:
    """Return colours (n, 3) of the table: the plain one, or the pattern's dark, usual and bright ones."""
    texture = textures[TEXTURED.index(TABLE)]
    if texture is None:
        return rgba[plan.role == TABLE][:1, :3]
    return np.percentile(texture.reshape(-1, 3) / 255, (25, 50, 75), axis=0)


def _paint_objects(plan: Plan, rgba: np.ndarray, rng: np.random.Generator, shift: float, ground: np.ndarray) -> None:
    """Move the objects' colours, alike where they were alike, and keep each apart from the table's colours."""
    members = np.flatnonzero((plan.role == OBJECT) & (rgba[:, 3] > 0))
    moves: dict[tuple[float, ...], np.ndarray] = {}
    for geom in members:
        known = tuple(float(value) for value in np.round(rgba[geom, :3], 6))
        if known not in moves:
            moved = np.clip(np.array(known) + shift * rng.uniform(-1, 1, 3), 0.0, 1.0)
            moves[known] = apart(moved, ground)
        rgba[geom, :3] = moves[known]


def apart(colour: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Return ``colour`` (3,), or the nearest of its brighter and darker shades that differs from ``ground`` (n, 3)."""
    strongest = max(float(colour.max()), 1e-3)
    pure = colour / strongest
    shades = [colour]
    for step in np.linspace(0.1, 1.0, 10):
        shades.append(colour + step * (pure - colour))
        shades.append((1 - step) * colour)
        shades.append(pure + step * (1 - pure))
    seen = [float(np.min(np.max(np.abs(ground - shade), axis=1))) for shade in shades]
    good = [shade for shade, contrast in zip(shades, seen, strict=True) if contrast >= CONTRAST]
    return np.asarray(good[0] if good else shades[int(np.argmax(seen))])


def _things(plan: Plan, rgba: np.ndarray, rng: np.random.Generator, count: int) -> tuple[Thing, ...]:
    """Place things on the table, off the way of the objects and off the robot's feet."""
    slots = np.flatnonzero(plan.role == THING)
    things: list[Thing] = []
    for _ in range(min(count, THINGS)):
        shape = int(rng.choice(_SHAPES))
        size = rng.uniform(0.012, 0.04, 3)
        colour, yaw = hue(rng, rng.uniform(0, 1), rng.uniform(0.1, 1)), rng.uniform(0, 2 * np.pi)
        place = _place(plan, rng, float(size[:2].max()))
        if place is None or not np.all(np.isfinite(plan.table)):
            continue
        height = {2: size[0], 3: size[1] + size[0]}.get(shape, size[2] if shape in (4, 6) else size[1])
        rgba[slots[len(things)]] = [*colour, 1.0]
        things.append(Thing(shape, size, np.array([*place, plan.table[4] + height]), float(yaw)))
    return tuple(things)


def _place(plan: Plan, rng: np.random.Generator, radius: float) -> np.ndarray | None:
    """Return x and y of a free place; None when none of some tries is free."""
    centre, half = plan.table[:2], plan.table[2:4] - radius
    for place in centre + half * rng.uniform(-1, 1, (_PLACES, 2)):
        far = np.linalg.norm(plan.feet - place, axis=1).min(initial=np.inf) > FREE_M + radius
        if far and not _distance(place, plan.way) < FREE_M + radius:
            return np.asarray(place)
    return None


def _distance(point: np.ndarray, ends: np.ndarray) -> float:
    """Return the distance from a point to a line from ``ends[0]`` to ``ends[1]``; NaN where there is none."""
    along = ends[1] - ends[0]
    share = np.clip((point - ends[0]) @ along / max(float(along @ along), 1e-9), 0, 1)
    return float(np.linalg.norm(point - ends[0] - share * along))


def _lamps(
    plan: Plan, base: Base, values: Mapping[str, float], rng: np.random.Generator
) -> tuple[tuple[Lamp, ...], np.ndarray]:
    """Return the scene's lamps, the two that cast shadows, and the extra ones; and the ambient light."""
    tone = temperature_colour(values["light_temperature"])
    tone = tone * 3 / tone.sum()
    gain = 2.0 ** values["light_gain"]
    moves = [_unit(rng.normal(size=3)) * values["light_shift"] for _ in range(plan.lamps)]
    sideways = _unit(np.append(rng.normal(size=2), 0.0)) * values["shadow_softness"] / 2
    lamps = []
    for lamp in range(plan.lamps):
        place = base.light_pos[lamp] + moves[lamp]
        place[2] = max(place[2], 0.5)
        colour = gain * tone * base.light_diffuse[lamp]
        lamps.append(Lamp(place, base.light_dir[lamp], colour, False))
    if plan.lamps:
        main, share = lamps[plan.caster], values["shadow"]
        both = values["shadow_softness"] > 0
        lamps[plan.caster] = Lamp(main.position, main.direction, (1 - share) * main.colour, False)
        for index in range(CASTERS):
            part = share * (0.5 if both else float(index == 0))
            place = main.position + (sideways if index else -sideways)
            lamps.append(Lamp(place, main.direction, part * main.colour, part > 0))
    for index in range(plan.extra):
        lamps.append(_extra(rng, index < round(values["lights"])))
    return tuple(lamps), 2.0 ** values["ambient"] * base.ambient * (0.5 + 0.5 * tone)


def _extra(rng: np.random.Generator, lit: bool) -> Lamp:
    """Return a lamp somewhere above that shines at the table."""
    place = np.array([*rng.uniform(-1.8, 1.8, 2), rng.uniform(1.0, 2.4)])
    aim = np.array([*rng.uniform(-0.3, 0.3, 2), 0.0])
    tone = temperature_colour(rng.uniform(2700, 8000))
    colour = rng.uniform(0.1, 0.5) * tone * 3 / tone.sum()
    return Lamp(place, _unit(aim - place), colour if lit else np.zeros(3), False)


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)
