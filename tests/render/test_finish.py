"""Textures, background, extra geoms and lamps: what they change, and that they change nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.render.dress import dressed
from s2rctl.render.layout import build_layout
from s2rctl.render.protocol import EXTRA_SHAPES, PATTERNS, Appearance, Background, Extras, Lamps, Textures
from s2rctl.render.raycast import RaycastRenderer, Scene, draw_in_bands, draw_side_by_side
from s2rctl.render.view import look as seen
from tests.render.scenes import CAMERAS, poses_of, small_model

WORLDS, WIDTH, HEIGHT = 2, 64, 48
MODEL = small_model()
FLOOR, BOX = MODEL.geom("floor").id, MODEL.geom("box").id
PICTURES = np.random.default_rng(0).integers(0, 255, (2, 16, 16, 3)).astype(np.uint8)
RENDERER = RaycastRenderer(MODEL, CAMERAS, WIDTH, HEIGHT, pictures=PICTURES)
DRAW = jax.jit(RENDERER.render)
SAME = jax.tree.map(lambda leaf: jnp.repeat(leaf, WORLDS, 0), poses_of(MODEL, 1))


def plain_textures() -> Textures:
    wide = (WORLDS, MODEL.ngeom + len(EXTRA_SHAPES))
    none, whole = jnp.zeros(wide), jnp.zeros(wide, jnp.int32)
    axes = jnp.broadcast_to(10 * jnp.eye(3), (*wide, 3, 3))
    return Textures(whole, jnp.ones((*wide, 3)), axes, jnp.zeros((*wide, 3)) + 0.1, whole, none)


def background(pattern: int = 0) -> Background:
    black = jnp.zeros((WORLDS, 3))
    number = jnp.full((WORLDS,), pattern, jnp.int32)
    axes = jnp.broadcast_to(2 * jnp.eye(3), (WORLDS, 3, 3))
    return Background(number, black, black + 0.8, axes, black, jnp.ones((WORLDS,), jnp.int32))


def extras(alpha: float = 1.0) -> Extras:
    count = len(EXTRA_SHAPES)
    spots = jnp.stack([jnp.linspace(-0.3, 0.3, count), jnp.zeros(count), jnp.full(count, 0.25)], -1)
    grid = (WORLDS, count)
    return Extras(
        jnp.full(grid, -1, jnp.int32),
        jnp.broadcast_to(spots, (*grid, 3)),
        jnp.broadcast_to(jnp.eye(3), (*grid, 3, 3)),
        jnp.full((*grid, 3), 0.06),
        jnp.broadcast_to(jnp.array([1.0, 0.0, 1.0, alpha]), (*grid, 4)),
    )


def frames(look: Appearance, poses=SAME):
    drawn = DRAW(poses, look)
    return np.asarray(drawn.rgb).astype(int), np.asarray(drawn.depth)


def on(**parts) -> Appearance:
    """A look that has all parts, so that one program draws them; those that are not given show nothing."""
    down = jnp.broadcast_to(jnp.array([0.0, 0.0, -1.0]), (WORLDS, 1, 3))
    rest = {
        "textures": plain_textures(),
        "background": background(),
        "extras": extras(0.0),
        "lamps": Lamps(down, jnp.zeros((WORLDS, 1, 3))),
    }
    return RENDERER.appearance(WORLDS)._replace(**{**rest, **parts})


@pytest.fixture(scope="module")
def off():
    return frames(on())


def test_parts_that_show_nothing_leave_the_picture(off) -> None:
    rgb, depth = frames(RENDERER.appearance(WORLDS))
    assert np.abs(rgb - off[0]).max() <= 1
    np.testing.assert_allclose(depth, off[1], atol=1e-4)


@pytest.mark.parametrize("pattern", PATTERNS[1:])
def test_a_texture_shows_on_its_geom_in_its_world_only(off, pattern: str) -> None:
    textures = plain_textures()
    textures = textures._replace(pattern=textures.pattern.at[1, FLOOR].set(PATTERNS.index(pattern)))
    rgb, depth = frames(on(textures=textures))
    np.testing.assert_array_equal(depth, off[1])
    without = frames(on(geom_rgba=RENDERER.appearance(WORLDS).geom_rgba.at[:, FLOOR, 3].set(0.0)))[1]
    floor = without[1] != depth[1]
    changed = np.abs(rgb - off[0]).max(-1) > 3
    assert not changed[0].any()
    assert not changed[1][~floor].any()
    assert changed[1][floor].mean() > 0.2
    if pattern in ("checker", "stripes"):
        flat = [tuple(value) for value in rgb[1][floor & changed[1]]]
        assert len(set(flat)) > 1, "Lambert's light is on it too"


def test_texture_follows_its_geom_and_phase_moves_it() -> None:
    textures = plain_textures()
    textures = textures._replace(pattern=textures.pattern.at[:, FLOOR].set(PATTERNS.index("stripes")))
    moved = textures._replace(phase=textures.phase.at[1, FLOOR, 0].add(0.5))
    first, second = frames(on(textures=textures))[0], frames(on(textures=moved))[0]
    assert np.array_equal(first[0], second[0])
    assert (first[1] != second[1]).any(-1).mean() > 0.2
    whole = textures._replace(phase=textures.phase.at[1, FLOOR, 0].add(1.0))
    assert (np.abs(frames(on(textures=whole))[0] - first).max(-1) > 3).mean() < 0.01, "a whole period is none"


def test_pictures_show_their_own_colours() -> None:
    textures = plain_textures()
    textures = textures._replace(
        pattern=textures.pattern.at[:, FLOOR].set(PATTERNS.index("picture")), picture=textures.picture.at[1].set(1)
    )
    rgb, _ = frames(on(textures=textures))
    assert (rgb[0] != rgb[1]).any(-1).mean() > 0.2


def test_a_highlight_brightens_a_spot_only(off) -> None:
    textures = plain_textures()
    rgb, _ = frames(on(textures=textures._replace(shine=textures.shine.at[1].set(1.0))))
    brighter = rgb - off[0]
    assert np.abs(brighter[0]).max() <= 1
    assert brighter[1].min() >= -1
    assert 0.005 < (brighter[1].max(-1) > 20).mean() < 0.6


@pytest.mark.parametrize("pattern", PATTERNS[1:])
def test_a_background_is_where_rays_meet_nothing(off, pattern: str) -> None:
    drawn = background(PATTERNS.index(pattern))
    rgb, depth = frames(on(background=drawn._replace(pattern=drawn.pattern.at[0].set(0))))
    np.testing.assert_array_equal(depth, off[1])
    nothing = depth[1] == 0
    np.testing.assert_array_equal(rgb[0], off[0][0])
    np.testing.assert_array_equal(rgb[1][~nothing], off[0][1][~nothing])
    assert rgb[1][nothing].any(-1).mean() > 0.1


def test_extra_geoms_are_seen_and_move_with_their_parents(off) -> None:
    rgb, depth = frames(on(extras=extras()))
    magenta = (rgb[..., 0] > 60) & (rgb[..., 1] == 0)
    assert 0.02 < magenta[0].mean() < 0.5
    assert (depth[magenta] > 0).all()
    hung = extras()
    hung = hung._replace(parent=jnp.full_like(hung.parent, BOX), pos=0 * hung.pos)
    poses = poses_of(MODEL, WORLDS, seed=1)
    layout, placed, look = dressed(build_layout(MODEL, CAMERAS, WIDTH, HEIGHT), poses, on(extras=hung))
    np.testing.assert_array_equal(placed.geom_xpos[:, MODEL.ngeom], poses.geom_xpos[:, BOX])
    np.testing.assert_allclose(placed.geom_xmat[:, MODEL.ngeom], poses.geom_xmat[:, BOX], atol=1e-6)
    assert look.geom_rgba.shape[1] == MODEL.ngeom + len(EXTRA_SHAPES)
    assert layout.drawn == build_layout(MODEL, CAMERAS, WIDTH, HEIGHT).drawn + len(EXTRA_SHAPES)


def test_a_lamp_lights_its_own_world(off) -> None:
    diffuse = jnp.zeros((WORLDS, 1, 3)).at[1, 0].set(jnp.array([0.4, 0.0, 0.0]))
    down = jnp.broadcast_to(jnp.array([0.0, 0.0, -1.0]), (WORLDS, 1, 3))
    rgb, _ = frames(on(lamps=Lamps(down, diffuse)))
    difference = rgb - off[0]
    assert np.abs(difference[0]).max() <= 1
    assert (difference[1][..., 0] > 20).mean() > 0.2
    assert np.abs(difference[1][..., 1:]).max() <= 1


def test_both_drivers_draw_the_same_with_everything_on() -> None:
    textures = plain_textures()
    kinds = jnp.arange(textures.pattern.shape[1]) % len(PATTERNS)
    textures = textures._replace(pattern=textures.pattern + kinds, shine=textures.shine + 0.3)
    look = on(textures=textures, background=background(3), extras=extras())
    pictures = jnp.asarray(PICTURES.astype(np.int32) @ np.array([1, 256, 65536], np.int32))

    @jax.jit
    def both(poses, look):
        layout, placed, whole = dressed(build_layout(MODEL, CAMERAS, 32, 24), poses, look)
        view, scene = seen(layout, placed, whole), Scene(layout, True, True, pictures)
        return draw_in_bands(scene, view, 32, 24)[0], draw_side_by_side(scene, view, 32, 24)[0]

    bands, whole = (np.asarray(c).reshape(-1).view(np.uint8).astype(int) for c in both(SAME, look))
    assert (np.abs(bands - whole) <= 1).mean() > 0.98  # an edge of a pattern may fall on the other side of a pixel
