from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.core.errors import RunError
from s2rctl.core.progress import NullReporter
from s2rctl.env.types import Step
from s2rctl.learning.policy_files import Policy, load_policy, save_policy
from s2rctl.learning.teacher import handover as teachers
from s2rctl.learning.teacher import networks, normalise
from s2rctl.tasks.protocol import Observation, Start

SETTINGS = networks.TeacherSettings(observation_size=5, action_size=2, hidden=(8,))
HIGH = 3.0


class LiftState(NamedTuple):
    physics: SimpleNamespace
    task: jax.Array
    observation: Observation


class Lift:
    """Worlds in which the action raises a height; the learner takes over above HIGH. World 0 falls at once."""

    def __init__(self, worlds):
        self.worlds, self.action_size = worlds, 1
        self.task = SimpleNamespace(episode_steps=8, acting=lambda height: height > HIGH)

    def reset(self, key):
        return self._state(jnp.zeros(self.worlds) + 0.1 * jax.random.uniform(key, (self.worlds,)))

    def step(self, state, action):
        height = state.task + action[:, 0]
        done = jnp.arange(self.worlds) == 0
        none = jnp.zeros(self.worlds)
        step = Step(none, {}, done, done, done, none, done, height > HIGH, state.observation)
        return self._state(jnp.where(done, 99.0, height)), step

    def world(self, state):
        return state.task

    def _state(self, height):
        rows = height[:, None]
        return LiftState(Physics(rows, rows, rows), height, Observation(rows, rows, {}))


class Physics(NamedTuple):
    qpos: jax.Array
    qvel: jax.Array
    ctrl: jax.Array


class Notes(NullReporter):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def lazy(observation):
    return jnp.zeros((len(observation.actor), 1))


def eager(observation):
    return jnp.ones((len(observation.actor), 1))


def expert(height):
    return jnp.ones(1)


def test_the_bank_holds_the_states_of_the_switch():
    reporter = Notes()
    bank = teachers.build_bank(Lift(80), eager, expert, jax.random.key(0), reporter)
    heights = np.asarray(bank.qpos)[:, 0]
    assert len(heights) == 79 and not reporter.notes  # all but the world that fell
    assert ((heights > HIGH) & (heights <= HIGH + 1.1)).all()
    assert len(set(heights.tolist())) == 79


def test_the_expert_fills_the_bank_when_the_policy_cannot():
    reporter = Notes()
    bank = teachers.build_bank(Lift(40), lazy, expert, jax.random.key(0), reporter)
    assert teachers.size_of(bank) >= teachers.SMALLEST_BANK
    assert len(reporter.notes) == 1 and "0 of 40" in reporter.notes[0]


def test_no_bank_when_nobody_gets_there():
    with pytest.raises(RunError, match="only 0 episodes"):
        teachers.build_bank(Lift(4), lazy, lambda height: jnp.zeros(1), jax.random.key(0), Notes())


def test_a_bank_comes_back_from_its_file(tmp_path):
    bank = teachers.build_bank(Lift(80), eager, expert, jax.random.key(0), Notes())
    teachers.save_bank(tmp_path / "bank", bank)
    again = teachers.load_bank(tmp_path / "bank", Start(0, 0, 0, 0))
    for a, b in zip(again, bank, strict=True):
        np.testing.assert_array_equal(a, b)


def pick_policy(folder) -> Policy:
    actor = networks.init_actor(jax.random.key(0), SETTINGS)
    params = {"actor": actor, "normaliser": normalise.published(normalise.start(5))}
    save_policy(folder, "teacher", SETTINGS.model_dump(mode="json"), params)
    return load_policy(folder)


@pytest.mark.parametrize("arms", [1, 2, 3])
def test_the_pilot_is_the_pick_policy_on_each_arm(tmp_path, arms):
    policy = pick_policy(tmp_path)
    rows = jax.random.normal(jax.random.key(1), (6, 5 * arms + 3))
    actions = teachers.arm_pilot(policy, 2 * arms)(Observation(rows, rows, {}))
    assert actions.shape == (6, 2 * arms)
    for first, columns in ((5 * arm, slice(2 * arm, 2 * arm + 2)) for arm in range(arms)):
        part = rows[:, first : first + 5]
        np.testing.assert_allclose(actions[:, columns], policy.act(Observation(part, part, {})), atol=1e-6)


def test_only_a_state_teacher_can_be_a_pilot():
    with pytest.raises(RunError, match="student"):
        teachers.arm_pilot(Policy("student", {}, {}, lambda observation: observation.actor), 4)


def test_a_robot_is_made_of_whole_arms(tmp_path):
    for actions in (0, 1, 5):
        with pytest.raises(RunError, match=f"a command of {actions} entries"):
            teachers.arm_pilot(pick_policy(tmp_path), actions)
