import json
import os
import signal
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from s2rctl.core.errors import MissingEnvironmentError, RunError, UsageError
from s2rctl.env import stepping
from s2rctl.env.build import make_env, make_images, make_model
from s2rctl.env.keys import make_key
from s2rctl.env.laboratory import laboratory_images
from s2rctl.render import RENDERERS
from s2rctl.render.laboratory.pool import require_opengl
from s2rctl.schema.laboratory import LOOK_AXES, LookRanges
from s2rctl.schema.load import load_profile
from s2rctl.schema.looks import HarshLook
from tests.render.laboratory.test_meshes import HAVE, needs_meshes
from tests.render.test_contract import needs_gl

WORLDS = 4
pytestmark = needs_gl
NOMINAL = LookRanges()
STILL = NOMINAL.at(camera_share=0)
EDGES = {"camera_offset": 0.02, "camera_rotation": 5.0, "camera_fovy": 5.0}
CELLS = {
    "nominal": NOMINAL,
    "table": NOMINAL.at(table_lightness=0.4),
    "still": STILL,
    **{axis: STILL.at(**{axis: held}) for axis, held in EDGES.items()},
    **({"meshes": NOMINAL.at(meshes=1)} if HAVE else {}),
}


@pytest.fixture(scope="module")
def profile():
    return load_profile("aloha-smoke").profile


@pytest.fixture(scope="module")
def model(profile):
    return make_model(profile, "insertion")


@pytest.fixture(scope="module")
def make(profile, model):
    """Makes laboratories; all of them are closed in the end."""
    kept = []

    def made(ranges, processes=2):
        kept.append(laboratory_images(profile, "insertion", model, ranges, processes=processes))
        return kept[-1]

    yield made
    for images in kept:
        images.close()


@pytest.fixture(scope="module")
def harsh(make):
    return make(HarshLook().at(meshes=0))


@pytest.fixture(scope="module")
def nominal(make):
    return make(NOMINAL)


@pytest.fixture(scope="module")
def cells(make, poses):
    """The same two worlds in one look after the other: the pictures by look, and the values of all axes (B,)."""
    images, count = make(list(CELLS.values())), len(CELLS)
    same_poses = jax.tree.map(lambda leaf: np.concatenate([leaf[:2]] * count), poses)
    shot = shoot(images, same_poses, repeat=count, worlds=2 * count)
    pictures = {
        name: {tensor: rows[2 * cell : 2 * cell + 2] for tensor, rows in shot.items()}
        for cell, name in enumerate(CELLS)
    }
    return pictures, images.look_values(images.draw(make_key(0), 2 * count, count)[1])


@pytest.fixture(scope="module")
def poses(profile, model):
    """The poses of four worlds at the start of an episode."""
    env = make_env(profile, "insertion", WORLDS, seed=0, images=True)
    return jax.device_get(stepping.reset(env, make_key(3)).physics.poses)


def shoot(images, poses, key=0, frame=0, repeat=1, worlds=WORLDS):
    look, drawn = images.draw(make_key(key), worlds, repeat)
    return {name: np.asarray(tensor) for name, tensor in images.take(make_key(frame), poses, look, drawn).items()}


def same(one, other):
    return {name for name in one if np.array_equal(one[name], other[name])}


def children() -> set[int]:
    """Return the drawing processes of this one."""
    found = set()
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if b"s2rctl.render.laboratory.worker" in words and parent == os.getpid():
            found.add(int(folder.name))
    return found


def test_an_environment_plays_in_it(profile, harsh):
    images = harsh
    env = make_env(profile, "insertion", WORLDS, seed=0, images=True, imaging=images)
    usual = make_env(profile, "insertion", WORLDS, seed=0, images=True)
    state, own = (stepping.reset(one, make_key(1)) for one in (env, usual))
    assert np.array_equal(state.physics.qpos, own.physics.qpos)  # the same starts as in the training's own worlds
    seen = state.observation.inputs
    for name, tensor in own.observation.inputs.items():
        assert (seen[name].shape, seen[name].dtype) == (tensor.shape, tensor.dtype)
    assert not np.array_equal(seen["rgb_wrist_cam_left"], own.observation.inputs["rgb_wrist_cam_left"])
    state, _ = stepping.step(env, state, np.zeros((WORLDS, env.action_size), np.float32))
    assert not np.array_equal(seen["rgb_wrist_cam_left"], state.observation.inputs["rgb_wrist_cam_left"])
    values = images.look_values(state.image)
    assert set(values) == set(LOOK_AXES)
    for name, value in values.items():
        low, high = getattr(HarshLook(), name) if name != "meshes" else (0, 0)
        assert value.shape == (WORLDS,)
        assert (value >= low).all() and (value <= high).all()


def test_equal_keys_give_equal_pictures_bit_for_bit_however_many_processes_draw(make, harsh, poses):
    alone = make(HarshLook().at(meshes=0), processes=1)
    one, other = shoot(alone, poses), shoot(harsh, poses)
    alone.close()
    assert same(one, other) == set(one)
    assert not same(one, shoot(harsh, poses, key=1))
    assert not same(one, shoot(harsh, poses, frame=1))


def test_a_held_axis_changes_its_cell_and_no_other(cells):
    """Cells have the same draws: what differs is what their ranges differ in."""
    pictures, values = cells
    held = values["table_lightness"].reshape(len(CELLS), 2)
    assert {name: set(row) for name, row in zip(CELLS, held, strict=True)} == {
        name: {0.4 if name == "table" else 0.0} for name in CELLS
    }
    plain, table = pictures["nominal"], pictures["table"]
    assert np.array_equal(plain["depth_wrist_cam_left"], table["depth_wrist_cam_left"])
    assert (plain["rgb_wrist_cam_left"].mean() + 20) < table["rgb_wrist_cam_left"].mean()


def test_worlds_that_are_no_whole_cells_are_refused(make):
    images = make([NOMINAL] * 3)
    with pytest.raises(UsageError):
        images.look_values(images.draw(make_key(0), WORLDS)[1])


def test_the_nominal_world_looks_like_the_trainings_own(profile, model, nominal, poses):
    """Same bodies, cameras and colours in another renderer: without brightness and noise the pictures are alike."""
    plain = profile.model_copy(
        update={
            "vision": profile.vision.model_copy(
                update={
                    "shadows": False,
                    "depth_noise": None,
                    "appearance": profile.vision.appearance.model_copy(
                        update={"brightness": (1.0, 1.0), "pixel_noise": 0.0}
                    ),
                }
            )
        }
    )
    usual = make_images(plain, "insertion", model)
    look, drawn = usual.draw(make_key(0), WORLDS)
    own = {name: np.asarray(tensor) for name, tensor in usual.take(make_key(0), poses, look, drawn).items()}
    shot = shoot(nominal, poses)
    for name in own:
        difference = np.abs(shot[name].astype(int) - own[name])
        assert np.median(difference) <= 6, name
        assert (difference > 40).mean() < 0.08, name


@pytest.mark.parametrize("axis", EDGES)
def test_a_camera_on_the_edge_sees_something_else(cells, axis):
    assert not same(cells[0]["still"], cells[0][axis])


@needs_meshes
def test_meshes_are_an_axis(cells):
    assert not same(cells[0]["nominal"], cells[0]["meshes"])


def test_a_process_that_dies_is_an_error_and_the_next_picture_starts_new_ones(nominal, poses):
    nominal.close()
    before = children()
    shot = shoot(nominal, poses)
    mine = children() - before
    assert len(mine) == 2
    os.kill(min(mine), signal.SIGKILL)
    with pytest.raises((RunError, jax.errors.JaxRuntimeError), match="has ended"):
        shoot(nominal, poses)
    assert same(shot, shoot(nominal, poses)) == set(shot)


def test_nothing_is_left_when_it_is_closed(nominal, poses):
    folders = [path for path in (Path("/dev/shm"), Path("/tmp")) if path.is_dir()]
    shoot(nominal, poses)
    running = children()
    assert not [path for folder in folders for path in folder.glob("s2rctl-look-*")]
    nominal.close()
    deadline = time.monotonic() + 20
    while len(running - children()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(running - children()) == 2


def test_what_is_missing_is_said_before_the_first_picture(make, monkeypatch, tmp_path):
    with pytest.raises(UsageError, match="no photographs"):
        make(LookRanges(pictures=str(tmp_path)))
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    require_opengl.cache_clear()
    with pytest.raises(MissingEnvironmentError, match="OpenGL"):
        make(NOMINAL)
    require_opengl.cache_clear()


def test_it_is_no_renderer_that_a_profile_can_train_with():
    assert not [row for row in RENDERERS.rows.values() if "laboratory" in row]


def test_policies_of_other_looks_meet_the_same_worlds(profile, model, make, poses):
    """A profile whose own looks are wild says what the laboratory's are before their changes."""
    plain = profile.vision.appearance.model_dump(mode="json", exclude_defaults=True)
    wild = load_profile(
        "aloha-smoke",
        [
            "vision.appearance.background={}",
            "vision.appearance.distractors=[{most: 2, low_m: [0, 0, 0], high_m: [1, 1, 1], size_m: [0.01, 0.02]}]",
            "vision.appearance.sizes=[{geoms: ['body:*'], spread: 0.3}]",
            "vision.appearance.light_intensity=0.5",
            f"evaluate.tiers.scene={json.dumps(plain)}",
        ],
    ).profile
    ours = make(NOMINAL)
    theirs = laboratory_images(wild, "insertion", model, NOMINAL, processes=2)
    free = load_profile("aloha-smoke", ["vision.appearance.background={}"]).profile
    drawn = laboratory_images(free, "insertion", model, NOMINAL, processes=2)
    try:
        here, there = shoot(ours, poses), shoot(theirs, poses)
        assert same(here, there) == set(here)
        assert same(here, shoot(drawn, poses)) == set(here)  # what only the ray caster draws is left to it
    finally:
        theirs.close()
        drawn.close()
