from dataclasses import replace

import pytest

from s2rctl.scene import SCENES
from s2rctl.tasks import TASKS
from s2rctl.tasks.protocol import TaskSettings
from tests.env import taint, toy


@pytest.mark.parametrize("name", sorted(TASKS.rows))
def test_deployed_inputs_use_real_signals_only(name):
    model = SCENES.load(name)(0.005)
    task = TASKS.load(name)(TaskSettings(model=model, episode_steps=10))
    assert task.scene == name
    found = taint.tainted_inputs(task, model)
    assert found, "a task without inputs cannot be deployed"
    assert not any(found.values()), found


def test_the_check_finds_a_leak():
    task = toy.make()

    def leaky(world, key):
        seen = task.observe(world, key)
        return seen._replace(inputs={**seen.inputs, "speed": world.signals.cart_vel[None]})

    assert taint.tainted_inputs(replace(task, observe=leaky), toy.build()) == {
        "joint_pos": False,
        "goal": False,
        "speed": True,
    }
