"""What holds for every row of the scene table."""

from inspect import signature

import mujoco
import numpy as np
import pytest

from s2rctl.scene import SCENES
from tests.scene.scenes import at_home, inside, run

NAMES = tuple(SCENES.rows)


@pytest.fixture(scope="module", params=NAMES)
def model(request: pytest.FixtureRequest) -> mujoco.MjModel:
    return SCENES.load(request.param)()


def test_the_ray_caster_can_draw_it(model: mujoco.MjModel) -> None:
    data = at_home(model)
    drawn = [geom for geom in range(model.ngeom) if model.geom_group[geom] <= 2]
    assert model.ngeom <= 127
    assert model.nmesh == model.ntex == model.nmat == 0
    for camera in range(model.ncam):
        blind = [model.geom(geom).name or geom for geom in drawn if inside(model, data, geom, data.cam_xpos[camera])]
        assert not blind, f"{model.camera(camera).name} looks from inside {blind}"


def test_light_is_plain_lambert(model: mujoco.MjModel) -> None:
    assert mujoco.mjtLightType.mjLIGHT_POINT not in model.light_type  # the GL renderer ignores point lights
    spots = model.light_type == mujoco.mjtLightType.mjLIGHT_SPOT
    assert (model.light_cutoff[spots] == 90).all() and (model.light_exponent[spots] == 0).all()
    assert not model.light_specular.any() and not np.any(model.vis.headlight.diffuse)
    np.testing.assert_allclose(np.linalg.norm(model.light_dir, axis=1), 1.0)
    # The renderer ignores a geom's own colour when it is the default one.
    assert not (model.geom_rgba == 0.5).all(axis=1)[model.geom_group <= 2].any()


def test_what_is_only_seen_does_not_collide_and_what_collides_hidden_is_not_drawn(model: mujoco.MjModel) -> None:
    collides = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
    assert not collides[model.geom_group == 2].any()
    assert collides[model.geom_group == 3].all()


def test_the_timestep_is_set_and_the_solver_is_dense() -> None:
    for name in NAMES:
        model = SCENES.load(name)(0.0025)
        assert model.opt.timestep == 0.0025
        assert model.opt.jacobian == mujoco.mjtJacobian.mjJAC_DENSE


def test_home_holds_for_two_seconds(model: mujoco.MjModel) -> None:
    data = at_home(model)
    begin = data.qpos.copy()
    run(model, data, 2.0)
    assert np.abs(data.qpos - begin).max() < 0.03
    assert np.abs(data.qvel).max() < 0.01


@pytest.mark.parametrize("name", [name for name in NAMES if "movable" in signature(SCENES.load(name)).parameters])
def test_built_movable_it_moves_alike(name: str) -> None:
    plain, movable = SCENES.load(name)(), SCENES.load(name)(movable=True)
    assert movable.ngravcomp > 0 == plain.ngravcomp and not movable.body_simple[movable.body_dofnum == 6].any()
    one, two = at_home(plain), at_home(movable)
    run(plain, one, 0.5)
    run(movable, two, 0.5)
    np.testing.assert_allclose(two.qpos, one.qpos, atol=1e-9)


def test_inertias_are_those_of_solid_bodies(model: mujoco.MjModel) -> None:
    for body in range(1, model.nbody):
        if model.body_weldid[body] == 0:
            continue
        assert model.body_mass[body] > 0, model.body(body).name
        inertia = np.sort(model.body_inertia[body])
        assert inertia[0] > 0 and inertia[2] <= inertia[0] + inertia[1] + 1e-9, model.body(body).name


def test_mjx_accepts_it(model: mujoco.MjModel) -> None:
    from mujoco import mjx

    assert mjx.put_model(model).nq == model.nq


def test_sensor_names_are_unique_and_all_sensors_have_one(model: mujoco.MjModel) -> None:
    names = [model.sensor(index).name for index in range(model.nsensor)]
    assert all(names) and len(set(names)) == len(names)
