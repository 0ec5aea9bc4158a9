"""The tool's position at the time of what is observed."""

import jax
import numpy as np

from s2rctl.env import stepping
from s2rctl.env.build import make_env
from s2rctl.evaluation.perception import ToolKinematics
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
