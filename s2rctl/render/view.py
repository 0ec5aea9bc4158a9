"""What each frame's rays need to know: geoms, lights and the camera of one world, seen from that camera.

A frame is one camera of one world. Rays in camera axes are ``(x, y, -1)`` with x, y on the image plane at depth 1, so
that the ray parameter is the depth along the optical axis in metres. Everything that drawing reads of one geom is one
row of one table: the inner loops then read one array, and no copies of it are made for each frame.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.render.layout import Layout
from s2rctl.render.primitives import Components, Shape, capsule_half, half_extents, unit_scale
from s2rctl.render.protocol import Appearance, Background, Textures
from s2rctl.scene.poses import Poses


class View(NamedTuple):
    """All that is needed to draw F frames with N drawn geoms."""

    table: jax.Array  # (F, N, columns)
    centre: jax.Array  # (F, N, 3) m, camera frame
    extents: jax.Array  # (F, N, 3, 3) m columns: half sides of the box around the geom, camera frame
    shown: jax.Array  # (F, N) bool: alpha above 0
    image: jax.Array  # (F, 4) half width, half height and shift right and up of the image plane at depth 1
    lights: jax.Array  # (F, L, 3) m, camera frame: position of a light, or unit direction towards a directional one
    shadows: jax.Array  # (F,) bool
    sky: jax.Array | None = None  # (F, columns): what the background needs to know; None: it is black


@dataclass(frozen=True)
class Row:
    """One geom's row of the table, (columns,)."""

    values: jax.Array
    lights: int

    @property
    def ray(self) -> jax.Array:
        """Rows (3, 3) that give the unit-frame components of the ray from (x, y, 1), x and y in [-1, 1]."""
        return self.values[0:9].reshape(3, 3)

    @property
    def origin(self) -> jax.Array:
        """Camera (3,) in the unit frame."""
        return self.values[9:12]

    @property
    def half(self) -> jax.Array:
        """Half length of a capsule in its unit frame."""
        return self.values[12]

    @property
    def shown(self) -> jax.Array:
        """Whether the geom is visible at all."""
        return self.values[13] > 0

    @property
    def scale(self) -> jax.Array:
        """Factors (3,) m from the unit frame to the geom's frame."""
        return self.values[14:17]

    @property
    def base(self) -> jax.Array:
        """Colour (3,) under ambient light alone, of 255."""
        return self.values[17:20]

    def diffuse(self, light: int) -> jax.Array:
        """Colour (3,) under one light at full incidence, of 255."""
        return self.values[20 + 3 * light : 23 + 3 * light]

    def light(self, light: int) -> jax.Array:
        """Position (3,) m of a light, or unit direction towards a directional one, in the geom's frame."""
        start = 20 + 3 * (self.lights + light)
        return self.values[start : start + 3]

    def beam(self, light: int) -> jax.Array:
        """Direction (3,), unit, in which a light shines, in the geom's frame."""
        start = 20 + 3 * (2 * self.lights + light)
        return self.values[start : start + 3]

    @property
    def finish(self) -> "Finish":
        """The texture, in a table that was made with textures."""
        return Finish(self.values[20 + 9 * self.lights :])


@dataclass(frozen=True)
class Finish:
    """A texture's columns: of a geom's row, or of the background."""

    values: jax.Array

    @property
    def pattern(self) -> jax.Array:
        """Place in PATTERNS, () int32."""
        return self.values[0].astype(jnp.int32)

    @property
    def own(self) -> jax.Array:
        """First colour (3,)."""
        return self.values[1:4]

    @property
    def other(self) -> jax.Array:
        """Second colour (3,)."""
        return self.values[4:7]

    def at(self, point: Components) -> Components:
        """Return the pattern's coordinates at points (or directions) of the frame that it belongs to."""
        x, y, z = point
        axes, phase = self.values[7:16], self.values[16:19]
        first, second, third = (
            axes[3 * i] * x + axes[3 * i + 1] * y + axes[3 * i + 2] * z + phase[i] for i in range(3)
        )
        return first, second, third

    @property
    def picture(self) -> jax.Array:
        """Number of the picture, () int32."""
        return self.values[19].astype(jnp.int32)

    @property
    def shine(self) -> jax.Array:
        """Highlight of a geom."""
        return self.values[20]


def look(layout: Layout, poses: Poses, appearance: Appearance) -> View:
    """Return the view of all cameras in all worlds; frame index = world * C + camera."""
    ids = layout.cameras
    nominal = poses.cam_xmat[:, ids]
    eye = poses.cam_xpos[:, ids] + jnp.einsum("bcij,bcj->bci", nominal, appearance.camera_pos_offset[:, ids])
    axes = nominal @ jax.vmap(jax.vmap(rotation))(appearance.camera_rot_offset[:, ids])
    tangent = jnp.tan(jnp.deg2rad(appearance.camera_fovy[:, ids]) / 2)[..., None]
    image = jnp.concatenate([tangent * layout.aspect[:, None], tangent, tangent * layout.shift], -1)

    geoms = np.concatenate([group.geoms for group in layout.groups])
    mat, rgba = poses.geom_xmat[:, geoms], appearance.geom_rgba[:, geoms]
    scale, extents, half = _sizes(layout, appearance.geom_size)
    from_eye = poses.geom_xpos[:, None, geoms] - eye[:, :, None]
    in_geom = jnp.einsum("bnij,bcik->bcnjk", mat, axes)  # camera axes in the geom frame
    origin = -jnp.einsum("bnij,bcni->bcnj", mat, from_eye)
    wide = (*in_geom.shape[:3],)
    shown = jnp.broadcast_to((rgba[..., 3] > 0)[:, None], wide)
    columns = [
        (_image_plane(in_geom, image[:, :, None]) / scale[:, None, :, :, None]).reshape(*wide, 9),
        origin / scale[:, None],
        jnp.broadcast_to(half[:, None, :, None], (*wide, 1)),
        shown[..., None].astype(jnp.float32),
        jnp.broadcast_to(scale[:, None], (*wide, 3)),
        *_lighting(layout, appearance, eye, axes, mat, rgba, origin),
        *_finish(appearance.textures, rgba, geoms, wide),
    ]
    view = View(
        table=jnp.concatenate(columns, -1),
        centre=jnp.einsum("bcij,bcni->bcnj", axes, from_eye),
        extents=jnp.swapaxes(in_geom, -1, -2) * extents[:, None, :, None],
        shown=shown,
        image=image,
        lights=_lights_from(layout, appearance, eye, axes),
        shadows=jnp.broadcast_to(appearance.shadows[:, None], eye.shape[:2]),
        sky=_sky(appearance.background, _image_plane(axes, image)),
    )
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), view)


def _finish(textures: Textures | None, rgba: jax.Array, geoms: np.ndarray, wide: tuple[int, ...]) -> list[jax.Array]:
    """Return the columns of ``Finish`` (B, C, N, ...), none without textures."""
    if textures is None:
        return []
    pattern, other, axes, phase, picture, shine = (leaf[:, geoms] for leaf in textures)
    columns = jnp.concatenate(
        [
            pattern[..., None].astype(jnp.float32),
            rgba[..., :3],
            other,
            axes.reshape(*axes.shape[:2], 9),
            phase,
            picture[..., None].astype(jnp.float32),
            shine[..., None],
        ],
        -1,
    )
    return [jnp.broadcast_to(columns[:, None], (*wide, columns.shape[-1]))]


def _sky(background: Background | None, rays: jax.Array) -> jax.Array | None:
    """Return (B, C, 28): the columns of ``Finish``, without shine, then the rays' matrix to the world's axes."""
    if background is None:
        return None
    worlds = background.pattern.shape[0]
    parts = [background.pattern[:, None], background.colour, background.other, background.axes.reshape(worlds, 9)]
    columns = jnp.concatenate([*parts, background.phase, background.picture[:, None]], -1, dtype=jnp.float32)
    cameras = rays.shape[1]
    spread = jnp.broadcast_to(columns[:, None], (worlds, cameras, columns.shape[-1]))
    return jnp.concatenate([spread, rays.reshape(worlds, cameras, 9)], -1)


def rotation(vector: jax.Array) -> jax.Array:
    """Return the rotation matrix (3, 3) of axis times angle (3,) rad (Rodrigues), smooth at zero."""
    x, y, z = vector
    angle = jnp.sqrt(jnp.maximum(jnp.dot(vector, vector), 1e-16))
    cross = jnp.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    half = jnp.sin(angle / 2) / angle
    return jnp.eye(3) + jnp.sin(angle) / angle * cross + 2 * half * half * (cross @ cross)


def _lights_from(layout: Layout, appearance: Appearance, eye: jax.Array, axes: jax.Array) -> jax.Array:
    """Return where the lights are (B, C, L, 3) in the cameras' frames; directional ones: unit, towards the light."""
    found = []
    for light in layout.lights:
        if light.index < 0:
            towards = axes[..., 2]
        elif light.directional:
            towards = jnp.broadcast_to(-appearance.light_dir[:, None, light.index], eye.shape)
        else:
            towards = appearance.light_pos[:, None, light.index] - eye
        found.append(jnp.einsum("bcij,bci->bcj", axes, towards))
    return jnp.stack(found, 2) if found else jnp.zeros((*eye.shape[:2], 0, 3))


def _sizes(layout: Layout, geom_size: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return scale (B, N, 3) m, half extents (B, N, 3) m and capsule half lengths (B, N) of the drawn geoms."""
    scales, extents, halves = [], [], []
    for group in layout.groups:
        size = geom_size[:, group.geoms]
        scale = unit_scale(group.shape, size, jnp.asarray(group.sphere))
        scales.append(scale)
        extents.append(half_extents(group.shape, size, scale))
        halves.append(capsule_half(size) if group.shape is Shape.CAPSULE else jnp.zeros_like(size[..., 0]))
    return jnp.concatenate(scales, 1), jnp.concatenate(extents, 1), jnp.concatenate(halves, 1)


def _lighting(
    layout: Layout,
    appearance: Appearance,
    eye: jax.Array,
    axes: jax.Array,
    mat: jax.Array,
    rgba: jax.Array,
    origin: jax.Array,
) -> list[jax.Array]:
    """Return the columns ``base``, ``diffuse``, ``light`` and ``beam`` (B, C, N, ...)."""
    wide = origin.shape[:3]
    # A texture's colours come in pixel by pixel.
    colour = 255.0 * (rgba[..., :3] if appearance.textures is None else jnp.ones_like(rgba[..., :3]))
    emission = jnp.asarray(np.concatenate([group.emission for group in layout.groups]))[None, :, None]
    columns = [jnp.broadcast_to((colour * (appearance.ambient[:, None] + emission))[:, None], (*wide, 3))]
    positions, beams = [], []
    for light in layout.lights:
        headlight = light.index < 0  # shines along the camera's axis
        diffuse = jnp.asarray(layout.headlight_diffuse) if headlight else appearance.light_diffuse[:, light.index]
        columns.append(jnp.broadcast_to((colour * diffuse.reshape(-1, 1, 3))[:, None], (*wide, 3)))
        beam = -axes[..., 2] if headlight else jnp.broadcast_to(appearance.light_dir[:, None, light.index], eye.shape)
        beams.append(jnp.einsum("bnij,bci->bcnj", mat, beam))
        if light.directional:
            positions.append(-beams[-1])
        else:
            towards = appearance.light_pos[:, None, light.index] - eye
            positions.append(jnp.einsum("bnij,bci->bcnj", mat, towards) + origin)
    return columns + positions + beams


def _image_plane(axes: jax.Array, image: jax.Array) -> jax.Array:
    """Return camera axes (..., 3, 3) combined so that (x, y, 1) with x, y in [-1, 1] gives the ray of depth 1."""
    half_width, half_height, right, up = (image[..., i, None] for i in range(4))
    x, y, z = axes[..., 0], axes[..., 1], axes[..., 2]
    return jnp.stack([x * half_width, y * half_height, x * right + y * up - z], -1)
