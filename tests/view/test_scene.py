"""The scene on the page is the model's: every geom, where MuJoCo has it, as it is to look."""

import mujoco
import numpy as np
import pytest

pytest.importorskip("viser")

from s2rctl.core.spatial import to_matrix
from s2rctl.render.laboratory.meshes import Mesh, Meshes
from s2rctl.scene import SCENES
from s2rctl.systems import all_systems
from s2rctl.view.markers import METRES_PER_NEWTON, Markers, contacts_of, edges_of
from s2rctl.view.page import open_server
from s2rctl.view.scene import Scene

PLACES = [(system.name, task) for system in all_systems() for task in system.tasks]


@pytest.fixture
def server():
    made = open_server("test", "127.0.0.1", 0)
    yield made
    made.stop()


def of(system: str, task: str):
    scenes = next(row.scenes for row in all_systems() if row.name == system)
    model = SCENES.load(scenes[task])(0.005)
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_forward(model, data)
    return model, data


@pytest.mark.parametrize(("system", "task"), PLACES)
def test_every_geom_is_there_where_mujoco_has_it(server, system, task) -> None:
    model, data = of(system, task)
    scene = Scene(server, model)
    assert len(scene.geoms) == model.ngeom
    assert scene.place(data) == model.nbody
    for geom, handle in scene.geoms.items():
        frame = scene._frames[model.geom_bodyid[geom]]
        turned = to_matrix(frame.wxyz)
        assert turned @ handle.position + frame.position == pytest.approx(data.geom_xpos[geom], abs=1e-5)
        axes = turned @ to_matrix(handle.wxyz)
        assert axes == pytest.approx(data.geom_xmat[geom].reshape(3, 3), abs=1e-5)
        # as wide as MuJoCo's own box around it, in the geom's frame; a plane is cut off
        if model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_PLANE:
            half = model.geom_aabb[geom, 3:]
            assert np.abs(handle.vertices).max(axis=0) == pytest.approx(half, rel=0.05)


def test_only_what_moved_is_sent(server) -> None:
    model, data = of("xarm7-reach", "reach")
    scene = Scene(server, model)
    scene.place(data)
    assert scene.place(data) == 0
    data.qpos[-1] += 0.1
    mujoco.mj_forward(model, data)
    assert 1 <= scene.place(data) < model.nbody


def test_another_look_changes_colours_and_sizes_and_hides(server) -> None:
    model, _ = of("xarm7-reach", "reach")
    scene = Scene(server, model)
    rgba, size = np.array(model.geom_rgba), np.array(model.geom_size)
    rgba[:] = (0.2, 0.4, 0.6, 1.0)
    rgba[1, 3] = 0.0
    box = int(np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_BOX)[0])
    size[box] *= 2
    wide = np.abs(scene.geoms[box].vertices).max(axis=0)
    scene.dress(rgba, size)
    assert tuple(scene.geoms[0].color) == (51, 102, 153)
    assert not scene.geoms[1].visible and scene.geoms[0].visible
    assert np.abs(scene.geoms[box].vertices).max(axis=0) == pytest.approx(2 * wide, rel=1e-5)
    assert len(scene.geoms) == model.ngeom


def test_the_makers_meshes_take_the_place_of_the_arms_primitives(server) -> None:
    model, _ = of("xarm7-reach", "reach")
    body = model.body("link_base")
    plate = Mesh("link_base", np.eye(3), np.array([[0, 1, 2]]), (0.5, 0.5, 0.5))
    elsewhere = Mesh("other/link_base", plate.vertices, plate.faces, plate.colour)
    scene = Scene(server, model, Meshes((plate, elsewhere), "test"))
    assert len(scene._meshes) == 1, "of an arm that this scene has not, nothing is shown"
    arm = [geom for geom in scene.geoms if model.body_rootid[model.geom_bodyid[geom]] == body.rootid[0]]
    others = [geom for geom in scene.geoms if model.geom_bodyid[geom] == 0]
    assert arm and others
    assert not any(scene.geoms[geom].visible for geom in arm) and all(scene.geoms[geom].visible for geom in others)
    scene.show_meshes(False)
    assert all(scene.geoms[geom].visible for geom in arm if model.geom_rgba[geom, 3] > 0)


def test_contacts_bear_the_weight(server) -> None:
    model = mujoco.MjModel.from_xml_string(
        '<mujoco><worldbody><geom type="plane" size="1 1 1"/><body pos="0 0 0.0999"><freejoint/>'
        '<geom type="box" size="0.1 0.1 0.1" mass="0.5"/></body></worldbody></mujoco>'
    )
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data, 400)
    arrows = contacts_of(model, data)
    force = np.abs((arrows[:, 1] - arrows[:, 0]).sum(axis=0)) / METRES_PER_NEWTON
    assert len(arrows) == 4 and force == pytest.approx([0, 0, 0.5 * 9.81], abs=0.02)
    markers = Markers(server, None)
    markers.contacts(arrows)
    markers.contacts(arrows[:0])


def test_a_box_has_twelve_edges() -> None:
    low, high = np.array([0.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0])
    edges = edges_of(low, high)
    lengths = np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1)
    assert sorted(lengths) == pytest.approx([1.0] * 4 + [2.0] * 4 + [3.0] * 4)
