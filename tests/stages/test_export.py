"""The closed loop of the export gate, on a scripted environment."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.env.build import make_env
from s2rctl.env.types import Step
from s2rctl.schema.contract import Contract, Tensor
from s2rctl.schema.load import load_profile
from s2rctl.stages import export
from s2rctl.stages.policies import Player
from s2rctl.tasks.protocol import Observation
from tests.control.rigs import write_policy

WORLDS, STEPS = 16, 5


class Threshold:
    """An episode succeeds when its action stays above 0.5."""

    worlds = WORLDS
    task = SimpleNamespace(episode_steps=STEPS, failures=("none", "timeout"))

    def reset(self, key):
        return State(jnp.zeros((), jnp.int32))

    def step(self, state, action):
        time = state.time + 1
        zeros = jnp.zeros(WORLDS)
        done = jnp.broadcast_to(time == STEPS, (WORLDS,))
        success = action[:, 0] > 0.5
        failure = jnp.ones(WORLDS, jnp.int32)
        off = zeros.astype(bool)
        step = Step(zeros, {}, done, done, success, failure, off, off, State(time).observation)
        return State(time), step


@jax.tree_util.register_pytree_node_class
class State:
    def __init__(self, time):
        self.time = time

    @property
    def observation(self):
        seen = jnp.arange(WORLDS, dtype=jnp.float32)[:, None] + self.time
        return Observation(seen, seen, {"goal": seen})

    @property
    def physics(self):
        return SimpleNamespace(qpos=self.observation.actor, ctrl=self.observation.actor)

    def tree_flatten(self):
        return (self.time,), None

    @classmethod
    def tree_unflatten(cls, _, leaves):
        return cls(*leaves)


def context(observations=40):
    settings = SimpleNamespace(observations=observations, max_difference=1e-5)
    return SimpleNamespace(
        profile=SimpleNamespace(export=settings), seed=0, reporter=NullReporter(), interrupt=Interrupt()
    )


def constant(value):
    return lambda observation: np.full((WORLDS, 1), value, np.float32)


def player(value):
    return Player(None, "scripted", constant(value), images=False, pilot=None)


@pytest.mark.parametrize(
    ("jax_says", "onnx_says", "passed"),
    [
        (0.75, 0.75 + 1e-6, True),
        (0.75, 0.75 + 1e-4, False),  # another action, although the outcomes are the same
        (0.500001, 0.4999999, False),  # hardly another action, but every outcome differs
        (0.75, np.nan, False),
    ],
)
def test_onnx_must_act_and_succeed_as_jax_does(jax_says, onnx_says, passed):
    env = Threshold()
    driven = export._drive(env, export.Recorder(constant(jax_says), ("goal",)), player(jax_says), context())
    loop = export._closed_loop(context(), env, driven, player(jax_says), constant(onnx_says))
    assert loop.passed is passed
    assert loop.episodes == WORLDS and loop.jax_successes == WORLDS


def test_actions_are_compared_in_the_unit_that_the_graph_says_them_in():
    env, near = Threshold(), player(0.75)
    driven = export._drive(env, export.Recorder(near.act, ("goal",)), near, context())
    loops = [export._closed_loop(context(), env, driven, near, constant(0.7501), unit) for unit in (1.0, 0.03)]
    assert [loop.passed for loop in loops] == [False, True]
    assert loops[1].max_difference == pytest.approx(0.03 * loops[0].max_difference)


def test_recorded_observations_come_from_whole_episodes_and_are_as_many_as_asked():
    recorder = export.Recorder(constant(0.75), ("goal", "observation"))
    export._drive(Threshold(), recorder, player(0.75), context(observations=200))
    assert recorder.count >= 200 > WORLDS * STEPS
    found = recorder.observations(50)
    assert found["goal"].shape == found["observation"].shape == (50, 1)
    # World w is seen at w, w + 1, ...: the first world at the start, the last one at the end.
    assert found["goal"].min() == 0 and found["goal"].max() == WORLDS - 1 + STEPS - 1


def test_estimates_are_compared_with_kinematics_on_the_export_s_own_episodes(monkeypatch, tmp_path):
    profile = load_profile("xarm7-smoke", ["tasks.reach.episode_steps=5"]).profile
    env = make_env(profile, "reach", 4, seed=0, images=False)
    # Always estimates the foot of the robot: half a metre off.
    made = blind_reach_card()
    content = write_policy(tmp_path / "policy.onnx", made, np.zeros(3), {"goal": np.zeros((3, 3))}).read_bytes()
    monkeypatch.setattr(export, "ESTIMATE_EPISODES", 6)
    job = SimpleNamespace(profile=profile, seed=0, interrupt=Interrupt())
    graph = SimpleNamespace(outputs={"action": 3, "position": 3})
    scripted = Player(None, "reach", None, images=False, pilot=None)
    (found,) = export._estimates(job, graph, env, scripted, content, made)
    assert (found.output, found.of, found.frame, found.episodes) == ("position", "tcp", "base", 6)
    assert 0.2 < found.median_m <= found.p95_m <= found.p99_m < 0.8
    assert found.filter_s == profile.deploy.safety.perception.filter_s
    assert found.median_m > found.filtered_max_m - 0.3 and found.filtered_max_m > 0.3  # five images fill most of seven
    assert export._estimates(job, SimpleNamespace(outputs={"action": 3}), env, scripted, content, made) == ()


def blind_reach_card():
    def tensor(name, **more):
        return Tensor(name=name, dtype="float32", shape=("batch", 3), meaning=name, unit="m", **more)

    return Contract(
        policy="reach/xarm7",
        robot="xarm7",
        rate_hz=20.0,
        inputs=(tensor("goal"),),
        outputs=(tensor("action"), tensor("position")),
        action_meaning="displacement in m",
        action_scale=(0.015,) * 3,
    )
