from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.env.appearances import refresh

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
