import numpy as np
import pytest

from s2rctl.render.laboratory.chance import Chance
from s2rctl.render.laboratory.stereo import BASELINE_M, FOCAL_PX, measured
from s2rctl.schema.laboratory import LOOK_AXES

N, H, W = 2, 32, 32
NEAR, FAR = 0.12, 0.3
BLOCK = np.s_[:, 10:22, 12:20]


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Return depth with a block before a wall, and a grey picture of it."""
    depth = np.full((N, H, W), FAR, np.float32)
    depth[BLOCK] = NEAR
    return depth, np.full((N, H, W, 3), 120, np.uint8)


def take(depth, rgb, frame=0, **held):
    values = {name: np.full(N, held.get(name, axis.nominal)) for name, axis in LOOK_AXES.items()}
    return measured(depth, rgb, np.full(N, 0.55), values, Chance((world, frame) for world in range(N)))


def test_a_nominal_camera_measures_exactly():
    depth, rgb = scene()
    assert np.array_equal(take(depth, rgb), depth)


def test_nothing_is_measured_below_the_least_distance():
    depth, rgb = scene()
    out = take(depth, rgb, depth_near=0.2)
    assert (out[BLOCK] == 0).all()
    assert (out[:, :8] == np.float32(FAR)).all()


def test_near_edges_spread_over_the_background():
    depth, rgb = scene()
    out = take(depth, rgb, depth_fattening=1.0)
    assert (out == np.float32(NEAR)).sum() > (depth == np.float32(NEAR)).sum()
    assert (out[:, 9, 12:20] == np.float32(NEAR)).all()
    assert (out[:, 7] == np.float32(FAR)).all()


def test_the_left_of_a_near_edge_is_hidden_from_one_imager():
    depth, rgb = scene()
    out = take(depth, rgb, depth_shadow=1.0)
    wide = W / 2 / 0.55 * BASELINE_M * (1 / NEAR - 1 / FAR)
    holes = out == 0
    assert holes[:, 15].sum(axis=1) == pytest.approx(round(wide), abs=1)
    assert holes[:, 15, 11].all()
    assert not holes[:, 15, 20:].any()


def test_black_and_shining_parts_have_holes_and_grey_ones_none():
    depth, rgb = scene()
    rgb[:, :10] = 2
    rgb[:, 24:] = 254
    out = take(depth, rgb, depth_holes=1.0)
    assert (out[:, :10] == 0).mean() > 0.7
    assert (out[:, 24:] == 0).mean() > 0.5
    assert (out[:, 10:24] > 0).all()


def test_disparities_come_in_steps_and_noise_grows_with_the_square_of_the_distance():
    depth = np.linspace(0.1, 0.4, N * H * W).reshape(N, H, W).astype(np.float32)
    rgb = np.full((N, H, W, 3), 120, np.uint8)
    steps = FOCAL_PX * BASELINE_M / take(depth, rgb, depth_quantum=0.5) / 0.5
    assert steps == pytest.approx(np.round(steps), abs=1e-3)
    near, far = (np.full((N, H, W), z, np.float32) for z in (0.1, 0.3))
    spread = [np.std(take(z, rgb, depth_noise=0.1)) for z in (near, far)]
    assert spread[1] / spread[0] == pytest.approx(9, rel=0.15)


def test_the_same_frame_is_measured_the_same_again_and_the_next_one_is_not():
    depth, rgb = scene()
    held = {"depth_noise": 0.1, "depth_loss": 0.05, "depth_fattening": 0.5}
    assert np.array_equal(take(depth, rgb, **held), take(depth, rgb, **held))
    assert not np.array_equal(take(depth, rgb, **held), take(depth, rgb, frame=1, **held))
    assert (take(depth, rgb, depth_loss=0.2) == 0).mean() == pytest.approx(0.2, abs=0.07)
