"""Where the parts that two hands hold are to each other: what images saw of it, kept while it cannot be seen.

Kinematics say it at any time: from where each hand holds its part, as its own camera sees it, and from the joints. A
joint that reads 10 mrad wrong puts a hand 4 mm beside where it is, and a hole's play is not much more. While both parts
are in sight the images say it, too, and the difference of the two is the joints' error as it matters here: nearly the
same from one moment to the next. So the student remembers running means of that difference, in which each image counts
by how sure it is, and corrects the kinematics by it once the one part has gone into the other. From then on images do
not count: they show nothing of it, and what they tell is where such a part is on average.

Then it remembers how far the part has been moved to each side, which narrows down where it is between walls; and, for
a student that is taught to feel for them, whether it has met the lower one: there it stays behind its command.

What the kinematics need is denoised by the shortest of the means, since hands lag behind their commands by centimetres
while they move: how the parts lie in the hands, and how far these are from where the commanded joints, which have no
noise, put them.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.learning.student.hand_poses import Between
from s2rctl.schema.contract import Memory
from s2rctl.tasks.protocol import ENDS_UNIT_M, WAY_UNIT_M

MISMATCH = "mismatch"
SLACK = "slack"
REACH = "reach"
TOUCH = "touch"
"""Names of the memories: of the difference between images and kinematics, and of that between joints and commands; of
the furthest places to each side inside; and of what was felt there."""

HELD = 9
"""Numbers that an image tells of its own part in the hand: the way to its grip (3), its x and z axes (6)."""
BETWEEN = 3
TOLD = HELD + BETWEEN
"""All that it tells: also the way of the second part's end from the first one's, in the first one's axes (3)."""

_RANGE = 2.5  # units: what is told ends at 3, so beyond this nothing is said
_INSIDE = 1.8  # units: 9 cm from the one end to the other, 6 mm of the way in
_PRIOR = 25.0  # 1/unit²: joints are trusted to 1 cm before any image has shown the parts
_FINE = 0.008  # m: the play of the hole
_PRESSED = 0.0045 / ENDS_UNIT_M  # units above its command by which a part was never before, and so lies on a wall
_FAR = 3.0


def memories(filters: tuple[float, ...], hands: int, *, touch: bool) -> tuple[Memory, ...]:
    """Return the memories, whose hand poses have ``hands`` numbers: weighted sums and the weight of each."""
    return (
        Memory(name=MISMATCH, shape=(len(filters), 6)),
        Memory(name=SLACK, shape=(1, hands + 1)),
        Memory(name=REACH, shape=(4,)),
        *((Memory(name=TOUCH, shape=(2,)),) if touch else ()),
    )


def feature_size(filters: tuple[float, ...], *, touch: bool) -> int:
    """Return how many numbers ``features`` and ``felt`` give together."""
    return 9 * len(filters) + (6 if touch else 4)


def mismatch(told: jax.Array, precision: jax.Array, place: jax.Array) -> jax.Array:
    """Return what this moment adds to the sums (N, 6): precision times mismatch (3), precision (3); of both images.

    ``told`` and its ``precision`` (N, 2, TOLD); ``place`` (N, 3) is what ``way`` says of the same moment. In units of
    ``ENDS_UNIT_M``, in the first part's axes.
    """
    seen = told[..., HELD:]
    precision = precision[..., HELD:] * jnp.all(jnp.abs(seen) < _RANGE, axis=-1, keepdims=True)
    return jnp.sum(jnp.concatenate([precision * (seen - place[:, None]), precision], axis=-1), axis=1)


def with_between(told: jax.Array, between: jax.Array) -> jax.Array:
    """Return what two images tell (N, 2 * TOLD) with one way (N, BETWEEN) from the first part's end in both."""
    held = told.reshape(-1, 2, TOLD)[..., :HELD]
    both = jnp.broadcast_to(between[:, None], (*held.shape[:2], BETWEEN))
    return jnp.concatenate([held, both], axis=-1).reshape(told.shape)


def inside(place: jax.Array) -> jax.Array:
    """Return whether (N, 1) the one part is in the other, by kinematics (N, 3)."""
    return place[:, :1] < _INSIDE


def reached(memory: jax.Array, place: jax.Array) -> jax.Array:
    """Return the least and the largest place aside (N, 4) inside, by the memory of that; outside, where it is now."""
    aside = place[:, 1:]
    furthest = jnp.concatenate([jnp.minimum(memory[:, :2], aside), jnp.maximum(memory[:, 2:], aside)], axis=-1)
    return jnp.where(inside(place), furthest, jnp.concatenate([aside, aside], axis=-1))


def touched(memory: jax.Array, place: jax.Array, sent: jax.Array) -> jax.Array:
    """Return how far above its command the part was at least since it went in (N, 2), and whether it has felt the wall.

    By the memory of that; ``place`` and ``sent`` (N, 3) are what ``way`` says of real and of commanded hands. Arms sag,
    so that it counts by how much more it is above than at the least.
    """
    above = (place - sent)[:, 2:]
    within = inside(place)
    least = jnp.where(within, jnp.minimum(memory[:, :1], above), above)
    felt = jnp.maximum(memory[:, 1:], (above - least > _PRESSED).astype(above.dtype))
    return jnp.concatenate([least, jnp.where(within, felt, 0.0)], axis=-1)


def has_felt(memory: Mapping[str, jax.Array]) -> jax.Array:
    """Return whether (N,) the wall has been felt, by all that is remembered."""
    return memory[TOUCH][:, 1] > 0.5


def felt(place: jax.Array, reach: jax.Array, sent: jax.Array | None, touch: jax.Array | None) -> jax.Array:
    """Return numbers of order one (N, 4 or 6): how far the part has been to each side of where it is (4).

    With touch, how far above its command it is beyond the least, and whether it has felt the wall. 0 far from each
    other, as ``features`` are.
    """
    off = jnp.tile(place[:, 1:], (1, 2)) - reach
    numbers = jnp.clip(ENDS_UNIT_M / _FINE * off, -_FAR, _FAR)
    if sent is not None and touch is not None:
        above = (place - sent)[:, 2:] - touch[:, :1]
        pressed = jnp.clip(ENDS_UNIT_M / _FINE * above, -_FAR, _FAR)
        numbers = jnp.concatenate([numbers, pressed, touch[:, 1:]], axis=-1)
    return _near(place) * numbers


def features(filters: tuple[float, ...], place: jax.Array, sums: jax.Array) -> jax.Array:
    """Return numbers of order one (N, 9 per filter): for each filter where the parts are, coarse, fine, and how sure.

    All are 0 while the parts are 15 cm or more beside each other: before the hands face each other. ``place`` (N, 3) is
    what ``way`` says of denoised hands; ``sums`` (N, filters, 6) are those of ``mismatch``.
    """
    prior = _PRIOR * (1.0 - np.asarray(filters, np.float32))[:, None]
    corrected = place[:, None] + sums[..., :3] / (sums[..., 3:] + prior)
    coarse, fine = (jnp.clip(scale * corrected, -_FAR, _FAR) for scale in (1.0, ENDS_UNIT_M / _FINE))
    sure = 0.5 * jnp.log1p(sums[..., 3:] / prior)
    each = jnp.concatenate([coarse, fine, sure], axis=-1).reshape(-1, 9 * len(filters))
    return _near(place) * each


def way(ends: tuple[float, float], held: jax.Array, hands: Between) -> jax.Array:
    """Return by kinematics the way (..., 3) of the second part's end from the first one's, in units of ``ENDS_UNIT_M``.

    ``held`` (..., 2, HELD) says where each hand holds its part, and ``ends`` (m) how far its end is from there along
    its x axis. In the first part's axes.
    """
    turn = hands.turn.reshape(*hands.turn.shape[:-1], 3, 3)
    first, second = held[..., 0, :], held[..., 1, :]
    axes = _axes(first)
    here = hands.grip + WAY_UNIT_M * first[..., :3] + ends[0] * axes[..., :, 0]
    there = hands.grip + WAY_UNIT_M * second[..., :3] + ends[1] * _axes(second)[..., :, 0]
    offset = hands.way + (turn @ there[..., None])[..., 0] - here
    return (jnp.swapaxes(axes, -1, -2) @ offset[..., None])[..., 0] / ENDS_UNIT_M


def _near(place: jax.Array) -> jax.Array:
    return jnp.all(jnp.abs(place[:, 1:]) < _FAR, axis=-1, keepdims=True)


def _axes(held: jax.Array) -> jax.Array:
    """Return the axes (..., 3, 3) of a part from the x and z axes that were told, made orthonormal."""
    x = _unit(held[..., 3:6])
    z = held[..., 6:9]
    z = _unit(z - jnp.sum(x * z, axis=-1, keepdims=True) * x)
    return jnp.stack([x, jnp.cross(z, x), z], axis=-1)


def _unit(vector: jax.Array) -> jax.Array:
    return vector / jnp.sqrt(jnp.sum(vector**2, axis=-1, keepdims=True) + 1e-6)
