"""Room for contacts and constraints, against what MuJoCo really makes."""

import mujoco
import numpy as np
import pytest

from s2rctl.physics.room import contact_bound, needed_room
from s2rctl.scene import SCENES


@pytest.mark.parametrize("scene", sorted(SCENES.rows))
def test_no_motion_needs_more_than_the_room(scene):
    model = SCENES.load(scene)(0.005)
    room = needed_room(model)
    data = mujoco.MjData(model)
    generator = np.random.default_rng(0)
    for step in range(1500):
        if step % 25 == 0:
            low, high = model.actuator_ctrlrange.T
            data.ctrl[:] = generator.uniform(low, high)
        mujoco.mj_step(model, data)
        assert data.ncon <= room.contacts
        assert data.nefc <= room.rows


def test_room_grows_with_what_is_asked_for():
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><geom type='plane' size='1 1 1'/>"
        "<body pos='0 0 1'><freejoint/><geom type='box' size='.1 .1 .1'/></body>"
        "<body pos='0 0 2'><freejoint/><geom type='box' size='.1 .1 .1'/></body></worldbody></mujoco>"
    )
    assert contact_bound(model) == (4 + 4 + 8, 4)  # condim 3, pyramidal
    chosen, asked = needed_room(model), needed_room(model, contacts=100)
    assert chosen.contacts == 16
    assert asked.contacts == 100
    assert asked.rows - chosen.rows == 4 * 84
