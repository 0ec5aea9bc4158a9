from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.core.errors import Interrupted
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.learning.checkpoint import Checkpoints
from s2rctl.learning.metrics_log import MetricsLog, read
from s2rctl.learning.teacher import networks, ppo_loss, training
from s2rctl.learning.teacher.ppo import PpoTrainer
from s2rctl.learning.teacher.rollout import first_episodes
from s2rctl.schema.learning import Network, Ppo
from tests.learning.point_mass import PointWorlds

SMALL = Network(policy=(32, 32), value=(32, 32))
SETTINGS = Ppo(
    steps=64_000, worlds=128, unroll=10, minibatches=4, updates=4, discount=0.95, learning_rate=3e-3, entropy=1e-3
)


def trainer(env, ppo=SETTINGS):
    settings = networks.teacher_settings(env.actor_size, env.action_size, SMALL)
    return PpoTrainer(env, settings, SMALL.value, ppo, warm_started=False)


@cache
def judge_of(learner, worlds=128):
    env = PointWorlds(worlds)
    action = jax.jit(lambda params, actor: networks.teacher_action(params, learner.settings, actor))

    def judge(params):
        success, _ = first_episodes(env, lambda state: action(params, state.observation.actor), jax.random.key(7))
        return int(success.sum()), worlds

    return judge


def run(learner, folder, interrupt=None, enough=lambda s, n: False, interval=1e9, reporter=None):
    checkpoints = Checkpoints(folder / "checkpoints")
    snapshot = training.start(learner, jax.random.key(1), None, checkpoints)
    limits = training.Limits(interval, True, enough, 0.9, lambda s, n: (s / n, s / n), episodes=200, judgements=8)
    with MetricsLog(folder, int(snapshot.state.iteration) * learner.steps_per_iteration) as log:
        around = training.Surroundings(
            checkpoints, log, reporter or NullReporter(), interrupt or Interrupt(), first_step=0
        )
        return training.train(learner, snapshot, judge_of(learner), limits, around)


@cache
def full():
    return trainer(PointWorlds(128, noise=0.05, diverge=0.01))


def same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(x, y)


def test_a_point_is_brought_to_its_goal_in_spite_of_noise_and_broken_worlds(tmp_path):
    learner = full()
    untrained, _ = judge_of(learner)(learner.published(learner.start(jax.random.key(1)).learner))
    snapshot = run(learner, tmp_path)
    assert untrained < 30
    assert snapshot.best_count[0] >= 115 and snapshot.best_count[1] == 128
    log = [record for record in read(tmp_path / "metrics.jsonl") if record["kind"] == "ppo"]
    assert sum(record["diverged"] for record in log) > 0
    assert [record["step"] for record in log] == list(range(1280, 64_001, 1280))


SHORT = SETTINGS.model_copy(update={"steps": 3_200})


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """A trainer of ten iterations, its log and where it ended when nobody disturbed it."""
    learner, folder = trainer(PointWorlds(32, noise=0.05, diverge=0.01), SHORT), tmp_path_factory.mktemp("whole")
    return learner, folder, run(learner, folder)


def records(folder):
    return [(record["kind"], record["step"]) for record in read(folder / "metrics.jsonl")]


class StopAfter(NullReporter):
    """Asks to stop when so many steps are done, as Ctrl-C does."""

    def __init__(self, steps, interrupt):
        self.steps, self.interrupt = steps, interrupt

    def update(self, done, metrics):
        self.interrupt.requested = done >= self.steps


def test_an_interrupted_run_ends_with_the_bits_of_an_uninterrupted_one(short, tmp_path):
    learner, folder, whole = short
    interrupt = Interrupt()
    with pytest.raises(Interrupted):
        run(learner, tmp_path, interrupt, reporter=StopAfter(1_000, interrupt))
    assert Checkpoints(tmp_path / "checkpoints").latest() == 4
    resumed = run(learner, tmp_path)
    same(whole, resumed)
    assert records(tmp_path) == records(folder)


class Kill(NullReporter):
    """Leaves at once when so many steps are done: nothing is saved on the way out."""

    def update(self, done, metrics):
        if done >= 2_000:
            raise KeyboardInterrupt


def test_a_killed_run_repeats_what_came_after_its_checkpoint(short, tmp_path):
    learner, folder, whole = short
    with pytest.raises(KeyboardInterrupt):
        run(learner, tmp_path, interval=1e-9, reporter=Kill())
    assert Checkpoints(tmp_path / "checkpoints").latest() == 6
    resumed = run(learner, tmp_path)
    same(whole, resumed)
    assert records(tmp_path) == records(folder)


def test_training_stops_when_the_judgement_is_good_enough(tmp_path):
    learner = full()
    snapshot = run(learner, tmp_path, enough=lambda successes, episodes: successes >= 0.7 * episodes)
    assert snapshot.best_count[0] >= 0.7 * 128
    assert int(snapshot.state.iteration) < learner.iterations


def test_steps_of_the_pilot_are_not_learned_from():
    idle = trainer(PointWorlds(16, pilot_steps=99), SETTINGS.model_copy(update={"steps": 160, "entropy": 0.0}))
    before = idle.start(jax.random.key(0))
    after, figures = idle.iterate(before)
    assert float(figures["acting"]) == 0
    same(before.learner.actor, after.learner.actor)
    same(before.learner.value, after.learner.value)


def gae(reward, value, next_value, done, truncated, weight=None, discount=0.9, lam=0.8):
    arrays = [jnp.asarray(a, jnp.float32)[:, None] for a in (reward, value, next_value)]
    flags = [jnp.asarray(a, bool)[:, None] for a in (done, truncated)]
    weight = jnp.ones((len(reward), 1)) if weight is None else jnp.asarray(weight, jnp.float32)[:, None]
    return np.asarray(ppo_loss.advantages(*arrays, *flags, weight, discount, lam))[:, 0]


def test_advantages_follow_the_definition():
    rng = np.random.default_rng(0)
    reward, value, next_value = rng.normal(size=(3, 6))
    no = np.zeros(6, bool)
    delta = reward + 0.9 * next_value - value
    expected = [sum((0.9 * 0.8) ** k * delta[t + k] for k in range(6 - t)) for t in range(6)]
    np.testing.assert_allclose(gae(reward, value, next_value, no, no), expected, rtol=1e-5)


def test_an_end_by_time_is_bootstrapped_and_a_real_end_is_not():
    one, zero = np.ones(1), np.zeros(1)
    assert gae(one, zero, 10 * one, [True], [True])[0] == pytest.approx(1 + 0.9 * 10)
    assert gae(one, zero, 10 * one, [True], [False])[0] == pytest.approx(1)


def test_nothing_passes_over_the_end_of_an_episode_or_a_broken_step():
    reward = np.array([0.0, 0.0, 5.0])
    zero = np.zeros(3)
    assert gae(reward, zero, zero, [False, True, False], [False, False, False])[0] == 0
    assert gae(reward, zero, zero, [False, True, False], [False, True, False])[0] == 0
    broken = gae(np.array([1.0, 99.0, 0.0]), zero, zero, [False, True, False], [False] * 3, weight=[1, 0, 1])
    assert broken[0] == pytest.approx(1) and broken[1] == 0


def test_the_surrogate_pays_nothing_for_going_beyond_the_clip():
    draw = networks.distribution(1)
    output = jnp.array([[0.0, 0.5]])
    samples = ppo_loss.Samples(
        actor=None, critic=None, output=output, raw=jnp.array([[1.5]]), advantage=jnp.ones(1), target=jnp.zeros(1),
        warm=jnp.zeros((1, 1)), weight=jnp.ones(1),
    )  # fmt: skip
    weights = ppo_loss.Weights(jnp.float32(0), jnp.float32(0), jnp.float32(1))

    def loss(mean):
        shifted = output.at[0, 0].set(mean)
        return ppo_loss.policy_loss(shifted, samples, draw, SETTINGS, weights, jax.random.key(0))[0]

    assert float(loss(0.0)) == pytest.approx(-1.0)
    assert float(jax.grad(loss)(0.0)) < 0  # towards the action that was good
    far = 1.5
    assert float(loss(far)) == pytest.approx(-(1 + SETTINGS.clip)) and float(jax.grad(loss)(far)) == 0


@pytest.mark.parametrize("name", ["imitation", "entropy"])
def test_each_extra_term_changes_the_loss(name):
    draw = networks.distribution(2)
    output = jnp.array([[0.3, -0.2, 0.0, 0.0]])
    none, one = jnp.zeros(1), jnp.ones(1)
    samples = ppo_loss.Samples(None, None, output, jnp.zeros((1, 2)), none, none, jnp.ones((1, 2)), one)
    zero = ppo_loss.Weights(jnp.float32(0), jnp.float32(0), jnp.float32(1))
    value = partial(ppo_loss.policy_loss, output, samples, draw, SETTINGS, key=jax.random.key(0))
    assert float(value(weights=zero)[0]) == 0
    assert float(value(weights=zero._replace(**{name: jnp.float32(1)}))[0]) != 0


def test_the_time_to_the_gate_follows_from_how_fast_success_rises():
    rates = np.linspace(0.8, 0.4, 10)  # newest first: 0.044 more per iteration
    window = np.stack([np.round(1000 * rates), np.full(10, 1000)], axis=1).astype(np.int64)
    newest_half = rates[:5].mean()
    assert training.iterations_to(window, 0.9) == pytest.approx((0.9 - newest_half) / (rates[0] - rates[1]), rel=0.02)
    assert training.iterations_to(window, 0.5) == 0.0
    assert training.iterations_to(window[::-1], 0.9) is None  # it falls
    assert training.iterations_to(window, 0.0) is None  # no gate
    assert training.iterations_to(np.zeros((10, 2), np.int64), 0.9) is None
