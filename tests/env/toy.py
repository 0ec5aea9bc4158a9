"""A toy task on a tiny scene: a cart on a rail is to stand at a goal; it shares no line with the real tasks."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco

from s2rctl.scene.signals import real, sim_only
from s2rctl.tasks.protocol import Observation, Outcome, Randomised, Start, Task, Term, World, combine

MJCF = """
<mujoco>
  <option timestep="0.005" jacobian="dense" integrator="implicitfast"/>
  <worldbody>
    <light pos="0 0 2" dir="0 0 -1"/>
    <camera name="eye" pos="0 -0.6 0.3" xyaxes="1 0 0 0 0.4 1"/>
    <geom name="floor" type="plane" size="1 1 0.1" rgba="0.5 0.5 0.5 1"/>
    <body name="cart" pos="0 0 0.05">
      <joint name="slide" type="slide" axis="1 0 0" damping="3"/>
      <geom name="cart" type="box" size="0.03 0.03 0.03" mass="0.5" rgba="0.9 0.1 0.1 1"/>
    </body>
    <body name="jaw" pos="0 0 0.3">
      <joint name="jaw" type="slide" axis="0 0 1" damping="3"/>
      <geom name="jaw" type="sphere" size="0.02" mass="0.1" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator>
    <position name="push" joint="slide" kp="40"/>
    <position name="grip" joint="jaw" kp="40"/>
  </actuator>
  <sensor>
    <jointpos name="joint_pos/slide" joint="slide"/>
    <jointpos name="joint_pos/jaw" joint="jaw"/>
    <jointvel name="cart_vel" joint="slide"/>
  </sensor>
</mujoco>
"""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Signals:
    joint_pos: jax.Array = real(2, unit="m", meaning="cart and jaw")
    cart_vel: jax.Array = sim_only(unit="m/s", meaning="speed")


class State(NamedTuple):
    goal: jax.Array
    age: jax.Array  # steps since the start, the task's own clock
    seen: jax.Array  # (2,) the action that reached the robot


def build() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(MJCF)


def _mass(params):
    return params["mass"]


RANDOMISED = (Randomised("mass", 0.2, 2.0, "kg", {"body_mass/cart/": _mass}),)


def make(episode_steps: int = 12, *, drive_until: int = 0, noise: float = 0.0) -> Task:
    """Until the task's age is ``drive_until`` the pilot drives. The episode ends when the cart is beyond 0.15 m."""
    rewards = {"near": Term(lambda w: 1 - jnp.abs(w.signals.joint_pos[0] - w.state.goal), 2.0)}

    def reset(key, params) -> Start:
        state = State(jax.random.uniform(key, minval=-0.1, maxval=0.1), jnp.int32(0), jnp.zeros(2))
        return Start(jnp.zeros(2), jnp.zeros(2), jnp.zeros(2), state)

    def target(world: World, action):
        return world.ctrl + 0.02 * action, world.state._replace(age=world.state.age + 1, seen=action)

    def advance(world: World, action) -> Outcome:
        reward, terms = combine(rewards, world)
        far = jnp.abs(world.signals.joint_pos[0]) > 0.15
        near = jnp.abs(world.signals.joint_pos[0] - world.state.goal) < 0.01
        return Outcome(world.state, reward, terms, far, near, jnp.where(far, 1, 0).astype(jnp.int32))

    def observe(world: World, key) -> Observation:
        s, state = world.signals, world.state
        clean = jnp.concatenate([s.joint_pos, world.ctrl, state.goal[None], state.age.astype(float)[None]])
        noisy = clean + noise * jax.random.uniform(key, clean.shape, minval=-1.0)
        critic = jnp.concatenate([clean, s.cart_vel[None]])
        return Observation(noisy, critic, {"joint_pos": s.joint_pos, "goal": state.goal[None]})

    return Task(
        name="toy",
        scene="toy",
        signals=Signals,
        episode_steps=episode_steps,
        action_size=2,
        action_scale=1.0,
        rewards=rewards,
        randomised=RANDOMISED,
        failures=("none", "far"),
        gripper_actions=(1,),
        reset=reset,
        target=target,
        advance=advance,
        observe=observe,
        acting=lambda state: state.age >= drive_until,
    )
