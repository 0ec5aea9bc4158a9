"""What a depth camera does to its image: each part does its own, and nothing stays nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.env.depth_camera import develop_depth, lose_patches
from s2rctl.env.development import draw_image_settings
from s2rctl.schema.appearance import ImageRange
from s2rctl.schema.simulation import Appearance

KEY = jax.random.key(7)


def settings(ranges, worlds=1, cameras=1, seed=1):
    drawn = draw_image_settings(jax.random.key(seed), worlds, cameras, Appearance(image=ranges)).development
    assert drawn is not None
    return drawn.depth


def test_depth_errors_are_of_the_camera_and_nothing_stays_nothing():
    ranges = ImageRange(depth_bias_m=0.01, depth_scale=0.1)
    own = settings(ranges, 400)
    depth = jnp.broadcast_to(jnp.array([0.0, 0.2, 0.4]), (400, 1, 1, 3))
    seen = np.asarray(develop_depth(KEY, depth, own, ranges))[:, 0, 0]
    assert (seen[:, 0] == 0).all()
    factor = (seen[:, 2] - seen[:, 1]) / 0.2
    bias = seen[:, 1] - 0.2 * factor
    assert 0.9 <= factor.min() + 1e-5 and factor.max() <= 1.1001
    assert 0.095 < np.abs(factor - 1).max()
    assert 0.0095 < np.abs(bias).max() < 0.01001
    assert abs(np.corrcoef(factor, bias)[0, 1]) < 0.2


def test_a_stereo_camera_measures_nothing_near_and_nothing_that_only_one_imager_sees():
    """Disparities are a little over 0.4 / 0.1 = 4 and 0.4 / 0.4 = 1 px, so the hole is 3 px wide."""
    ranges = ImageRange(depth_near_m=(0.08, 0.08), depth_shadow=0.4)
    own = settings(ranges)._replace(near=jnp.array([[0.08]]), shadow=jnp.array([[0.404]]))
    row = [0.4] * 8 + [0.1] * 4 + [0.4] * 4 + [0.05] * 2 + [0.0] * 2
    seen = np.asarray(develop_depth(KEY, jnp.array(row)[None, None, None], own, ranges))[0, 0, 0]
    # The last part, at 0.05 m and 8 px, is too near itself, and hides all that is far on its left.
    assert set(np.flatnonzero(seen == 0)) == {5, 6, 7, *range(12, 20)}
    assert np.allclose(seen[:5], 0.4) and np.allclose(seen[8:12], 0.1)


def test_faults_are_drawn_per_episode_and_leave_the_other_draws():
    plain = ImageRange(blur=0.5, depth_scale=0.02)
    faulty = plain.model_copy(
        update={"depth_near_m": (0.07, 0.1), "depth_shadow": 0.5, "depth_fattening_px": 2.0, "depth_faults": (0.2, 0.9)}
    )
    one, other = (
        draw_image_settings(jax.random.key(4), 64, 2, Appearance(image=limits)).development
        for limits in (plain, faulty)
    )
    assert np.array_equal(one.blur, other.blur) and np.array_equal(one.depth.scale, other.depth.scale)
    near, shadow, wide, faults = map(
        np.asarray, (other.depth.near, other.depth.shadow, other.depth.fattening, other.depth.faults)
    )
    assert near.min() >= 0.07 and near.max() <= 0.1 and np.ptp(near) > 0.02
    assert shadow.min() >= 0 and shadow.max() <= 0.5 and np.ptp(shadow) > 0.4
    assert wide.min() >= 0 and wide.max() <= 2 and np.ptp(wide) > 1.5
    assert faults.min() >= 0.2 and faults.max() <= 0.9
    between = np.corrcoef(faults.reshape(-1, faults.shape[-1]).T)
    assert np.abs(between - np.eye(faults.shape[-1])).max() < 0.35, "each fault has a strength of its own"
    assert (np.asarray(one.depth.faults) == 1).all(), "by default they are as they were"


@pytest.mark.parametrize(("reach", "columns"), [(0.0, 0), (1.0, 1), (2.0, 2)])
def test_near_surfaces_spread_over_what_is_behind_by_whole_rings(reach, columns):
    ranges = ImageRange(depth_fattening_px=2.0)
    own = settings(ranges)._replace(fattening=jnp.array([[reach]]))
    depth = jnp.full((1, 1, 12, 16), 0.4).at[..., 4:8, 6:10].set(0.2).at[..., 0, 0].set(0.0)
    seen = np.asarray(develop_depth(KEY, depth, own, ranges))[0, 0]
    side = 4 + 2 * columns
    assert (seen == np.float32(0.2)).sum() == side * side
    assert (seen[4 - columns : 8 + columns, 6 - columns : 10 + columns] == np.float32(0.2)).all()


def test_half_a_pixel_is_half_of_the_patches_and_small_steps_stay():
    ranges = ImageRange(depth_fattening_px=1.0)
    own = settings(ranges)._replace(fattening=jnp.full((1, 1), 0.5))
    depth = jnp.full((1, 1, 200, 40), 0.4).at[..., 20:].set(0.2)
    seen = np.asarray(develop_depth(KEY, depth, own, ranges))[0, 0]
    assert (seen[:, 19] == np.float32(0.2)).mean() == pytest.approx(0.5, abs=0.15)
    shallow = jnp.where(depth > 0.3, 0.205, 0.2)
    np.testing.assert_array_equal(develop_depth(KEY, shallow, own, ranges), shallow)


def test_holes_have_their_share_inside_a_round_part_and_a_tenth_of_it_elsewhere():
    depth = jnp.ones((1, 1, 200, 200))
    seen = np.asarray(lose_patches(KEY, depth, jnp.array([[[0.6, 0.5, 0.5, 0.16]]])))[0, 0]
    rows, columns = np.mgrid[:200, :200]
    inside = (rows - 100) ** 2 + (columns - 100) ** 2 < (0.16 * 200) ** 2
    assert (seen[inside] == 0).mean() == pytest.approx(0.6, abs=0.05)
    assert (seen[~inside] == 0).mean() == pytest.approx(0.06, abs=0.015)
    limits = ImageRange(depth_holes=0.3)
    hole = np.asarray(settings(limits, 200).hole)
    assert 0.28 < hole[..., 0].max() <= 0.3 and hole[..., 3].min() >= 0.04 and hole[..., 3].max() <= 0.16
