"""Every axis of dynamics changes what it says, in the worlds that drew it, and what happens there, on all backends."""

from dataclasses import replace
from functools import cache

import jax
import mujoco
import numpy as np
import pytest

from s2rctl.core.errors import ProfileError, UsageError
from s2rctl.env import dynamics
from s2rctl.env.build import axes_of, make_env, make_images, make_model, make_task, profile_dynamics
from s2rctl.env.dynamics import AXES, check_draws, draw_dynamics, dynamic_edits, held
from s2rctl.env.keys import make_key
from s2rctl.env.parts import compiled
from s2rctl.physics import PHYSICS
from s2rctl.schema.dynamics import KINDS, Dynamics
from s2rctl.schema.load import load_profile
from tests.env import dynamic_scene

TASKS = (("aloha", "pick"), ("aloha", "insertion"), ("xarm7-reach", "reach"))
EDITED = tuple(name for name, axis in AXES.items() if axis.edit is not None)
MODEL, TASK = dynamic_scene.build(), dynamic_scene.task()


def other(name: str) -> float:
    """Return the end of an axis's default range that is further from nominal."""
    return max(getattr(Dynamics(), name), key=lambda value: abs(value - KINDS[name].nominal))


def alone(names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return draws in which world 0 is nominal and world i + 1 has axis i alone at the end of its range."""
    found = {name: np.full(len(names) + 1, KINDS[name].nominal) for name in names}
    for world, name in enumerate(names, start=1):
        found[name][world] = other(name)
    return found


@cache
def scene(name: str, task: str):
    profile = load_profile(name).profile
    model = make_model(profile, task, movable=True)
    return profile, model, make_task(profile, task, model)


def test_the_table_has_the_profiles_axes_and_every_one_changes_something_somewhere():
    assert list(AXES) == list(KINDS)
    assert set(Dynamics.model_fields) == set(AXES)
    assert set(dynamics.applicable(MODEL, TASK)) == set(AXES)


@pytest.mark.parametrize("name", EDITED)
def test_an_axis_changes_its_fields_in_the_worlds_that_drew_it(name):
    values = np.full(3, KINDS[name].nominal)
    values[1] = other(name)
    edits = dynamic_edits(MODEL, TASK, {}, {name: values}, 3)
    assert set(edits) == set(AXES[name].fields)
    for field, rows in edits.items():
        plain = np.asarray(getattr(MODEL, field))
        np.testing.assert_array_equal(rows[0], plain, err_msg=field)
        np.testing.assert_array_equal(rows[2], plain, err_msg=field)
        assert np.any(rows[1] != plain), field


@pytest.mark.parametrize("backend", ["native", "mjx", "warp"])
def test_every_axis_reaches_the_steps_of_its_world_alone(backend):
    if backend == "warp":
        pytest.importorskip("warp")
    draws = alone(EDITED)
    worlds = len(EDITED) + 1
    edits = dynamic_edits(MODEL, TASK, {}, draws, worlds)
    physics = PHYSICS.load(backend)(MODEL, worlds, substeps=12, edits=edits)
    qpos, qvel, ctrl = dynamic_scene.start(MODEL, worlds)
    state = physics.step(physics.init(qpos, qvel, ctrl), ctrl)
    moved = np.max(np.abs(np.asarray(state.qpos) - np.asarray(state.qpos)[0]), axis=1)
    assert not np.asarray(state.diverged).any()
    assert {name: float(gap) for name, gap in zip(EDITED, moved[1:], strict=True) if gap < 2e-6} == {}


@pytest.mark.parametrize(("name", "task"), TASKS[:2])
def test_every_axis_of_a_real_task_reaches_its_steps(name, task):
    """Hands close on the objects at home while the arms move; those of a task that does not apply are not there."""
    _, model, made = scene(name, task)
    names = tuple(axis for axis in dynamics.applicable(model, made) if axis in EDITED)
    worlds = len(names) + 1
    edits = dynamic_edits(model, made, {}, alone(names), worlds)
    physics = PHYSICS.load("native")(model, worlds, substeps=10, edits=edits)
    qpos, ctrl = np.tile(model.key_qpos[0], (worlds, 1)), np.tile(model.key_ctrl[0], (worlds, 1))
    data = mujoco.MjData(model)
    data.qpos[:] = model.key_qpos[0]
    mujoco.mj_forward(model, data)
    thing = "box" if task == "pick" else "peg"
    hand = "left" if task == "pick" else "right"
    at = int(model.jnt_qposadr[model.body(thing).jntadr[0]])
    qpos[:, at : at + 3] = data.site(f"{hand}/gripper").xpos
    if task == "insertion":  # and the socket stands over the peg, so that they touch
        other_at = int(model.jnt_qposadr[model.body("socket").jntadr[0]])
        qpos[:, other_at : other_at + 3] = data.site(f"{hand}/gripper").xpos + np.array([-0.03, 0.0085, 0.0])
        qpos[:, other_at + 3 : other_at + 7] = (1.0, 0.0, 0.0, 0.0)
    ctrl = ctrl + 0.1
    ctrl[:, list(made.gripper_actions)] = 0.002
    state = physics.init(qpos, np.zeros((worlds, model.nv)), ctrl)
    for _ in range(6):
        state = physics.step(state, ctrl)
    moved = np.max(np.abs(np.asarray(state.qpos) - np.asarray(state.qpos)[0]), axis=1)
    assert {axis: float(gap) for axis, gap in zip(names, moved[1:], strict=True) if gap < 1e-5} == {}


def test_what_a_task_does_not_have_is_passed_over_and_refused_by_name():
    assert set(axes_of(load_profile("aloha").profile, "insertion")) == set(AXES)
    assert set(AXES) - set(axes_of(load_profile("aloha").profile, "pick")) == {"tolerance"}
    profile, model, made = scene("xarm7-reach", "reach")
    absent = {"torsional_friction", "mass", "inertia", "centre_of_mass", "object_size", "tolerance", "finger_damping",
              "gripper_speed", "gripper_force"}  # fmt: skip
    assert set(AXES) - set(axes_of(profile, "reach")) == absent
    assert set(profile_dynamics(profile, "reach", 2, 0)) == set(AXES) - absent
    for name in absent:
        with pytest.raises(UsageError, match=f"'{name}' would change nothing in reach: it needs") as caught:
            check_draws(held({name: other(name)}, 2), 2, model, made)
        assert "latency" in caught.value.hint


@pytest.mark.parametrize(
    ("draws", "fault"),
    [
        ({"fricton": np.ones(2)}, "there is no axis of dynamics 'fricton'"),
        ({"friction": np.ones(3)}, "has values of shape"),
        ({"friction": np.array([1.0, 0.0])}, "out of range"),
        ({"friction": np.array([1.0, np.nan])}, "out of range"),
    ],
)
def test_draws_that_make_no_sense_are_refused(draws, fault):
    with pytest.raises(UsageError, match=fault):
        check_draws(draws, 2, MODEL, TASK)


def test_draws_are_uniform_in_their_ranges_and_equal_for_equal_seeds():
    ranges = Dynamics()
    one = draw_dynamics(ranges, 400, 5, model=MODEL, task=TASK)
    for name, values in one.items():
        low, high = getattr(ranges, name)
        assert low <= values.min() < low + 0.03 * (high - low) and high - 0.03 * (high - low) < values.max() <= high
    again = draw_dynamics(ranges, 400, 5, model=MODEL, task=TASK)
    assert all(np.array_equal(one[name], again[name]) for name in AXES)
    different = draw_dynamics(ranges, 400, 6, model=MODEL, task=TASK)
    assert not any(np.array_equal(one[name], different[name]) for name in AXES)
    correlated = np.corrcoef(np.stack(list(one.values())))
    assert np.max(np.abs(correlated - np.eye(len(AXES)))) < 0.25


def test_each_axis_draws_for_itself_and_for_each_world():
    """So an axis more, or worlds more, change nothing of what the others draw."""
    ranges = Dynamics()
    one = draw_dynamics(ranges, 8, 5, model=MODEL, task=TASK)
    fewer = replace(TASK, gripper_actions=())
    without = draw_dynamics(ranges, 8, 5, model=MODEL, task=fewer)
    assert set(one) - set(without) == {"finger_damping", "gripper_speed", "gripper_force"}
    assert all(np.array_equal(one[name], without[name]) for name in without)
    more = draw_dynamics(ranges, 20, 5, model=MODEL, task=TASK)
    assert all(np.array_equal(one[name], more[name][:8]) for name in one)
    wider = draw_dynamics(ranges.model_copy(update={"friction": (0.5, 1.5)}), 8, 5, model=MODEL, task=TASK)
    assert [name for name in one if not np.array_equal(one[name], wider[name])] == ["friction"]


def test_a_share_of_the_way_from_nominal():
    whole = draw_dynamics(Dynamics(), 50, 5, model=MODEL, task=TASK)
    none = draw_dynamics(Dynamics(), 50, 5, model=MODEL, task=TASK, share=0.0)
    half = draw_dynamics(Dynamics(), 50, 5, model=MODEL, task=TASK, share=0.5)
    for name, values in whole.items():
        np.testing.assert_array_equal(none[name], KINDS[name].nominal)
        np.testing.assert_allclose(half[name], 0.5 * (values + KINDS[name].nominal))
    own = draw_dynamics(Dynamics(), 50, 5, model=MODEL, task=TASK, share=np.linspace(0, 1, 50))
    for name, values in whole.items():
        assert own[name][0] == KINDS[name].nominal and own[name][-1] == pytest.approx(values[-1])


def test_ranges_reach_as_far_as_plausible_worlds():
    least = {"friction": (0.7, 1.3), "gain": (0.85, 1.15), "damping": (0.7, 1.3), "latency": (0.0, 1.0),
             "gripper_speed": (0.5, 1.5), "tolerance": (-0.0005, 0.0005), "gravity_sag": (0.0, 0.015)}  # fmt: skip
    for name, task in TASKS:
        ranges = load_profile(name).profile.task(task).dynamics
        for axis, (low, high) in least.items():
            assert getattr(ranges, axis)[0] <= low and getattr(ranges, axis)[1] >= high


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("friction=[0.5, 30]", "dynamics.friction: needs numbers from 0.05 to 20"),
        ("friction=[1.2, 0.8]", "dynamics.friction: a range needs its lower end first"),
        ("latency=[-1, 0]", "dynamics.latency: needs numbers from 0 to 10"),
        ("fricton=[1, 1]", "dynamics.fricton"),
    ],
)
def test_a_profile_cannot_ask_for_worlds_that_make_no_sense(setting, fault):
    with pytest.raises(ProfileError) as caught:
        load_profile("aloha", [f"tasks.pick.dynamics.{setting}"])
    assert fault in caught.value.message


def settle(model: mujoco.MjModel, edits: dict[str, np.ndarray], world: int, seconds: float = 4.0) -> mujoco.MjData:
    """Return a world that held still at home for a while, without dry friction, which would hold it before."""
    edited = mujoco.MjModel.__copy__(model)
    for field, rows in edits.items():
        getattr(edited, field)[...] = rows[world]
    edited.dof_frictionloss[:] = 0
    mujoco.mj_setConst(edited, mujoco.MjData(edited))
    data = mujoco.MjData(edited)
    mujoco.mj_resetDataKeyframe(edited, data, 0)
    for _ in range(round(seconds / edited.opt.timestep)):
        mujoco.mj_step(edited, data)
    return data


@pytest.mark.parametrize(("name", "task"), [TASKS[0], TASKS[2]])
def test_gravity_sag_is_the_angle_that_it_says(name, task):
    _, model, made = scene(name, task)
    edits = dynamic_edits(model, made, {}, {"gravity_sag": np.array([0.0, 0.015])}, 2)
    plain, sagging = settle(model, edits, 0), settle(model, edits, 1)
    hinges = [int(model.jnt_qposadr[j]) for j in range(model.njnt) if model.jnt_type[j] == mujoco.mjtJoint.mjJNT_HINGE]
    further = np.abs(sagging.qpos[hinges] - plain.qpos[hinges])
    assert np.max(further) == pytest.approx(0.015, rel=0.1)


def test_encoders_read_more_or_less_than_the_angle():
    """Where they read the same, the arm stands elsewhere: as if each joint had turned back by its share."""
    edits = dynamic_edits(MODEL, TASK, {}, {"joint_zero": np.array([0.0, 0.1])}, 2)
    moved = mujoco.MjModel.__copy__(MODEL)
    for field, rows in edits.items():
        getattr(moved, field)[...] = rows[1]
    offsets = 0.1 * dynamics.Editing(dynamics.Anatomy(MODEL, TASK), {}, 2, 1).pattern("joint_zero", 2)[1]
    assert np.all(offsets != 0) and np.max(np.abs(offsets)) <= 0.1
    one, two = mujoco.MjData(MODEL), mujoco.MjData(moved)
    two.qpos[:2] = (0.3, -0.4)
    one.qpos[:2] = two.qpos[:2] - offsets
    for model, data in ((MODEL, one), (moved, two)):
        mujoco.mj_kinematics(model, data)
    np.testing.assert_allclose(two.site("tool").xpos, one.site("tool").xpos, atol=1e-9)
    np.testing.assert_allclose(two.site("tool").xmat, one.site("tool").xmat, atol=1e-9)


def fingers(draws: dict[str, np.ndarray], target: float, steps: int, hold: float | None = None) -> np.ndarray:
    """Return where the left finger is after each physics step in two worlds, (steps, 2) m, or its motor's force, N."""
    edits = dynamic_edits(MODEL, TASK, {}, draws, 2)
    tracks = []
    for world in range(2):
        model = mujoco.MjModel.__copy__(MODEL)
        for field, rows in edits.items():
            getattr(model, field)[...] = rows[world]
        model.jnt_stiffness[:] = 0
        mujoco.mj_setConst(model, mujoco.MjData(model))
        data = mujoco.MjData(model)
        data.ctrl[2] = target
        if hold is not None:
            data.qpos[2:4] = hold
            mujoco.mj_forward(model, data)
            tracks.append(data.actuator_force[2:3].copy())
            continue
        track = []
        for _ in range(steps):
            mujoco.mj_step(model, data)
            track.append(data.qpos[2])
        tracks.append(np.array(track))
    return np.stack(tracks, axis=1)


def test_a_gripper_that_is_twice_as_fast_is_there_in_half_the_time_and_presses_alike():
    draws = {"gripper_speed": np.array([1.0, 2.0])}
    track = fingers(draws, 0.01, 400)
    reached = [int(np.argmax(track[:, world] > 0.008)) for world in range(2)]
    assert reached[0] / reached[1] == pytest.approx(2.0, rel=0.1)
    force = fingers(draws, 0.01, 0, hold=0.0)
    assert force[0, 1] == pytest.approx(force[0, 0])


def test_a_gripper_that_is_twice_as_strong_is_as_fast_and_presses_twice_as_hard():
    draws = {"gripper_force": np.array([1.0, 2.0])}
    track = fingers(draws, 0.01, 400)
    np.testing.assert_allclose(track[:, 1], track[:, 0], atol=3e-4)
    force = fingers(draws, 0.01, 0, hold=0.0)
    assert force[0, 1] == pytest.approx(2 * force[0, 0])


def test_axes_come_on_top_of_each_other_and_of_the_tasks_own_quantities():
    own = {"geom_size": np.repeat(MODEL.geom_size[None], 2, axis=0) * 1.1}
    draws = {"object_size": np.array([1.0, 1.02]), "tolerance": np.array([0.0, 0.0005])}
    sizes = dynamic_edits(MODEL, TASK, own, draws, 2)["geom_size"]
    block = MODEL.geom("block").id
    np.testing.assert_allclose(sizes[0], own["geom_size"][0])
    np.testing.assert_allclose(sizes[1, block], 1.1 * 1.02 * MODEL.geom_size[block] - np.array([0, 0.0005, 0.0005]))
    speeds = dynamic_edits(MODEL, TASK, {}, {"damping": np.full(2, 2.0), "finger_damping": np.full(2, 3.0)}, 2)
    np.testing.assert_allclose(speeds["dof_damping"][0, 2:4], 6 * MODEL.dof_damping[2:4])


def test_cameras_see_the_sizes_that_physics_has():
    draws = {"tolerance": np.array([0.0, -0.002]), "object_size": np.array([1.0, 1.2])}
    env = make_env(load_profile("aloha").profile, "insertion", 2, seed=0, images=True, dynamics=draws, repeat=2)
    look = compiled(env.draw, make_key(0)).look
    peg = env.model.geom("peg").id
    seen = np.asarray(look.geom_size)[:, peg]
    np.testing.assert_allclose(seen[0], env.model.geom_size[peg], rtol=1e-6)
    np.testing.assert_allclose(seen[1], 1.2 * env.model.geom_size[peg] + np.array([0, 0.002, 0.002]), rtol=1e-5)
    np.testing.assert_array_equal(*np.asarray(look.geom_rgba))


def test_other_cameras_begin_with_the_profiles_starts():
    """Goals are in sight of the profile's cameras, whatever others look on: tiers need equal starts."""
    profile = load_profile("xarm7-smoke").profile
    edge = load_profile("xarm7-smoke", ["vision.appearance.camera_rotation_deg=60"]).profile
    cameras = make_images(edge, "reach", make_model(edge, "reach"))
    plain, other_cameras = (
        make_env(profile, "reach", 8, seed=0, images=True, imaging=imaging) for imaging in (None, cameras)
    )
    one, two = (compiled(env.draw, make_key(3)) for env in (plain, other_cameras))
    for a, b in zip(jax.tree.leaves(one.start), jax.tree.leaves(two.start), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.any(one.look.camera_rot_offset != two.look.camera_rot_offset)


def test_worlds_repeat_with_their_quantities_and_starts():
    profile = load_profile("aloha").profile
    plain, cells = (make_env(profile, "pick", 3 * repeat, seed=4, images=False, repeat=repeat) for repeat in (1, 3))
    for name, values in plain.params.items():
        np.testing.assert_array_equal(cells.params[name], np.tile(values, 3))
    one, many = (compiled(env.draw, make_key(2)).start for env in (plain, cells))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        np.testing.assert_array_equal(np.tile(a, (3,) + (1,) * (a.ndim - 1)), b)


def test_equal_environments_are_one_object_unless_something_is_their_own():
    profile = load_profile("aloha").profile
    make = {"seed": 0, "images": False}
    assert make_env(profile, "pick", 2, **make) is make_env(profile, "pick", 2, dynamics={}, **make)
    assert make_env(profile, "pick", 2, **make) is not make_env(
        profile, "pick", 2, dynamics=held({"gain": 1.0}, 2), **make
    )
    assert make_env(profile, "pick", 2, **make) is not make_env(profile, "pick", 2, repeat=2, **make)
