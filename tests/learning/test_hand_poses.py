from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.core.kinematics import Kinematics, Link, Point
from s2rctl.learning.student.hand_poses import HandPoses
from s2rctl.robots import ROBOTS
from s2rctl.robots.aloha.kinematics import KINEMATICS
from s2rctl.robots.aloha.specification import SPECIFICATION
from s2rctl.tasks.peg_insertion import READY

SIDES = ("left", "right")
FACING = np.array([READY[side] for side in SIDES], np.float32)
HANDS = HandPoses(SPECIFICATION, FACING.ravel())


def targets(angles, finger=0.0):
    """Joint targets (N, 14) from angles (N, 2, 6)."""
    return jnp.concatenate([angles, jnp.full((*angles.shape[:2], 1), finger)], axis=-1).reshape(-1, 14)


def test_the_poses_are_those_of_the_robots_kinematics():
    angles = np.random.default_rng(0).uniform(-1.5, 1.5, (20, 2, 6)).astype(np.float32)
    found = jax.jit(HANDS.poses)(angles)
    for number, each in enumerate(angles):
        joints = np.zeros((2, 8))
        joints[:, :6] = each
        for arm, side in enumerate(SIDES):
            place, axes = KINEMATICS.pose(f"{side}/gripper", joints.ravel())
            np.testing.assert_allclose(found.position[arm][number], place, atol=1e-5)
            np.testing.assert_allclose(found.rotation[arm][number], axes, atol=1e-5)


def test_features_are_of_order_one_over_the_whole_range_of_the_joints():
    angles = np.random.default_rng(1).uniform(-1.5, 1.5, (500, 2, 6)).astype(np.float32)
    found = HANDS.features(targets(angles, 0.041))
    assert found.shape == (500, HANDS.size) and jnp.max(jnp.abs(found)) < 7


def test_face_to_face_the_grippers_are_where_the_insertion_begins():
    found = HANDS.features(targets(FACING[None]))[0]
    np.testing.assert_allclose(found[-12:], 0, atol=1e-4)


def test_a_millimetre_between_the_grippers_can_be_seen():
    turned = FACING.copy()
    turned[0, 0] += 0.003  # the left waist; its gripper is some 0.4 m away
    moved = HANDS.features(targets(turned[None])) - HANDS.features(targets(FACING[None]))
    assert jnp.max(jnp.abs(moved[0, -12:])) > 0.03


def test_every_target_reaches_the_features():
    plain = targets(FACING[None])
    for column in range(14):
        assert jnp.any(HANDS.features(plain.at[:, column].add(0.01)) != HANDS.features(plain)), column


def test_one_arm_has_no_other_hand_to_look_at():
    spec = ROBOTS.load("xarm7")
    hands = HandPoses(spec, spec.home)
    found = hands.features(jnp.asarray(spec.home)[None])
    assert found.shape == (1, hands.size) == (1, 2 * 7 + 9)
    place, _ = spec.kinematics.pose("tcp", np.array(spec.home))
    np.testing.assert_allclose(found[0, 14:17], 5.0 * place, atol=1e-4)


def test_arms_that_differ_are_refused():
    links = (
        Link("one", "", joint="a"),
        Link("two", "", joint="b", axis=(1.0, 0.0, 0.0)),
    )
    points = {"l/hand": Point("one", (0.1, 0.0, 0.0)), "r/hand": Point("two", (0.1, 0.0, 0.0))}
    both = replace(
        SPECIFICATION,
        joints=("a", "b"), targets=("a", "b"), target_joint=(0, 1), home=(0.0, 0.0), mimic={},
        arms=("l/", "r/"), tools=("l/hand", "r/hand"), kinematics=Kinematics(links, ("a", "b"), points),
    )  # fmt: skip
    with pytest.raises(ValueError, match="not built alike"):
        HandPoses(both, (0.0, 0.0))


def test_measured_joints_tell_how_far_the_hands_sag():
    sent = targets(np.stack([FACING, FACING]))
    sunk = FACING.copy()
    sunk[0, 1] += 0.01  # the left shoulder gives way by 10 mrad, with about 0.4 m of arm before it
    found = HANDS.measured(jnp.concatenate([sent[:1], targets(sunk[None])]), sent)
    assert found.shape == (2, HANDS.measured_size)
    np.testing.assert_allclose(found[0], 0, atol=1e-4)
    places = HANDS.poses(np.stack([FACING, sunk])).position
    moved = np.asarray(places[0][1] - places[0][0])
    assert 0.002 < -moved[2] < 0.006
    np.testing.assert_allclose(found[1, :3], 40.0 * moved, atol=1e-3)
    np.testing.assert_allclose(found[1, 3:6], 0, atol=1e-5)
    assert jnp.max(jnp.abs(found[1, 9:12])) > 0.05, "the way between the hands changed, too"
