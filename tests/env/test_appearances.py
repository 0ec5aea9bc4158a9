from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.env import stepping
from s2rctl.env.appearances import refresh
from s2rctl.env.build import make_env
from s2rctl.env.keys import make_key
from s2rctl.schema.load import load_profile

WORLDS = 64


class State(NamedTuple):
    appearance: Any
    image: Any
    step: jax.Array


class Images:
    def draw(self, key, worlds):
        return {"colour": jax.random.uniform(key, (worlds, 2, 3))}, jax.random.uniform(key, (worlds,))


class Env:
    worlds, images = WORLDS, Images()


ENV = Env()
START = State({"colour": jnp.zeros((WORLDS, 2, 3))}, jnp.zeros(WORLDS), jnp.arange(WORLDS))


def changed(before, after):
    colour = np.any(np.asarray(before.appearance["colour"] != after.appearance["colour"]), axis=(1, 2))
    np.testing.assert_array_equal(colour, np.asarray(before.image != after.image))
    np.testing.assert_array_equal(before.step, after.step)
    return colour


def test_the_same_share_of_the_worlds_gets_another_look_each_time():
    once = refresh(ENV, START, jax.random.key(1), 0.5)
    who = changed(START, once)
    assert 16 < who.sum() < 48
    np.testing.assert_array_equal(changed(once, refresh(ENV, once, jax.random.key(2), 0.5)), who)


def test_all_worlds_or_none():
    assert changed(START, refresh(ENV, START, jax.random.key(1))).all()
    assert not changed(START, refresh(ENV, START, jax.random.key(1), 0.0)).any()


def test_cameras_stay_while_all_else_looks_new():
    profile = load_profile("aloha-robust").profile
    env = make_env(profile, "insertion", 4, seed=0)
    before = stepping.reset(env, make_key(0))
    after = refresh(env, before, make_key(1), cameras=False)
    for name in ("camera_pos_offset", "camera_rot_offset", "camera_fovy"):
        np.testing.assert_array_equal(getattr(after.appearance, name), getattr(before.appearance, name))
        assert np.ptp(getattr(before.appearance, name)) > 0
    jax.tree.map(np.testing.assert_array_equal, after.image.development.depth, before.image.development.depth)
    np.testing.assert_array_equal(after.image.development.shift, before.image.development.shift)
    assert (after.appearance.geom_rgba != before.appearance.geom_rgba).any(axis=(1, 2)).all()
    assert (after.image.brightness != before.image.brightness).all()
    anew = refresh(env, before, make_key(1))
    assert (anew.appearance.camera_rot_offset != before.appearance.camera_rot_offset).any(axis=(1, 2)).all()
