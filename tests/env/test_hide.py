from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.core.errors import UsageError
from s2rctl.env.build import make_model, make_task
from s2rctl.env.hide import hide, hiding_of
from s2rctl.schema.load import load_profile
from s2rctl.tasks.protocol import Start

PROFILE = load_profile("aloha").profile
MODEL = make_model(PROFILE, "insertion")
TASK = make_task(PROFILE, "insertion", MODEL)
WORLDS = 4000


def drawn(share):
    qpos = jnp.broadcast_to(jnp.asarray(MODEL.qpos0, jnp.float32), (WORLDS, MODEL.nq))
    start = Start(qpos, jnp.zeros((WORLDS, MODEL.nv)), jnp.zeros((WORLDS, MODEL.nu)), None)
    return start, *hide(jax.random.key(0), start, hiding_of(TASK, MODEL, share), 14)


def test_each_object_is_hidden_in_its_share_and_its_own_arm_stays_still():
    before, after, still = drawn(0.07)
    socket, peg = still[:, 0], still[:, 13]
    assert abs(float(socket.mean()) - 0.07) < 0.012 and abs(float(peg.mean()) - 0.07) < 0.012
    assert not (socket & peg).any()
    np.testing.assert_array_equal(still[:, :7], np.repeat(np.asarray(socket)[:, None], 7, 1))
    np.testing.assert_array_equal(still[:, 7:], np.repeat(np.asarray(peg)[:, None], 7, 1))
    places = {"socket": ((-0.4, 0.33), socket), "peg": ((0.4, 0.33), peg)}
    for name, (place, hidden) in places.items():
        first = int(MODEL.jnt_qposadr[int(MODEL.body(name).jntadr[0])])
        np.testing.assert_allclose(
            np.asarray(after.qpos)[np.asarray(hidden)][:, first : first + 2], [place] * int(hidden.sum())
        )
        rest = np.delete(np.arange(MODEL.nq), [first, first + 1])
        only = np.asarray(hidden)
        np.testing.assert_array_equal(np.asarray(after.qpos)[only][:, rest], np.asarray(before.qpos)[only][:, rest])
    none = ~np.asarray(socket | peg)
    np.testing.assert_array_equal(np.asarray(after.qpos)[none], np.asarray(before.qpos)[none])


def test_hidden_objects_lie_on_the_table():
    table, size = MODEL.geom("table").pos, MODEL.geom("table").size
    for item in hiding_of(TASK, MODEL, 0.1).objects:
        assert abs(item.place[0] - table[0]) < size[0] and abs(item.place[1] - table[1]) < size[1]


def test_a_task_without_such_objects_and_too_large_shares_are_refused():
    with pytest.raises(UsageError, match="no object that can be hidden"):
        hiding_of(replace(TASK, asides=()), MODEL, 0.1)
    with pytest.raises(UsageError, match="leaves none to act in"):
        hiding_of(TASK, MODEL, 0.6)
