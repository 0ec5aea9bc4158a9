from dataclasses import replace

import pytest

from s2rctl.env.build import make_model, make_task
from s2rctl.schema.load import load_profile
from s2rctl.systems import all_systems
from tests.env import taint, toy


@pytest.mark.parametrize("system, name", [(s, name) for s in all_systems() for name in s.tasks])
def test_deployed_inputs_use_real_signals_only(system, name):
    profile = load_profile(system.profile).profile
    model = make_model(profile, name)
    task = make_task(profile, name, model)
    assert task.scene == system.scenes[name]
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
