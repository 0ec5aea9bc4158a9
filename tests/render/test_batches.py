"""Frames side by side, in batches that fit into the device's memory."""

import jax
import numpy as np
import pytest

from s2rctl.render.layout import build_layout
from s2rctl.render.raycast import RaycastRenderer, Scene, draw_side_by_side, frames_at_once
from s2rctl.render.trace import unpack
from s2rctl.render.view import look
from s2rctl.scene import SCENES
from tests.render.scenes import CAMERAS, poses_of, small_model


def test_batches_draw_what_all_at_once_draw():
    model, worlds = small_model(), 5
    layout = build_layout(model, CAMERAS, 16, 12)
    scene = Scene(layout, shadows=True)
    view = look(layout, poses_of(model, worlds), RaycastRenderer(model, CAMERAS, 16, 12).appearance(worlds))

    def drawn(at_once: int | None):
        return jax.jit(lambda v: draw_side_by_side(scene, v, 16, 12, at_once))(view)

    whole = drawn(None)
    for at_once in (3, 10):  # ten frames: batches of 3, 3, 3 and 1, and one of all
        (colours, hits), (others, same) = (jax.tree.map(np.asarray, frames) for frames in (whole, drawn(at_once)))
        near, far = (np.asarray(unpack(layout, found)[0]) for found in (hits, same))
        np.testing.assert_allclose(near, far, atol=1e-5)
        assert np.abs(colours.view(np.uint8).astype(int) - others.view(np.uint8)).max() <= 1, "but for rounding"


def test_a_larger_picture_or_a_smaller_device_means_fewer_frames_at_once():
    gib = 1 << 30
    assert frames_at_once(32 * 32, 80 * gib) > 6 * frames_at_once(84 * 84, 80 * gib)
    assert frames_at_once(32 * 32, 80 * gib) >= 16_000, "two cameras of 8192 worlds on an 80 GB card are one batch"
    assert frames_at_once(32 * 32, 8 * gib) < frames_at_once(32 * 32, 80 * gib)
    assert frames_at_once(4096 * 4096, 1024) == 1


@pytest.mark.parametrize(("scene", "camera"), [("insertion", "wrist_cam_left"), ("reach", "side")])
def test_drawing_takes_no_more_than_is_reckoned_with(scene, camera):
    """What XLA would allocate for the intermediate arrays of a batch that is reckoned to fill the memory."""
    model, pixels, count = SCENES.load(scene)(0.005), 32 * 32, 16
    layout = build_layout(model, (camera,), 32, 32)
    renderer = RaycastRenderer(model, (camera,), 32, 32)
    view = look(layout, poses_of(model, count), renderer.appearance(count))
    program = jax.jit(lambda v: draw_side_by_side(Scene(layout, True), v, 32, 32)).lower(view).compile()
    taken = program.memory_analysis().temp_size_in_bytes
    memory = 1 << 30
    assert taken / count * frames_at_once(pixels, memory) <= memory / 8
