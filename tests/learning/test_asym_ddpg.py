import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.core.interrupt import Interrupt
from s2rctl.learning.checkpoint import Checkpoints
from s2rctl.learning.reach import asym_ddpg
from s2rctl.learning.reach import loop as reach_loop
from s2rctl.learning.reach import networks as reach_networks
from s2rctl.learning.reach.loop import Loop, Parts
from s2rctl.learning.reach.networks import ReachSettings
from s2rctl.learning.vision.encoder import Size, settings_for
from s2rctl.learning.vision.preprocess import Camera
from s2rctl.schema.reach import Reach
from tests.learning.toy_reach import SIZE, ToyReach

SETTINGS = ReachSettings(
    cameras=(Camera(name="side", width=SIZE, height=SIZE),),
    encoder=settings_for(Size(SIZE, SIZE), 3, 32),
    hidden=(64, 64),
    action_scale_m=0.25,
    centre_m=(0.0, 0.0, 0.0),
    spread_m=0.6,
)
REACH = Reach(
    worlds=16,
    steps=6_000,
    replay=6_000,
    warmup=500,
    batch=128,
    updates_per_step=1.0,
    discount=0.9,
    actor_learning_rate=2e-3,
    critic_learning_rate=2e-3,
    action_l2=0.01,
    hidden=(64, 64),
)


def batch(count=32, **changes):
    generator = np.random.default_rng(0)
    found = {
        "rgb_side": generator.integers(0, 255, (count, SIZE, SIZE, 3), np.uint8),
        "next_rgb_side": generator.integers(0, 255, (count, SIZE, SIZE, 3), np.uint8),
        "reward": generator.normal(size=count).astype(np.float32),
        "terminated": np.zeros(count, np.float32),
        "valid": np.ones(count, np.float32),
    }
    for name in ("position", "next_position", "goal", "action"):
        found[name] = generator.uniform(-1, 1, (count, 3)).astype(np.float32)
    for name in ("motion", "next_motion"):
        found[name] = generator.uniform(-0.03, 0.03, (count, 6)).astype(np.float32)
    return {name: jnp.asarray(value) for name, value in (found | changes).items()}


def truth(data, prefix=""):
    return reach_networks.Truth(data[f"{prefix}position"], data[f"{prefix}motion"])


@pytest.fixture(scope="module")
def learner():
    return asym_ddpg.init(jax.random.key(0), SETTINGS, REACH)


def test_critic_loss_is_the_bellman_error_with_target_networks(learner):
    data = batch()
    seen = reach_networks.decide(
        learner.target_actor, SETTINGS, {"rgb_side": data["next_rgb_side"], "goal": data["goal"]}
    )
    (future,) = reach_networks.values(learner.target_critic, SETTINGS, truth(data, "next_"), data["goal"], seen.action)
    (now,) = reach_networks.values(learner.critic, SETTINGS, truth(data), data["goal"], data["action"])
    expected = np.mean((np.asarray(now) - (np.asarray(data["reward"]) + 0.9 * np.asarray(future))) ** 2)
    np.testing.assert_allclose(
        asym_ddpg.critic_loss(learner.critic, learner, SETTINGS, REACH, data), expected, rtol=1e-5
    )


def test_of_two_critics_the_smaller_target_counts(learner):
    reach = REACH.model_copy(update={"variant": "twin"})
    twin = asym_ddpg.init(jax.random.key(0), SETTINGS, reach)
    assert set(twin.critic) == {"q0", "q1"}
    low = jax.tree.map(jnp.zeros_like, twin.target_critic["q1"])
    low["output"]["bias"] = jnp.array([-50.0])  # always says -50
    data = batch()
    twin = twin._replace(target_critic={**twin.target_critic, "q1": low})
    now = reach_networks.values(twin.critic, SETTINGS, truth(data), data["goal"], data["action"])
    expected = np.mean(np.sum((np.asarray(now) - (np.asarray(data["reward"]) - 0.9 * 50.0)) ** 2, axis=0))
    np.testing.assert_allclose(asym_ddpg.critic_loss(twin.critic, twin, SETTINGS, reach, data), expected, rtol=1e-4)


def test_terminated_transitions_are_not_bootstrapped_and_invalid_ones_do_not_count(learner):
    ended = batch(terminated=jnp.ones(32))
    other_future = ended | {"next_position": ended["next_position"] + 1, "next_rgb_side": ended["rgb_side"]}
    first, second = (asym_ddpg.critic_loss(learner.critic, learner, SETTINGS, REACH, b) for b in (ended, other_future))
    np.testing.assert_allclose(first, second)
    half = jnp.arange(32) < 16
    spoiled = batch(valid=half.astype(jnp.float32))
    spoiled["reward"] = jnp.where(half, spoiled["reward"], 1e6)
    assert asym_ddpg.critic_loss(learner.critic, learner, SETTINGS, REACH, spoiled) < 100


def test_bottleneck_weight_adds_the_position_error_and_plain_has_none(learner):
    def loss(**changes):
        reach = REACH.model_copy(update=changes)
        return asym_ddpg.actor_loss(learner.actor, learner.critic, SETTINGS, reach, batch())

    (without, parts), (once, _), (thrice, _) = (loss(bottleneck=weight) for weight in (0.0, 1.0, 3.0))
    miss = (parts["position_error_mm"] / 600) ** 2 / 3
    np.testing.assert_allclose(once - without, miss, rtol=1e-3)
    np.testing.assert_allclose(thrice - without, 3 * miss, rtol=1e-3)
    np.testing.assert_allclose(loss(variant="plain", bottleneck=3.0)[0], without, rtol=1e-6)


def test_the_gradient_of_the_critic_reaches_the_extractor_without_a_bottleneck(learner):
    plain = REACH.model_copy(update={"variant": "plain"})
    gradient = jax.grad(lambda a: asym_ddpg.actor_loss(a, learner.critic, SETTINGS, plain, batch())[0])(learner.actor)
    assert jnp.any(gradient["extractor"]["conv_0"]["Dense_0"]["kernel"] != 0)


def test_targets_move_by_the_polyak_share(learner):
    after, _ = asym_ddpg.update(learner, SETTINGS, REACH, batch())
    for new, old, target in zip(
        *(jax.tree.leaves(tree) for tree in (after.critic, learner.target_critic, after.target_critic)), strict=True
    ):
        np.testing.assert_allclose(target, 0.95 * old + 0.05 * new, atol=1e-6)


def test_an_initialised_extractor_learns_at_its_own_share_of_the_rate():
    def moved(share):
        reach = REACH.model_copy(update={"extractor_rate": share})
        before = asym_ddpg.init(jax.random.key(0), SETTINGS, reach).actor
        learner = asym_ddpg.init(jax.random.key(0), SETTINGS, reach)
        after = asym_ddpg.update(learner, SETTINGS, reach, batch())[0].actor
        return jax.tree.map(lambda a, b: float(jnp.max(jnp.abs(a - b))), after, before)

    whole, quarter = moved(1.0), moved(0.25)
    assert quarter["position"]["regression"]["kernel"] == pytest.approx(
        0.25 * whole["position"]["regression"]["kernel"], rel=0.01
    )
    assert jax.tree.leaves(quarter["policy"]) == pytest.approx(jax.tree.leaves(whole["policy"]), rel=0.01)


def test_exploration_is_bounded_and_as_random_as_asked():
    action = jnp.full((4000, 3), 0.5)
    quiet = asym_ddpg.explore(jax.random.key(0), action, jnp.float32(0.0), jnp.float32(0.0))
    np.testing.assert_array_equal(quiet, action)
    wild = asym_ddpg.explore(jax.random.key(0), action, jnp.float32(0.0), jnp.float32(0.3))
    assert 0.26 < float(jnp.mean(jnp.any(wild != action, axis=1))) < 0.34
    noisy = asym_ddpg.explore(jax.random.key(0), action, jnp.float32(5.0), jnp.float32(0.0))
    assert jnp.max(jnp.abs(noisy)) <= 1.0


ENV = ToyReach(REACH.worlds)


def tool_position(observation):
    return observation.critic


def motion(observation):
    return jnp.zeros((*observation.critic.shape[:-1], 6))


def make_loop(reach, folder=None):
    replay = reach_loop.make_replay(ENV, SETTINGS, reach, folder)
    return Loop(Parts(ENV, SETTINGS, reach, tool_position, motion, replay, seed=3))


def test_it_learns_to_reach_from_images():
    loop = make_loop(REACH)
    start = asym_ddpg.init(jax.random.key(1), SETTINGS, REACH)
    before = reach_loop.judge(loop.parts, start.actor, 64)
    figures = []
    snapshot = loop.run(loop.start(start), lambda s: None, lambda n, m: figures.append(m), Interrupt())
    after = reach_loop.judge(loop.parts, snapshot.learner.actor, 64)
    assert len(after.success) == 64
    assert np.median(before.final_error_m) > 0.6
    assert np.median(after.final_error_m) < 0.35, (np.median(after.final_error_m), figures[-1])
    assert figures[-1]["position_error_mm"] < 0.5 * figures[8]["position_error_mm"]


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    reach = REACH.model_copy(update={"steps": 16 * 8 * 6, "warmup": 128, "updates_per_step": 0.5})

    def start(loop):
        return loop.start(asym_ddpg.init(jax.random.key(1), SETTINGS, reach))

    whole = make_loop(reach)
    expected = whole.run(start(whole), lambda s: None, lambda n, m: None, Interrupt())

    first, flag = make_loop(reach, tmp_path / "replay"), Interrupt()
    checkpoints = Checkpoints(tmp_path / "checkpoints")

    def stop_in_the_middle(steps, metrics):
        flag.requested = steps >= 16 * 8 * 3

    halted = first.run(start(first), lambda s: checkpoints.save(int(s.chunks), s), stop_in_the_middle, flag)
    assert int(halted.chunks) == 3
    del first, halted

    second = make_loop(reach, tmp_path / "replay")
    snapshot = checkpoints.restore(start(second))
    second.parts.replay.move_to(snapshot.replay)
    resumed = second.run(snapshot, lambda s: None, lambda n, m: None, Interrupt())
    assert int(resumed.updates) == int(expected.updates) > 0
    for one, other in zip(jax.tree.leaves(resumed.learner), jax.tree.leaves(expected.learner), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_hindsight_puts_in_places_that_the_tool_reached_later_in_the_episode():
    reach = REACH.model_copy(update={"hindsight": 1.0, "warmup": 10_000, "replay": 800})
    replay = reach_loop.make_replay(ENV, SETTINGS, reach)

    def reward(position, goal):
        return -np.linalg.norm(position - goal, axis=-1)

    parts = Parts(ENV, SETTINGS, reach, tool_position, motion, replay, 3, reward)
    loop = Loop(parts)
    snapshot = loop.start(asym_ddpg.init(jax.random.key(1), SETTINGS, reach))
    for _ in range(3):
        snapshot, _ = loop.chunk(snapshot)
    found = reach_loop.sample(parts, np.random.default_rng(0))
    positions = {tuple(p) for p in np.concatenate(replay._arrays["position"][: replay.filled])}
    relabelled = np.array([tuple(goal) in positions for goal in found["goal"]])
    last = found["step"] == ENV.task.episode_steps - 1
    assert relabelled[~last].mean() > 0.7 and not relabelled[last].any()
    np.testing.assert_allclose(
        found["reward"][relabelled], reward(found["next_position"], found["goal"])[relabelled], atol=1e-5
    )
    plain = Parts(ENV, SETTINGS, REACH, tool_position, motion, replay, 3, reward)
    assert not any(tuple(goal) in positions for goal in reach_loop.sample(plain, np.random.default_rng(0))["goal"])


def test_a_frozen_extractor_learns_from_what_it_saw_as_from_the_images(learner):
    data = batch()
    images = {"rgb_side": data["rgb_side"]}, {"rgb_side": data["next_rgb_side"]}
    seen, following = (reach_networks.locate(learner.actor, SETTINGS, each) for each in images)
    kept = {name: value for name, value in data.items() if "rgb" not in name} | {"seen": seen, "next_seen": following}
    np.testing.assert_allclose(
        asym_ddpg.critic_loss(learner.critic, learner, SETTINGS, REACH, kept),
        asym_ddpg.critic_loss(learner.critic, learner, SETTINGS, REACH, data),
        rtol=1e-5,
    )
    after, _ = asym_ddpg.update(learner, SETTINGS, REACH, kept)
    whole, _ = asym_ddpg.update(learner, SETTINGS, REACH, data)
    for part in ("extractor", "position"):
        jax.tree.map(np.testing.assert_array_equal, after.actor[part], learner.actor[part])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), after.actor["policy"], whole.actor["policy"])


def test_the_experience_of_a_frozen_extractor_holds_no_images():
    reach = REACH.model_copy(update={"freeze_extractor": True, "steps": 1_000})
    loop = make_loop(reach)
    learner = asym_ddpg.init(jax.random.key(0), SETTINGS, reach)
    end = loop.run(loop.start(jax.tree.map(jnp.copy, learner)), lambda s: None, lambda n, m: None, Interrupt())
    rows = loop.parts.replay.sample(np.random.default_rng(0), 4, ("seen",))
    assert "seen" in rows and "next_seen" in rows and not any("rgb" in name for name in rows)
    jax.tree.map(np.testing.assert_array_equal, end.learner.actor["extractor"], learner.actor["extractor"])
