"""What a camera does to its image: each part does its own, and nothing where it has no range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.env.development import develop_colours, draw_image_settings, shifted
from s2rctl.env.images import spoil_colours
from s2rctl.schema.appearance import ImageRange
from s2rctl.schema.simulation import Appearance

WORLDS, CAMERAS, HEIGHT, WIDTH = 12, 2, 20, 28
IMAGES = jnp.asarray(np.random.default_rng(0).integers(60, 180, (WORLDS, CAMERAS, HEIGHT, WIDTH, 3)), jnp.float32)
GREY = jnp.broadcast_to(jnp.linspace(40, 200, WIDTH)[:, None], IMAGES.shape)


def developed(images=IMAGES, **limits):
    ranges = ImageRange(**limits)
    own = draw_image_settings(jax.random.key(1), WORLDS, CAMERAS, Appearance(image=ranges)).development
    return np.asarray(develop_colours(images, own, ranges)), own


def test_without_ranges_the_image_stays_and_so_does_the_draw_of_brightness():
    same, _ = developed()
    np.testing.assert_allclose(same, IMAGES, atol=1e-2)
    plain = draw_image_settings(jax.random.key(1), WORLDS, CAMERAS, Appearance(brightness=(0.5, 2)))
    more = draw_image_settings(jax.random.key(1), WORLDS, CAMERAS, Appearance(brightness=(0.5, 2), image=ImageRange()))
    assert plain.development is None
    np.testing.assert_array_equal(plain.brightness, more.brightness)
    flat, factors = IMAGES.astype(jnp.uint8), jnp.ones((WORLDS, CAMERAS))
    np.testing.assert_array_equal(spoil_colours(jax.random.key(0), flat, factors, 0.0), flat)


@pytest.mark.parametrize(
    "limits",
    [
        {"white_balance": 0.3},
        {"contrast": (0.5, 1.5)},
        {"saturation": (0.2, 2.0)},
        {"hue_deg": 30},
        {"gamma": (0.5, 2.0)},
        {"vignette": 0.5},
        {"blur": 0.6},
        {"shift_px": 3},
        {"blocks": 0.1},
    ],
    ids=lambda limits: next(iter(limits)),
)
def test_each_part_changes_every_image_in_its_own_way(limits):
    changed, _ = developed(**limits)
    change = np.abs(changed - np.asarray(IMAGES)).mean(axis=(2, 3, 4))
    assert (change > 0.2).mean() > 0.8
    assert len(np.unique(np.round(change, 4))) > change.size / 2, "cameras and worlds differ"
    assert np.isfinite(changed).all()


def test_hue_and_saturation_leave_grey_alone_and_keep_the_luminance():
    grey, _ = developed(GREY, hue_deg=90, saturation=(0.2, 2.0))
    np.testing.assert_allclose(grey, GREY, atol=0.5)
    turned, _ = developed(hue_deg=90)
    luma = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(turned @ luma, np.asarray(IMAGES) @ luma, atol=0.5)


def test_contrast_turns_about_the_middle_and_gamma_keeps_black_and_white():
    middle, _ = developed(jnp.full_like(IMAGES, 127.5), contrast=(0.5, 1.5))
    np.testing.assert_allclose(middle, 127.5, atol=0.1)
    white, _ = developed(jnp.full_like(IMAGES, 255.0), gamma=(0.5, 2.0))
    np.testing.assert_allclose(white, 255.0, atol=0.1)


def test_blur_keeps_the_mean_of_flat_parts_and_lowers_the_spread():
    flat, _ = developed(jnp.full_like(IMAGES, 90.0), blur=0.9)
    np.testing.assert_allclose(flat, 90.0, atol=1e-2)
    blurred, own = developed(blur=0.9)
    spread = blurred.std(axis=(2, 3)).mean(-1) / np.asarray(IMAGES).std(axis=(2, 3)).mean(-1)
    assert (spread < 1).all()
    assert np.corrcoef(spread.ravel(), np.asarray(own.blur).ravel())[0, 1] < -0.9


def test_vignette_darkens_corners_and_not_the_middle():
    dark, _ = developed(jnp.full_like(IMAGES, 100.0), vignette=0.8)
    assert (dark[:, :, 0, 0] < dark[:, :, HEIGHT // 2, WIDTH // 2] - 0.01).all()
    assert (dark[:, :, HEIGHT // 2, WIDTH // 2] > 98).all()


def test_image_and_depth_are_shifted_together():
    depth = IMAGES[..., 0]
    seen, own = developed(shift_px=3)
    np.testing.assert_allclose(shifted(depth, own.shift, 3), seen[..., 0], atol=1e-3)
    down, right = (int(n) for n in own.shift[0, 0])
    inside = np.asarray(depth)[0, 0, 5 : HEIGHT - 5, 5 : WIDTH - 5]
    moved = seen[0, 0, 5 + down : HEIGHT - 5 + down, 5 + right : WIDTH - 5 + right, 0]
    np.testing.assert_allclose(moved, inside, atol=1e-3)
    assert len(np.unique(np.asarray(own.shift))) == 7


def test_blocks_are_those_of_jpeg_and_small_steps_change_little():
    coarse, fine = developed(blocks=0.3)[0], developed(blocks=1e-4)[0]
    np.testing.assert_allclose(fine, IMAGES, atol=1.5)
    assert np.abs(coarse - np.asarray(IMAGES)).mean() > 3
    flat, _ = developed(jnp.full_like(IMAGES, 100.0), blocks=0.3)
    assert np.abs(np.diff(flat, axis=3)).max() < 1e-2, "a flat image has no edges at blocks, not even at its own edge"
