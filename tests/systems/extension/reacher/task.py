"""The task: touch the ball. Its teacher sees the ball's place, its student a picture of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from reacher.robot import LENGTH, SPECIFICATION
from s2rctl.scene.signals import real, sim_only
from s2rctl.tasks.protocol import Observation, Outcome, Params, Start, Task, TaskSettings, Term, World, combine
from s2rctl.tasks.weights import replace_weights

FAILURES = ("none", "timeout")
LOW, HIGH = jnp.array(SPECIFICATION.target_low), jnp.array(SPECIFICATION.target_high)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Signals:
    joint_pos: jax.Array = real(2, unit="rad", meaning="joint positions")
    tip_pos: jax.Array = real(3, unit="m", meaning="tip, by kinematics")
    ball_pos: jax.Array = sim_only(3, unit="m", meaning="ball")


class State(NamedTuple):
    steps: jax.Array


def way(world: World) -> jax.Array:
    return world.signals.ball_pos[:2] - world.signals.tip_pos[:2]


def distance(world: World) -> jax.Array:
    return jnp.sqrt(jnp.sum(way(world) ** 2) + 1e-12)


def make(settings: TaskSettings) -> Task:
    section = settings.section
    rewards = replace_weights({"near": Term(lambda w: -distance(w) / 0.2, 1.0)}, section.rewards)

    def reset(key: jax.Array, params: Params) -> Start:
        radius, angle = jax.random.uniform(key, (2,), minval=jnp.array([0.15, -1.2]), maxval=jnp.array([0.33, 1.2]))
        joints = jnp.array(SPECIFICATION.home)
        qpos = jnp.concatenate([joints, radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)])])
        return Start(qpos, jnp.zeros(4), joints, State(jnp.int32(0)))

    def target(world: World, action: jax.Array) -> tuple[jax.Array, State]:
        moved = world.ctrl + section.action_scale * jnp.clip(action, -1.0, 1.0)
        return jnp.clip(moved, LOW, HIGH), State(world.state.steps + 1)

    def advance(world: World, action: jax.Array) -> Outcome:
        reward, terms = combine(rewards, world)
        near = distance(world) < 0.05
        failure = jnp.where(near, 0, 1).astype(jnp.int32)
        return Outcome(world.state, reward, terms, jnp.bool_(False), near, failure)

    def observe(world: World, key: jax.Array) -> Observation:
        seen = jnp.concatenate([world.signals.joint_pos, world.ctrl, 5.0 * way(world)])
        inputs = {"joint_pos": world.signals.joint_pos, "joint_target": world.ctrl}
        return Observation(seen, seen, inputs)

    return Task(
        name="touch",
        scene="reacher",
        signals=Signals,
        episode_steps=section.episode_steps,
        action_size=2,
        action_scale=section.action_scale,
        rewards=rewards,
        randomised=(),
        failures=FAILURES,
        gripper_actions=(),
        reset=reset,
        target=target,
        advance=advance,
        observe=observe,
    )


def make_expert(settings: TaskSettings) -> Callable[[World], jax.Array]:
    """Half the way in every step, by damped least squares."""
    scale = settings.section.action_scale

    def act(world: World) -> jax.Array:
        first, both = world.signals.joint_pos[0], jnp.sum(world.signals.joint_pos)
        fore = LENGTH * jnp.stack([-jnp.sin(both), jnp.cos(both)])
        upper = LENGTH * jnp.stack([-jnp.sin(first), jnp.cos(first)])
        jacobian = jnp.stack([upper + fore, fore], axis=1)
        change = jacobian.T @ jnp.linalg.solve(jacobian @ jacobian.T + 1e-3 * jnp.eye(2), way(world))
        return jnp.clip(0.5 * change / scale, -1.0, 1.0)

    return act
