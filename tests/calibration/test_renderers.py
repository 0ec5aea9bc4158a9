"""Every renderer draws a point where the camera's figures put it, with the principal point off centre."""

import mujoco
import numpy as np
import pytest

from s2rctl.calibration.intrinsics import FLIP, project
from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.render import RENDERERS
from s2rctl.scene.mount import set_optics
from s2rctl.scene.poses import Poses
from s2rctl.schema.cameras import Intrinsics

LENS = Intrinsics(width=320, height=240, fx=300, fy=280, cx=182.3, cy=101.6)
PLACES = ((-0.14, -0.06, 0.9), (0.05, 0.11, 0.9), (-0.02, 0.0, 0.9))


def scene(place):
    """A thin square plate that faces the camera at ``place`` in camera axes, turned in its own plane."""
    x, y, z = np.array(place) * [1, -1, -1]
    model = mujoco.MjModel.from_xml_string(
        f"""<mujoco><visual><headlight ambient=".5 .5 .5" diffuse="0 0 0"/></visual><worldbody>
        <light pos="0 0 0" dir="0 0 -1" diffuse="0 0 0" ambient="1 1 1"/>
        <geom type="box" size="0.04 0.04 0.0005" pos="{x} {y} {z - 0.0005}" euler="0 0 17" rgba="1 1 1 1"/>
        <camera name="c" pos="0 0 0" quat="1 0 0 0"/></worldbody></mujoco>"""
    )
    set_optics(model, 0, LENS)
    return model


@pytest.mark.parametrize("name", ["raycast", "gl", "warp"])
def test_a_plate_lies_where_it_is_projected(name) -> None:
    worst = 0.0
    for place in PLACES:
        model = scene(place)
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        try:
            renderer = RENDERERS.load(name)(model, ("c",), LENS.width, LENS.height)
            one = (1, -1, 3, 3)
            poses = Poses(
                *(np.float32(a) for a in (data.geom_xpos[None], data.geom_xmat.reshape(one))),
                *(np.float32(a) for a in (data.cam_xpos[None], data.cam_xmat.reshape(one))),
            )
            frames = renderer.render(poses, renderer.appearance(1))
        except MissingEnvironmentError as error:
            pytest.skip(error.message)
        rows, columns = np.nonzero(np.asarray(frames.depth[0, 0]) > 0)
        assert len(rows) > 300
        worst = max(worst, float(np.hypot(*(np.array([columns.mean(), rows.mean()]) - project(LENS, np.array(place))))))
    assert worst <= 0.1
    assert (FLIP @ FLIP == np.eye(3)).all()
