"""Draw docs/images/overview.png: both robots at work, with what their policy cameras see (run with the environment)."""

from pathlib import Path

import jax
import numpy as np
from PIL import Image

from s2rctl.env.build import make_env
from s2rctl.env.keys import make_key
from s2rctl.env.types import EnvState
from s2rctl.env.vec_env import VecEnv
from s2rctl.evaluation.film import compose
from s2rctl.experts import EXPERTS
from s2rctl.render.film import Film
from s2rctl.schema.load import load_profile

SIZE = (640, 480)


def expert_state(profile: str, task: str, steps: int) -> tuple[VecEnv, EnvState]:
    """Return an environment of two worlds after ``steps`` steps of the scripted expert."""
    env = make_env(load_profile(profile).profile, task, 2, seed=3)
    expert = jax.vmap(EXPERTS.load(task)(env.model))
    step = jax.jit(lambda state: env.step(state, expert(env.world(state)))[0])
    state = jax.jit(env.reset)(make_key(3))
    for _ in range(steps):
        state = step(state)
    return env, state


def picture(profile: str, task: str, steps: int) -> np.ndarray:
    """Return the viewer's frame with the camera images of the first world inset."""
    env, state = expert_state(profile, task, steps)
    images = [np.asarray(a)[0] for name, a in state.observation.inputs.items() if name.startswith("rgb_")]
    with Film(env.model, "viewer", *SIZE) as film:
        return compose(film.frame(np.asarray(state.physics.qpos)[0]), images)


if __name__ == "__main__":
    both = [picture("aloha", "insertion", 112), picture("xarm7-reach", "reach", 25)]
    Image.fromarray(np.concatenate(both, axis=1)).save(Path(__file__).parent / "images" / "overview.png", optimize=True)
