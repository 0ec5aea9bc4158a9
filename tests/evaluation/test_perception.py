"""The tool's position at the time of what is observed."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from s2rctl.env import stepping
from s2rctl.env.build import make_env
from s2rctl.evaluation.perception import ToolKinematics, truth_of
from s2rctl.robots import ROBOTS
from s2rctl.schema.load import load_profile

WORLDS = 8


def test_the_tool_is_looked_up_for_the_time_of_the_observation_also_after_a_reset():
    profile = load_profile(
        "xarm7-smoke", ["tasks.reach.delays.observation=[0.3,0.4,0.3]", "tasks.reach.episode_steps=4"]
    ).profile
    env = make_env(profile, "reach", WORLDS, seed=0, images=False)
    kinematics = ToolKinematics(env, ROBOTS.load("xarm7"), "tcp")
    lags = set()
    for episode in range(2):
        kinematics.begin()
        state = stepping.reset(env, jax.random.key(episode))
        for number in range(7):
            # The task's observation has the tool first, without noise, and is as late as the images.
            seen = np.asarray(state.observation.actor[:, :3])
            np.testing.assert_allclose(kinematics.at_capture(state), seen, atol=2e-5)
            lags |= set(np.minimum(np.asarray(state.lag), np.asarray(state.step)).tolist())
            action = jax.random.uniform(jax.random.key(number), (WORLDS, 3), minval=-1.0)
            state, _ = stepping.step(env, state, action)
    assert lags == {0, 1, 2}


def test_what_a_hand_holds_is_at_its_fingertips_and_what_it_does_not_hold_anywhere():
    profile = load_profile("aloha-smoke").profile
    env = make_env(profile, "insertion", 1, seed=0, images=False)
    qpos, qvel, ctrl = (np.zeros((4, size)) for size in (env.model.nq, env.model.nv, env.model.nu))
    finger, gripper = env.model.joint("right/left_finger"), env.model.actuator("right/gripper").id
    qpos[:, finger.qposadr[0]] = [0.012, 0.012, 0.037, 0.003]  # on an object, closing, open, closed
    qvel[:, finger.dofadr[0]] = [0.0, -0.03, 0.0, 0.0]
    ctrl[:, gripper] = [0.002, 0.002, 0.037, 0.002]
    state = SimpleNamespace(physics=SimpleNamespace(qpos=qpos, qvel=qvel, ctrl=ctrl))
    truth = truth_of(env, ROBOTS.load("aloha"), "right/gripper", "gripper")
    assert truth.error(state, np.full((4, 3), 0.1)) == pytest.approx([0.1 * 3**0.5, 0, 0, 0])
