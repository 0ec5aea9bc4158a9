import sys
from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.render.laboratory import MESHES
from s2rctl.render.laboratory.meshes import MOST_FACES, cluster, load_meshes, seen_from_outside
from s2rctl.robots.meshes import Part, RobotMeshes
from s2rctl.scene import SCENES
from tests.render.laboratory.studio import photographer
from tests.render.test_contract import needs_gl

HAVE = all(find_spec(name) for name in ("robosuite_models", "gym_xarm"))
needs_meshes = pytest.mark.skipif(not HAVE, reason="the packages that carry the meshes are not installed")
FOLDED = (0.3, -0.4, 0.2, 1.2, 0.1, 1.2, 0.2)
VIEWS = {
    "aloha": ("insertion", ((0, -1.2, 0.5), (1.2, -0.3, 0.6), (0.01, 0.05, 1.4)), (0, 0, 0.15), ()),
    "xarm7": ("reach", ((0.3, -1.2, 0.4), (1.5, 0.2, 0.5), (0.4, 0.9, 0.9)), (0.25, 0, 0.3), FOLDED),
}


def ball(rings: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Return a closed ball of 5 cm, its faces looking outwards."""
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False), np.linspace(0, np.pi, rings))
    points = 0.05 * np.stack([np.sin(v) * np.cos(u), np.sin(v) * np.sin(u), np.cos(v)], -1).reshape(-1, 3)
    faces = []
    for row in range(rings - 1):
        for column in range(2 * rings):
            a, b = row * 2 * rings + column, row * 2 * rings + (column + 1) % (2 * rings)
            c, d = a + 2 * rings, b + 2 * rings
            faces += [(a, c, b), (b, c, d)]
    return points, np.array(faces)


def test_coarsening_keeps_the_shape_and_saves_faces():
    vertices, faces = ball()
    some, fewer = cluster(vertices, faces, 0.008)
    assert len(fewer) < len(faces) / 2
    assert np.linalg.norm(some, axis=1) == pytest.approx(0.05, abs=0.004)


def test_what_is_inside_is_left_out():
    vertices, faces = ball()
    both = np.concatenate([vertices, 0.6 * vertices])
    seen = seen_from_outside(both, np.concatenate([faces, faces + len(vertices)]))
    proper = np.linalg.norm(np.cross(*(vertices[faces[:, i]] - vertices[faces[:, 0]] for i in (1, 2))), axis=1) > 1e-9
    assert seen[: len(faces)][proper].mean() > 0.95
    assert seen[len(faces) :].mean() < 0.01


@needs_gl
@needs_meshes
@pytest.mark.parametrize("robot", VIEWS)
def test_meshes_cover_the_same_pixels_as_our_primitives(robot, record_property):
    scene, eyes, target, qpos = VIEWS[robot]
    meshes = load_meshes(MESHES.load(robot))
    assert all(len(mesh.faces) <= MOST_FACES for mesh in meshes.parts)
    shots = photographer(SCENES.load(scene)(), meshes.parts, eyes, target, qpos)
    ours, theirs = shots.robot_alone(meshes=False), shots.robot_alone(meshes=True)
    iou = (ours & theirs).sum((1, 2)) / (ours | theirs).sum((1, 2))
    record_property("iou", iou.round(3).tolist())
    assert (iou > 0.7).all(), iou
    # a wrong frame of one link would leave a hole in the middle of the mask: centres agree within 1 % of the picture
    centres = [np.array([np.argwhere(mask).mean(axis=0) for mask in masks]) for masks in (ours, theirs)]
    assert np.abs(centres[0] - centres[1]).max() < 4
    shots.painter.close()


def test_a_robot_whose_meshes_are_nowhere_says_what_to_install():
    nowhere = RobotMeshes("no-such-package==1", "no_such_package", (("x", Part("body", "a.stl", (0, 0, 0))),), "x", "x")
    with pytest.raises(MissingEnvironmentError) as caught:
        load_meshes(nowhere)
    assert "no-such-package==1" in caught.value.hint


def menagerie(folder, error=None) -> ModuleType:
    """Return a menagerie whose robots lie in ``folder``, or cannot be fetched."""

    def path(cache=None, progress=None):
        if error is not None:
            raise error
        return folder

    module = ModuleType("mujoco_menagerie")
    module.__spec__ = SimpleNamespace()
    module.MenagerieError = RuntimeError
    module.get = lambda name: SimpleNamespace(path=path, entry=lambda entry: SimpleNamespace(file=f"{entry}.xml"))
    return module


XML = """<mujoco><compiler angle="radian"/>
<asset><mesh name="tip" vertex="0 0 0 .1 0 0 0 .1 0 0 0 .1"/><material name="paint" rgba=".1 .2 .3 1"/></asset>
<worldbody><body name="arm" pos="0 0 1"><body name="hand" pos="0 0 .5"><joint name="turn" axis="0 0 1"/>
<geom type="mesh" mesh="tip" material="paint" contype="0" conaffinity="0"/>
<geom type="mesh" mesh="tip"/></body></body></worldbody></mujoco>"""


def test_the_menagerie_comes_first_and_its_further_bodies_move_with_ours(tmp_path, monkeypatch):
    (tmp_path / "robot.xml").write_text(XML)
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", menagerie(tmp_path))
    robot = RobotMeshes(
        "no-such-package==1",
        "no_such_package",
        (("x", Part("arm", "a.stl", (0, 0, 0))),),
        "some",
        "robot",
        posture=(("turn", np.pi),),
    )
    found = load_meshes(robot)
    assert "menagerie" in found.source
    (mesh,) = found.parts  # the other one is for collisions
    assert mesh.body == "arm"
    assert mesh.colour == pytest.approx((0.1, 0.2, 0.3))
    corners = {tuple(np.round(corner, 6) + 0.0) for corner in mesh.vertices}
    assert corners == {(0.0, 0.0, 0.5), (-0.1, 0.0, 0.5), (0.0, -0.1, 0.5), (0.0, 0.0, 0.6)}


@needs_meshes
def test_without_a_network_the_package_serves(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", menagerie(tmp_path, OSError("no network")))
    row = MESHES.load("xarm7")
    link = replace(row, parts=row.parts[1:2])
    assert load_meshes(link).source == row.package
    assert "no network" in caplog.text
