"""Small things to look at: a recording of a moving arm, and a cart with a ball that lies loose."""

from dataclasses import replace
from functools import cache

import jax.numpy as jnp
import mujoco
import numpy as np

from s2rctl.control.recorder import McapRecorder
from s2rctl.env.keys import make_key
from s2rctl.env.vec_env import VecEnv
from s2rctl.physics.native import NativePhysics
from s2rctl.robots import ROBOTS
from s2rctl.robots.protocol import Frame
from s2rctl.schema.load import load_profile
from s2rctl.view.episodes import Episodes
from tests.env import toy

HEADER = {"robot": "xarm7", "profile": "xarm7-smoke", "mode": "rehearse", "rate_hz": "20"}
BALL = '<body name="ball" pos="0.3 0 0.02"><freejoint/><geom name="ball" type="sphere" size="0.02" mass="0.05"/></body>'


class Written:
    """A recording that can be looked at while it is written; every third step was limited."""

    def __init__(self, path, joints=None) -> None:
        spec = ROBOTS.load("xarm7")
        self.home = spec.joints_from_targets(np.array(spec.home)) if joints is None else joints
        self.recorder, self.path, self.steps = McapRecorder(path, HEADER), path, 0

    def add(self, count: int) -> None:
        for number in range(self.steps, self.steps + count):
            joints = self.home + 0.01 * number
            values = {
                "step": number, "ages": {"robot": 0.001}, "codes": (),
                "interventions": ("workspace",) if number % 3 == 2 else (), "joint_pos": joints,
                "outputs": {"position": np.array([0.4, 0.1, 0.01 * number])},
                "perception": {"position": {"error_m": 0.01, "filtered_m": 0.01}},
            }  # fmt: skip
            image = np.full((6, 8, 3), 10 * number % 250, np.uint8)
            self.recorder.step(0.05 * number, values, {"side": Frame(0.05 * number, image)})
        self.steps += count
        while self.recorder._waiting.qsize():  # its thread has to have written them
            pass

    def end(self) -> None:
        self.recorder.close({"outcome": "time", "reason": "<b>over</b>", "steps": self.steps})


def recording(path, steps: int = 9):
    written = Written(path)
    written.add(steps)
    written.end()
    return path


@cache
def toy_env() -> VecEnv:
    model = mujoco.MjModel.from_xml_string(toy.MJCF.replace("</worldbody>", f"{BALL}</worldbody>"))
    task = toy.make(episode_steps=8)

    def reset(key, params):
        start = task.reset(key, params)
        ball = jnp.array([0.3, 0, 0.02, 1, 0, 0, 0])
        return start._replace(qpos=jnp.concatenate([start.qpos, ball]), qvel=jnp.zeros(8))

    return VecEnv(
        replace(task, reset=reset), model, lambda edits: NativePhysics(model, 1, substeps=10, edits=edits), 1,
        key=make_key(0),
    )  # fmt: skip


def episodes(push: float = 0.5) -> Episodes:
    """A cart that is always pushed to one side, without cameras."""
    action = np.array([[push, 0.0]], np.float32)
    return Episodes(toy_env(), lambda observation: action, load_profile("xarm7-smoke").profile, "toy", seed=3)
