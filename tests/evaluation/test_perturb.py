"""Every perturbation changes what happens, and one that could not is refused."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from s2rctl.core.errors import UsageError
from s2rctl.core.resources import data_folder
from s2rctl.env.build import make_images, make_model
from s2rctl.env.dynamics import dynamic_edits, held
from s2rctl.env.images import spoil_colours
from s2rctl.env.keys import make_key
from s2rctl.env.randomise import model_edits
from s2rctl.env.vec_env import VecEnv
from s2rctl.evaluation.perturb import PERTURBATIONS, Situation, apply, parse
from s2rctl.evaluation.worlds import Worlds, make_worlds
from s2rctl.render.depth_noise import depth_faults
from s2rctl.schema.load import load_profile
from s2rctl.schema.profile import Profile

WORLDS = 2
SMALL = [f"vision.cameras.{i}.{side}=20" for i in (0, 1) for side in ("width", "height")]


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load_profile("aloha", SMALL).profile


@pytest.fixture(scope="module")
def situation(profile: Profile) -> Situation:
    return Situation(profile, "insertion", True, make_model(profile, "insertion"))


# Which part of a rollout each perturbation acts on; the slow test below looks at whole rollouts.
LOOKS = ("camera", "camera_rotation", "camera_fovy", "light", "light_direction", "brightness")
PIXELS = ("pixel_noise", "depth_blackout", "depth_loss")
DELAYS = ("latency", "observation_latency")
MODEL = ("friction", "mass", "arm_mass", "links", "gain", "damping")


def test_every_perturbation_is_tested_here() -> None:
    assert {*LOOKS, *PIXELS, *DELAYS, *MODEL, "noise"} == set(PERTURBATIONS)


@pytest.fixture(scope="module")
def drawn(situation: Situation) -> Callable[[Profile], list[np.ndarray]]:
    """Return a function from a profile to what is drawn for an episode: cameras, lights, brightness."""

    def draw(profile: Profile) -> list[np.ndarray]:
        images = make_images(profile, "insertion", situation.model)
        return [np.asarray(leaf) for leaf in jax.tree.leaves(images.draw(jax.random.key(3), WORLDS))]

    return draw


@pytest.mark.parametrize("name", LOOKS)
def test_episodes_look_different(name: str, situation: Situation, drawn: Callable[[Profile], list[np.ndarray]]) -> None:
    profile, axes = apply(situation, {name: PERTURBATIONS[name].example})
    assert not axes
    assert any(np.any(a != b) for a, b in zip(drawn(situation.profile), drawn(profile), strict=True))


def test_pixels_get_noisier(situation: Situation) -> None:
    grey = jnp.full((WORLDS, 1, 8, 8, 3), 128, jnp.uint8)

    def spread(profile: Profile) -> float:
        noise = profile.vision.appearance.pixel_noise
        return float(np.std(spoil_colours(jax.random.key(0), grey, jnp.ones((WORLDS, 1)), noise)))

    changed, _ = apply(situation, {"pixel_noise": 0.1})
    assert spread(changed) > 3 * spread(situation.profile) > 0


@pytest.mark.parametrize("name", ["depth_blackout", "depth_loss"])
def test_depth_gets_worse(name: str, situation: Situation) -> None:
    wall = jnp.full((64, 8, 8), 0.2)

    def lost(profile: Profile) -> float:
        assert profile.vision.depth_noise is not None
        return float(np.mean(depth_faults(jax.random.key(0), wall, profile.vision.depth_noise, 0.4) == 0))

    changed, _ = apply(situation, {name: PERTURBATIONS[name].example})
    assert lost(changed) > lost(situation.profile) + 0.03


@pytest.mark.parametrize("name", DELAYS)
def test_latency_shifts_the_delays_by_its_time(name: str, situation: Situation) -> None:
    def mean(profile: Profile, kind: str) -> float:
        weights = np.asarray(getattr(profile.tasks.insertion.delays, kind))  # type: ignore[union-attr]
        return float(np.sum(np.arange(len(weights)) * weights) / np.sum(weights))

    kinds = ("joint_action", "gripper_action") if name == "latency" else ("observation",)
    for seconds in (0.05, 0.02, 0.13):  # one step, a part of one, and more
        changed, _ = apply(situation, {name: seconds})
        for kind in ("joint_action", "gripper_action", "observation"):
            expected = 20 * seconds if kind in kinds else 0.0
            assert mean(changed, kind) - mean(situation.profile, kind) == pytest.approx(expected, abs=1e-6)


def test_noise_multiplies_what_is_measured(situation: Situation) -> None:
    changed, _ = apply(situation, {"noise": 2.0})
    before, after = (p.tasks.insertion.noise for p in (situation.profile, changed))  # type: ignore[union-attr]
    assert before.joint_pos > 0
    assert after.model_dump() == {name: 2 * value for name, value in before.model_dump().items()}


@pytest.fixture(scope="module")
def plain(profile: Profile) -> VecEnv:
    return make_worlds(Worlds(profile, "pick", WORLDS, 0, False, {}))


def _collide(env: VecEnv) -> np.ndarray:
    """Let the arm, while it moves, push away the box that is in its gripper's place; return where everything is."""
    start = jax.vmap(env.task.reset)(jax.random.split(make_key(1), WORLDS), env.params)
    data = mujoco.MjData(env.model)
    data.qpos[:] = np.asarray(start.qpos[0])
    mujoco.mj_forward(env.model, data)
    inside = jnp.asarray(data.site("left/gripper").xpos, jnp.float32)
    state = env.physics.init(start.qpos.at[:, -7:-4].set(inside), start.qvel, start.ctrl)
    for _ in range(6):
        state = env.physics.step(state, start.ctrl + 0.1)
    return np.asarray(state.qpos)


@pytest.fixture(scope="module")
def undisturbed(plain: VecEnv) -> np.ndarray:
    return _collide(plain)


@pytest.mark.parametrize("name", MODEL)
def test_the_world_moves_differently(name: str, undisturbed: np.ndarray, profile: Profile) -> None:
    env = make_worlds(Worlds(profile, "pick", WORLDS, 0, False, {name: PERTURBATIONS[name].example}))
    assert np.max(np.abs(_collide(env) - undisturbed)) > 1e-4


def test_factors_come_on_top_of_the_tasks_own_quantities(plain: VecEnv) -> None:
    situation = Situation(load_profile("aloha").profile, "pick", False, plain.model)
    _, axes = apply(situation, {"mass": 2.0})
    own = model_edits(plain.model, plain.task.randomised, plain.params)
    edits = dynamic_edits(plain.model, plain.task, own, held(axes, WORLDS), WORLDS)
    box, arm = plain.model.body("box").id, plain.model.body("left/gripper_base").id
    assert np.ptp(own["body_mass"][:, box]) > 0  # the task gives every world its own box
    np.testing.assert_allclose(edits["body_mass"][:, box], 2 * own["body_mass"][:, box])
    np.testing.assert_allclose(edits["body_inertia"][:, box], 2 * own["body_inertia"][:, box])
    np.testing.assert_allclose(edits["body_mass"][:, arm], own["body_mass"][:, arm])


def test_several_are_applied_together(situation: Situation) -> None:
    changed, axes = apply(situation, {"friction": 0.5, "brightness": 0.5, "latency": 0.05})
    assert changed.vision.appearance.brightness == tuple(b / 2 for b in situation.profile.vision.appearance.brightness)
    assert axes == {"friction": 0.5}


@pytest.mark.parametrize(
    ("task", "images", "name"),
    [("pick", False, "camera"), ("pick", False, "depth_loss"), ("reach", True, "noise"), ("reach", True, "mass"),
     ("reach", True, "depth_blackout")],
)  # fmt: skip
def test_one_that_could_change_nothing_is_refused(task: str, images: bool, name: str) -> None:
    profile = load_profile("xarm7-reach" if task == "reach" else "aloha").profile
    situation = Situation(profile, task, images, make_model(profile, task))
    with pytest.raises(UsageError, match="would change nothing") as caught:
        apply(situation, {name: PERTURBATIONS[name].example})
    assert "latency" in caught.value.hint


@pytest.mark.parametrize(
    ("texts", "match"),
    [
        (["fricton=1"], "no perturbation 'fricton'"),
        (["friction"], "is not NAME=VALUE"),
        (["friction=a lot"], "is not NAME=VALUE"),
        (["friction=1", "friction=2"], "given twice"),
        (["depth_loss=1.5"], "out of range"),
        (["latency=nan"], "out of range"),
    ],
)
def test_what_is_no_perturbation_is_refused(texts: list[str], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        parse(texts)
    assert parse(["friction=0.5", "latency=0.1"]) == {"friction": 0.5, "latency": 0.1}


def test_the_documentation_names_them_all() -> None:
    text = (data_folder("profiles").parent / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for name, row in PERTURBATIONS.items():
        assert f"| `{name}` | {row.unit or '-'} | {row.text} |" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_whole_rollout_changes(name: str, profile: Profile) -> None:
    from s2rctl.env import stepping

    task = "pick" if name in (*MODEL, *DELAYS, "noise") else "insertion"

    def roll(perturb: dict[str, float]) -> list[np.ndarray]:
        env = make_worlds(Worlds(profile, task, WORLDS, 0, task == "insertion", perturb))
        state = stepping.reset(env, make_key(0))
        for _ in range(4):
            state, _ = stepping.step(env, state, jnp.full((WORLDS, env.action_size), 0.5))
        return [np.asarray(state.physics.qpos), *map(np.asarray, jax.tree.leaves(state.observation))]

    assert any(np.any(a != b) for a, b in zip(roll({}), roll({name: PERTURBATIONS[name].example}), strict=True))


def test_a_perturbation_may_go_beyond_what_a_profile_may_say() -> None:
    smoke = load_profile("xarm7-smoke").profile
    env = make_worlds(Worlds(smoke, "reach", WORLDS, 0, True, {"light_direction": 180.0, "latency": 2.0}))
    assert env.worlds == WORLDS and len(env.delays.joint_action) > 40
