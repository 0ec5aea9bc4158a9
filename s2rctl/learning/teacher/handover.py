"""From one teacher to the next: the first one as the pilot of each arm, and the states at which the second begins."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load, save

from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import RunError
from s2rctl.core.progress import Reporter
from s2rctl.env import stepping
from s2rctl.env.types import EnvState
from s2rctl.learning.policy_files import Policy
from s2rctl.learning.teacher import rollout
from s2rctl.learning.teacher.rollout import Environment
from s2rctl.tasks.protocol import Observation, Start

SMALLEST_BANK = 64
"""Starts that a bank needs, so that the learner does not overfit them."""

Pilot = Callable[[Observation], jax.Array]


def arm_pilot(policy: Policy, actions: int) -> Pilot:
    """Return the policy of one arm as the pilot of a robot of several: observation of B worlds -> (B, ``actions``).

    ``actions`` is the length of the robot's command, one arm after the other. An observation of the pilot's task begins
    with what the policy would see of the first arm and its object, then of the second arm and its object, and so on.
    Raises RunError for a policy that is no state teacher, or whose actions do not divide the command.
    """
    if policy.kind != "teacher":
        raise RunError(f"a {policy.kind} policy cannot drive one arm", "train the teacher of one arm first")
    size, drive = int(policy.config["observation_size"]), policy.reflex()
    arms, rest = divmod(actions, int(policy.config["action_size"]))
    if rest or not arms:
        raise RunError(
            f"a command of {actions} entries is not made of arms with {policy.config['action_size']}",
            "train the teacher of one arm of this robot",
        )

    def act(observation: Observation) -> jax.Array:
        worlds = observation.actor.shape[0]
        # All arms in one call: one matrix product instead of several.
        rows = jnp.concatenate([observation.actor[:, arm * size : (arm + 1) * size] for arm in range(arms)])
        action = drive(Observation(rows, rows, {}))
        return jnp.concatenate([action[arm * worlds : (arm + 1) * worlds] for arm in range(arms)], axis=-1)

    return act


def build_bank(
    env: Environment,
    pilot: Pilot,
    expert: Callable[[Any], jax.Array],
    key: jax.Array,
    reporter: Reporter,
    smallest: int = SMALLEST_BANK,
) -> Start:
    """Return the states at which the learner takes over, as a bank of starts (leaves with a leading axis).

    ``env`` starts from home and has no pilot of its own. If ``pilot`` gives fewer than ``smallest`` states in one
    episode of every world, the scripted expert (of one world) adds those that it reaches, and the reporter is told.
    Raises RunError if neither reaches enough.
    """
    bank = _switches(env, lambda state: pilot(state.observation), key)
    found = size_of(bank)
    if found >= smallest:
        return bank
    reporter.note(
        f"the pick policy reached the switch in {found} of {env.worlds} episodes; the scripted expert adds more starts"
    )
    act = jax.jit(lambda state: jax.vmap(expert)(env.world(state)))
    for attempt in range(4):
        more = _switches(env, act, jax.random.fold_in(key, attempt))
        bank = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), bank, more)
        if size_of(bank) >= smallest:
            return bank
    raise RunError(
        f"only {size_of(bank)} episodes reached the switch, {smallest} are needed", "train the pick teacher for longer"
    )


def kept_bank(
    path: Path, env: Environment, pilot: Pilot, expert: Callable[[Any], jax.Array], key: jax.Array, reporter: Reporter
) -> Start:
    """Return the bank in the file ``path``, which is made by ``build_bank`` if it is not there yet."""
    if not path.is_file():
        reporter.start(f"{env.task.name} starts", 0, "starts")
        made = build_bank(env, jax.jit(pilot), expert, key, reporter)
        save_bank(path, made)
        reporter.finish(f"{size_of(made)} starts at the switch")
    state = jax.eval_shape(env.reset, key)
    return load_bank(path, Start(state.physics.qpos, state.physics.qvel, state.physics.ctrl, state.task))


def size_of(bank: Start) -> int:
    """Return the number of starts."""
    return len(bank.qpos)


def save_bank(path: Path, bank: Start) -> None:
    """Write a bank's arrays."""
    write_atomic(path, save({f"{i:02d}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(bank))}))


def load_bank(path: Path, like: Start) -> Start:
    """Read a bank that ``save_bank`` wrote, with the structure of one start."""
    arrays = load(path.read_bytes())
    return jax.tree.unflatten(jax.tree.structure(like), [jnp.asarray(arrays[name]) for name in sorted(arrays)])


def _switches(env: Environment, act: Callable[[EnvState], jax.Array], key: jax.Array) -> Start:
    """Play first episodes; return the states at the switch of every world where there was one, in order of time."""
    state, waiting, found = stepping.reset(env, key), np.ones(env.worlds, bool), []
    for _ in range(env.task.episode_steps):
        state, result = stepping.step(env, state, act(state))
        done = np.asarray(result.done)
        # After a reset the state is another episode's.
        switched = waiting & np.asarray(rollout.acting(env, state)) & ~done
        found.append(jax.tree.map(lambda leaf, mask=switched: np.asarray(leaf)[mask], _start_of(state)))
        waiting &= ~switched & ~done
        if not waiting.any():
            break
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *found)


def _start_of(state: EnvState) -> Start:
    physics = state.physics
    return Start(physics.qpos, physics.qvel, physics.ctrl, state.task)
