"""Experts act in their real environments, with the full delays: few worlds, whole episodes."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.env.build import make_env, make_model, make_task
from s2rctl.env.dynamics import draw_dynamics
from s2rctl.experts import EXPERTS, make_expert
from s2rctl.scene.signals import quantities
from s2rctl.schema.load import load_profile
from s2rctl.schema.profile import Profile
from s2rctl.systems import all_systems
from s2rctl.tasks.protocol import World


def profile_of(task: str, steps: int, *more: str) -> Profile:
    """A profile whose task has neither noise nor tracking nor a planner: the expert sees the truth."""
    (system,) = [system for system in all_systems() if task in system.tasks]
    plain = ["tracking=false"] if system.name == "aloha" else ["planner=null", "action_scale=0.03"]
    changes = [f"tasks.{task}.{change}" for change in (*plain, f"episode_steps={steps}")]
    return load_profile(system.profile, [*changes, *more]).profile


def first_episodes(name: str, worlds: int, steps: int, drawn: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Success at the end of each world's first episode, and all actions (T, B, n); ``drawn``: in drawn dynamics."""
    delays = f"tasks.{name}.delays={{joint_action: [0.83, 0.104, 0.02, 0.014], gripper_action: [1, 1, 1, 1]}}"
    profile = profile_of(name, steps, delays)
    model = make_model(profile, name, movable=drawn)
    task = make_task(profile, name, model)
    dynamics = draw_dynamics(profile.task(name).dynamics, worlds, 0, model=model, task=task) if drawn else None
    env = make_env(profile, name, worlds, seed=0, images=False, dynamics=dynamics)
    act: Callable = jax.vmap(make_expert(profile, name))

    @jax.jit
    def roll(key: jax.Array) -> tuple[jax.Array, ...]:
        def step(state, _):  # type: ignore[no-untyped-def]
            action = act(env.world(state))
            state, step = env.step(state, action)
            return state, (step.done, step.success, action)

        return jax.lax.scan(step, env.reset(key), None, length=steps)[1]

    done, success, action = (np.asarray(a) for a in roll(jax.random.key(1)))
    assert done.any(0).all()
    return success[done.argmax(0), np.arange(worlds)], action


@pytest.mark.parametrize(("name", "worlds", "steps"), [("pick", 16, 160), ("insertion", 8, 160), ("reach", 16, 40)])
def test_expert_succeeds_from_home_under_full_delay(name: str, worlds: int, steps: int) -> None:
    success, action = first_episodes(name, worlds, steps)
    assert success.sum() >= worlds - 1
    assert np.isfinite(action).all() and np.abs(action).max() <= 1 + 1e-5


@pytest.mark.parametrize("name", ["pick", "insertion"])
def test_expert_succeeds_where_every_axis_of_dynamics_is_drawn(name: str) -> None:
    success, _ = first_episodes(name, 16, 160, drawn=True)
    assert success.sum() >= 14


def test_by_touch_the_peg_goes_down_to_the_wall_and_then_all_the_way() -> None:
    profile, worlds = profile_of("insertion", 160), 8
    env = make_env(profile, "insertion", worlds, seed=0, images=False)
    task = env.task
    assert task.blind is not None
    blind = jax.vmap(task.blind)
    seeing, feeling = (jax.vmap(make_expert(profile, "insertion", by_touch=touch)) for touch in (False, True))

    @jax.jit
    def roll(key: jax.Array) -> tuple[jax.Array, ...]:
        def step(carry, _):  # type: ignore[no-untyped-def]
            state, felt = carry
            world = env.world(state)
            end, held = world.signals.peg_end_in_socket, blind(world)
            felt = held & (felt | (end[:, 2] < -0.0075))
            action = jnp.where(held[:, None], feeling(world, felt), seeing(world))
            state, result = env.step(state, action)
            return (state, felt & ~result.done), (result.done, result.success, jnp.where(held, end[:, 2], 0.0), felt)

        return jax.lax.scan(step, (env.reset(key), jnp.zeros(worlds, bool)), None, length=160)[1]

    done, success, height, felt = (np.asarray(a) for a in roll(jax.random.key(1)))
    ends = done.argmax(0)
    for world, end in enumerate(ends):
        assert success[end, world]
        assert height[: end + 1, world].min() < -0.0075
        assert felt[end, world] and abs(height[end, world]) < 0.002


def test_every_expert_labels_any_state_with_a_finite_action() -> None:
    for name in EXPERTS.rows:
        profile = profile_of(name, 10)
        task = make_task(profile, name, make_model(profile, name))
        rng = np.random.default_rng(0)
        params = {q.name: jnp.full(50, q.high) for q in task.randomised}
        start = jax.jit(jax.vmap(task.reset))(jax.random.split(jax.random.key(0), 50), params)
        shapes = quantities(task.signals)
        values = {n: jnp.asarray(rng.normal(0, 1, (50, *q.shape)), jnp.float32) for n, q in shapes.items()}
        world = World(task.signals(**values), start.ctrl, start.state, params)
        action = np.asarray(jax.jit(jax.vmap(make_expert(profile, name)))(world))
        assert action.shape == (50, task.action_size)
        assert np.isfinite(action).all() and np.abs(action).max() <= 1 + 1e-5
