"""Each fault is tested against its definition, on frames where the right answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.render.depth_noise import blackout, depth_faults, disparity_noise, lose_edges, lose_pixels, scratch
from s2rctl.schema.simulation import DepthNoise

KEY = jax.random.key(0)


def flat(value: float = 0.2, frames: int = 64) -> jax.Array:
    return jnp.full((frames, 32, 32), value)


def test_a_flat_frame_loses_no_edge_and_a_step_loses_pixels_beside_it_only() -> None:
    assert (lose_edges(KEY, flat(), 0.05, 10.0) == flat()).all()
    step = flat().at[:, :, 16:].set(0.4)
    lost = np.asarray(lose_edges(KEY, step, 0.05, 10.0) == 0)
    # atan(10 * 0.2) = 1.1 > 1: every pixel on the edge (column 15) is lost; the mask moves by at most one pixel.
    assert set(np.flatnonzero(lost.any(axis=(0, 1)))) == {14, 15, 16}
    assert lost.any(axis=2).all()
    small = flat().at[:, :, 16:].set(0.24)
    assert (lose_edges(KEY, small, 0.05, 10.0) == small).all()


def test_loss_at_an_edge_has_the_stated_probability() -> None:
    step = flat(frames=512).at[:, :, 16:].set(0.26)
    share = np.asarray(lose_edges(KEY, step, 0.05, 10.0) == 0).sum() / (512 * 32)
    assert share == pytest.approx(np.arctan(0.6), abs=0.02)


def test_disparity_is_rounded_to_whole_steps_and_noisy_by_sigma() -> None:
    depth = flat(0.2, frames=256)
    clean = disparity_noise(KEY, depth, 0.0, 0.0, 35130.0)
    np.testing.assert_allclose(clean, 35130.0 / round(35130.0 / 200.0) / 1000.0, rtol=1e-6)
    noisy = np.asarray(disparity_noise(KEY, depth, 0.0, 2.0, 35130.0))
    disparity = 35130.0 / (noisy * 1000.0)
    np.testing.assert_allclose(disparity, np.round(disparity), atol=1e-3)
    assert disparity.std() == pytest.approx(np.hypot(2.0, 12**-0.5), rel=0.02)  # rounding adds 1/12 to the variance


def test_shifted_sampling_leaves_planes_and_blurs_ramps() -> None:
    ramp = jnp.broadcast_to(jnp.linspace(0.2, 0.4, 32), (64, 32, 32))
    shifted = np.asarray(disparity_noise(KEY, ramp, 0.5, 0.0, 1e9))  # a huge constant: no quantisation
    error = (shifted - ramp)[:, :, 4:-4]
    slope = 0.2 / 31
    assert error.std() == pytest.approx(0.5 * slope, rel=0.05)
    np.testing.assert_allclose(disparity_noise(KEY, flat(), 0.5, 0.0, 1e9), flat(), rtol=1e-5)


def test_nothing_stays_nothing() -> None:
    empty = jnp.zeros((8, 32, 32))
    assert (disparity_noise(KEY, empty, 0.5, 0.2, 35130.0) == 0).all()
    assert (lose_edges(KEY, empty, 0.05, 10.0) == 0).all()


def test_random_loss_has_its_rate() -> None:
    lost = np.asarray(lose_pixels(KEY, flat(frames=256), 0.006) == 0).mean()
    assert lost == pytest.approx(0.006, rel=0.1)


def test_scratches_have_depths_in_their_range_and_are_few() -> None:
    image = np.asarray(scratch(KEY, flat(0.399, 256), 16, 0.4))
    changed = image != np.float32(0.399)
    assert changed.any(axis=(1, 2)).mean() > 0.95
    assert image[changed].min() >= 0.2 * 0.4
    assert image[changed].max() <= 0.85 * 0.4
    assert changed.sum(axis=(1, 2)).max() <= 16 * 12 * 2
    assert (scratch(KEY, flat(), 0, 0.4) == flat()).all()


def test_blackout_loses_whole_frames_at_its_rate() -> None:
    image = np.asarray(blackout(KEY, flat(frames=2048), 0.1))
    black = (image == 0).all(axis=(1, 2))
    assert (black | (image != 0).all(axis=(1, 2))).all()
    assert black.mean() == pytest.approx(0.1, abs=0.02)


def test_the_whole_chain_is_finite_and_depends_on_its_key_only() -> None:
    noise = DepthNoise()
    first, again, other = (depth_faults(k, flat(), noise, 0.4) for k in (KEY, KEY, jax.random.key(1)))
    assert jnp.isfinite(first).all() and (first >= 0).all()
    assert (first == again).all()
    assert (first != other).any()


def test_strength_goes_from_a_clean_camera_to_the_full_faults_frame_by_frame() -> None:
    noise = DepthNoise(disparity_sigma=2.0, blackout=0.3, loss=0.1)
    depth = flat(frames=200).at[:, :, 16:].set(0.5)
    full = depth_faults(KEY, depth, noise, 1.0)
    assert np.array_equal(full, depth_faults(KEY, depth, noise, 1.0, jnp.ones((200, 5))))
    clean = np.asarray(depth_faults(KEY, depth, noise, 1.0, jnp.zeros((200, 5))))
    np.testing.assert_allclose(clean, depth, rtol=5e-3)  # a thousandth of the shift is left
    mixed = np.asarray(
        depth_faults(KEY, depth, noise, 1.0, jnp.repeat(jnp.array([[0.0], [1.0]]), 100, 0) * jnp.ones(5))
    )
    np.testing.assert_allclose(mixed[:100], depth[:100], rtol=5e-3)
    assert np.array_equal(mixed[100:], full[100:])


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0])
def test_an_edge_is_lost_with_a_share_of_its_probability(strength: float) -> None:
    step = flat(frames=512).at[:, :, 16:].set(0.26)
    lost = lose_edges(KEY, step, 0.05, 10.0, jnp.full(512, strength)) == 0
    assert np.asarray(lost).sum() / (512 * 32) == pytest.approx(strength * np.arctan(0.6), abs=0.02)


def test_scratches_and_losses_weaken_with_their_strength() -> None:
    few = np.asarray(scratch(KEY, flat(), 16, 1.0, jnp.full(64, 0.25)) != flat()).sum()
    many = np.asarray(scratch(KEY, flat(), 16, 1.0) != flat()).sum()
    assert 0 < few < 0.4 * many
    half = np.asarray(
        depth_faults(KEY, flat(), DepthNoise(loss=0.4, blackout=0, scratches=0), 1.0, jnp.full((64, 5), 0.5))
    )
    assert (half == 0).mean() == pytest.approx(0.2, abs=0.02)
