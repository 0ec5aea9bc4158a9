"""Cameras at the edge are exactly there, and nothing else of the look changes."""

import numpy as np
import pytest

from s2rctl.env.build import make_images, make_model
from s2rctl.env.keys import make_key
from s2rctl.evaluation.camera_edge import Edge, EdgeCameras
from s2rctl.evaluation.controls import pictures
from s2rctl.schema.load import load_profile

WORLDS = 32
MOVED = {"camera_pos_offset", "camera_rot_offset", "camera_fovy"}


@pytest.fixture(scope="module")
def profile():
    return load_profile("xarm7-reach").profile


@pytest.fixture(scope="module")
def looks(profile):
    """The profile's own look of an episode, and the same at the edge."""
    model = make_model(profile, "reach")
    images = make_images(profile, "reach", model)
    edge = EdgeCameras(images, model, Edge(profile))
    return (
        model,
        images.draw(make_key(3), WORLDS),
        edge.draw(make_key(3), WORLDS),
        edge.draw(make_key(3), 2 * WORLDS, 2),
    )


def test_the_edge_is_what_training_and_calibration_leave(profile):
    edge = Edge(profile)  # 2 cm and 3 degrees were trained for, 3 mm and 0.3 degrees pass; lenses differ by 3
    assert edge.position_m == pytest.approx((0.023, 0.023, 0.023))
    assert (edge.rotation_deg, edge.fovy_deg) == pytest.approx((3.3, 3.0))
    near = load_profile("xarm7-reach", ["evaluate.tiers.camera={position_m: 0, rotation_deg: 1, fovy_deg: 0}"]).profile
    assert Edge(near).rotation_deg == pytest.approx(4.0) and Edge(near).position_m[0] == pytest.approx(0.02)
    assert Edge(near).fovy_deg == pytest.approx(1.0)  # never less than what was trained for


def test_every_camera_is_at_the_edge_in_another_direction(looks):
    model, _, (look, _), _ = looks
    offset = np.asarray(look.camera_pos_offset)
    assert np.allclose(np.abs(offset), 0.023) and len(np.unique(np.sign(offset[:, 0]), axis=0)) == 8
    turn = np.asarray(look.camera_rot_offset)
    assert np.allclose(np.linalg.norm(turn, axis=-1), np.radians(3.3), atol=1e-6) and np.std(turn) > 0.01
    wider = np.asarray(look.camera_fovy) - model.cam_fovy
    assert np.allclose(np.abs(wider), 3.0, atol=1e-4) and {-1.0, 1.0} <= set(np.sign(wider).ravel())


def test_a_share_of_the_episodes_is_at_the_edge_of_what_training_has_and_the_others_within(profile, looks):
    model, (own, _), *_ = looks
    some = EdgeCameras(make_images(profile, "reach", model), model, Edge(profile, beyond=False), 0.5)
    look, _ = some.draw(make_key(3), WORLDS)
    at_the_edge = np.isclose(np.abs(look.camera_pos_offset), 0.02).all(axis=(1, 2))
    assert 4 < at_the_edge.sum() < WORLDS - 4
    turn = np.linalg.norm(np.asarray(look.camera_rot_offset), axis=-1)
    assert np.allclose(turn[at_the_edge], np.radians(3.0), atol=1e-6)
    for name in MOVED:
        np.testing.assert_array_equal(getattr(look, name)[~at_the_edge], getattr(own, name)[~at_the_edge])


def test_the_rest_of_the_look_is_that_of_the_same_key(looks):
    _, (own, settings), (look, same), _ = looks
    assert np.array_equal(settings.brightness, same.brightness)
    for name in set(own._fields) - MOVED:
        assert np.array_equal(getattr(own, name), getattr(look, name)), name


def test_worlds_that_repeat_look_alike(looks):
    _, _, (look, _), (twice, _) = looks
    for name in (name for name in look._fields if getattr(look, name) is not None):
        found = np.asarray(getattr(twice, name))
        assert np.array_equal(found[:WORLDS], found[WORLDS:]) and np.array_equal(found[:WORLDS], getattr(look, name))


def test_the_look_of_a_laboratory_has_cameras_as_far_off(profile):
    look = Edge(profile).of(profile.evaluate.tiers.harsh)
    assert look.camera_offset == pytest.approx((np.sqrt(3) * 0.023,) * 2) and look.camera_share == (0, 0)
    assert look.camera_rotation == pytest.approx((3.3, 3.3)) and look.camera_fovy == pytest.approx((3.0, 3.0))
    assert look.table_lightness == profile.evaluate.tiers.harsh.table_lightness


def test_pictures_that_do_not_differ_fail_the_control():
    """A randomisation that silently does nothing is what this control is for."""
    own = {"rgb_side": np.random.default_rng(0).integers(0, 255, (10, 8, 8, 3), np.uint8)}
    other = {"rgb_side": 255 - own["rgb_side"]}
    assert pictures(own, other, 0.9)["passed"] and pictures(own, other, 0.9)["share"] == 1
    assert not pictures(own, own, 0.9)["passed"]
    half = {"rgb_side": np.where(np.arange(10)[:, None, None, None] < 5, own["rgb_side"], other["rgb_side"])}
    found = pictures(own, half, 0.9)
    assert found["share"] == 0.5 and not found["passed"]
