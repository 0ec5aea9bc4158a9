"""A training as a side window: the policy of its last checkpoint acts, and newer ones take its place."""

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("viser")

from s2rctl.cli.main import main
from s2rctl.core.errors import ArtifactError
from s2rctl.learning.policy_files import SO_FAR, WEIGHTS, show_so_far
from s2rctl.learning.teacher.networks import TeacherSettings, init_actor
from s2rctl.schema.load import load_profile
from s2rctl.store.store import Store
from s2rctl.systems import policy_named
from s2rctl.tasks.protocol import Observation
from s2rctl.view.training import Learning, Training, show_training
from tests.view.rigs import toy_env

PROFILE = load_profile("xarm7-smoke").profile
EPISODE = 8


def write(run_folder, push: float) -> None:
    """Leave a policy that always does the same."""
    env = toy_env()
    settings = TeacherSettings(observation_size=env.actor_size, action_size=env.action_size, hidden=(4,))
    actor = jax.tree.map(jnp.zeros_like, init_actor(jax.random.key(0), settings))
    last = max(actor["mean"])
    actor["mean"][last]["bias"] = jnp.full(env.action_size, push)
    normaliser = {"mean": jnp.zeros(env.actor_size), "std": jnp.ones(env.actor_size)}
    show_so_far(run_folder, "teacher", settings.model_dump(mode="json"), {"actor": actor, "normaliser": normaliser})


def test_the_next_episode_begins_with_what_has_been_learned_meanwhile(tmp_path) -> None:
    write(tmp_path, 1.0)
    show = Training(toy_env(), Learning(tmp_path / SO_FAR), PROFILE, "toy")
    words = show.begin().words
    assert "renewed 0 times" in words["policy"]

    def way() -> tuple[float, str]:
        """Let one episode pass; return how far the cart went in it, and what is said of the policy."""
        moments = [show.advance() for _ in range(EPISODE - 1)]
        place = float(show.data.qpos[0])
        show.advance()
        return place, moments[-1].words["policy"]

    first, _ = way()
    write(tmp_path, -1.0)
    os.utime(tmp_path / SO_FAR / WEIGHTS, (1e9, 1e9))
    second, said = way()
    third, after = way()
    assert first > 0.01 and "renewed 0 times" in said
    assert second == pytest.approx(first, abs=1e-6), "an episode goes on with the policy that began it"
    assert third < -0.01 and "renewed 1 times" in after


def test_a_run_that_has_been_cleaned_up_keeps_its_last_policy(tmp_path) -> None:
    write(tmp_path, 0.5)
    learning = Learning(tmp_path / SO_FAR)
    (tmp_path / SO_FAR / WEIGHTS).unlink()
    assert not learning.renew()
    seen = Observation(jnp.zeros((1, toy_env().actor_size)), jnp.zeros((1, toy_env().critic_size)), {})
    action, memory = learning.actor.step(seen, {})
    np.testing.assert_allclose(action, np.tanh(0.5), atol=1e-6)
    assert memory == {}


def test_before_the_first_checkpoint_it_says_so(tmp_path) -> None:
    with pytest.raises(ArtifactError, match="not saved a policy yet"):
        show_training(Store(tmp_path), tmp_path, PROFILE, policy_named("reach", "xarm7")[1], "none")


def test_what_trains_nothing_or_does_not_run_is_refused(capsys, tmp_path) -> None:
    def said(*words: str) -> tuple[int, str]:
        code = main(["view", "xarm7-smoke", *words, "--store", str(tmp_path / "store")])
        return code, capsys.readouterr().err

    assert said("--training", "calibrate-camera")[0] == 2
    assert said("--training", "train-reach", "--task", "reach")[0] == 2
    code, text = said("--training", "train-reach")
    assert code == 4 and "s2rctl pipeline status -p xarm7-smoke" in text
    run = tmp_path / "store" / "runs" / "0123456789abcdef"
    run.mkdir(parents=True)
    (run / "state.json").write_text(json.dumps({"stage": "train-reach", "profile": "xarm7-smoke", "inputs": {}}))
    code, text = said("--training", "train-reach")
    assert code == 4 and "not saved a policy yet" in text
