"""The vectorised environment: one task in many worlds, with latency, episode clocks and automatic resets."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from s2rctl.core.errors import RunError
from s2rctl.env.corrupt import (
    action_history_length,
    delayed_action,
    delayed_inputs,
    draw_delay,
    measured,
    push,
    recall,
)
from s2rctl.env.development import ImageSettings
from s2rctl.env.dynamics import Draws, dynamic_edits, lateness
from s2rctl.env.hide import Hiding
from s2rctl.env.images import Imaging
from s2rctl.env.keys import make_key
from s2rctl.env.parts import INLINE, Run
from s2rctl.env.randomise import draw_params, model_edits, nominal_params
from s2rctl.env.rows import apart, cut, own_key, tiled, where
from s2rctl.env.starts import Starts
from s2rctl.env.types import Aim, EnvState, Episode, InputHistory, Moved, Step
from s2rctl.env.visibility import Accept
from s2rctl.physics.protocol import ModelEdits, Physics, PhysicsState
from s2rctl.render.protocol import Appearance
from s2rctl.scene.signals import SignalReader
from s2rctl.schema.simulation import Delays
from s2rctl.schema.tensors import rgb_name
from s2rctl.tasks.protocol import Observation, Start, Task, World

Pilot = Callable[[Observation], jax.Array]
"""A batched policy that drives worlds where the learner does not act yet: observation -> action (B, n)."""

LARGEST_OBSERVATION = 1e4
LARGEST_REWARD = 1e3
KEYS = 6
"""How many keys a step splits off its state's."""


class VecEnv:
    """``worlds`` copies of ``task``. ``reset`` and ``step`` are pure: use them inside jit and scan, or see stepping.

    ``physics`` builds the backend from the per-world model edits that ``key`` decides (none with ``randomise=False``:
    every world is the nominal one; ``emphasis``: the power with which worlds that are hard are drawn more often).
    ``images`` adds camera tensors to ``Observation.inputs``; the physics must then give poses. ``pilot`` acts where
    ``task.acting`` is false. ``bank`` is a ``Start`` whose leaves have a leading axis: with ``bank_probability``, one
    for all worlds or (B,), an episode begins at a random entry instead of ``task.reset``. ``hiding`` puts objects
    aside; ``accept`` decides, given an episode's look (that of ``sight`` if given), whether it may begin where it was
    drawn. ``dynamics`` are values of axes by world. With ``repeat``, world w has the task's quantities, start and look
    of world w % (worlds // repeat).

    What policies see, images included, is as late as ``delays.observation`` says, with one lag for everything that
    is measured in a step.
    """

    def __init__(
        self,
        task: Task,
        model: mujoco.MjModel,
        physics: Callable[[ModelEdits], Physics],
        worlds: int,
        *,
        key: jax.Array,
        delays: Delays | None = None,
        images: Imaging | None = None,
        pilot: Pilot | None = None,
        bank: Start | None = None,
        bank_probability: float | np.ndarray = 0.0,
        randomise: bool = True,
        emphasis: float = 0.0,
        hiding: Hiding | None = None,
        accept: Accept | None = None,
        sight: Imaging | None = None,
        dynamics: Draws | None = None,
        repeat: int = 1,
    ) -> None:
        self.task = task
        self.model = model
        self.worlds = worlds
        self.action_size = task.action_size
        if repeat < 1 or worlds % repeat:
            raise RunError(f"{worlds} worlds cannot be {repeat} times the same ones", "use a multiple")
        params = (
            draw_params(task.randomised, key, worlds // repeat, emphasis)
            if randomise
            else nominal_params(task.randomised, worlds // repeat)
        )
        self.params: dict[str, jax.Array] = tiled(params, repeat)
        edits = model_edits(model, task.randomised, self.params)
        if dynamics:
            edits = dynamic_edits(model, task, edits, dynamics, worlds, repeat)
        self.physics = physics(edits)
        self.delays = delays or Delays()
        self._signals: SignalReader[Any] = SignalReader(model, task.signals)
        sized = images is not None and "geom_size" in edits
        self._images = images.with_geom_size(edits["geom_size"]) if images and sized else images
        self._pilot = pilot
        self._late = lateness(dynamics or {}, worlds)
        self._starts = Starts(
            task,
            self.params,
            worlds,
            repeat,
            self._images,
            sight,
            bank if np.any(np.asarray(bank_probability) > 0) else None,
            jnp.asarray(bank_probability, jnp.float32),
            hiding,
            accept if images is not None else None,
        )
        self.shapes: EnvState = jax.eval_shape(self.reset, make_key(0))
        self.actor_size = self.shapes.observation.actor.shape[1]
        self.critic_size = self.shapes.observation.critic.shape[1]

    @property
    def images(self) -> Imaging | None:
        """The policy cameras, where the environment has any."""
        return self._images

    def reset(self, key: jax.Array, run: Run = INLINE) -> EnvState:
        """Start an episode in every world."""
        episode = run.call(self.draw, key)
        start = episode.start
        physics = run.call(self.physics.init, start.qpos, start.qvel, start.ctrl)
        image_key, state = run.call(own_key, run.call(self.begin, key, physics, episode))
        return run.call(self.show_first, state, self._shown(run, image_key, state))

    def step(self, state: EnvState, action: jax.Array, run: Run = INLINE) -> tuple[EnvState, Step]:
        """Apply ``action`` (B, n) for one control step; worlds whose episode ends begin the next one."""
        aim: Aim = run.call(self.aim, state, action)
        physics = run.call(self.physics.step, state.physics, aim.ctrl)
        moved: Moved = run.call(self.advance, state, aim, physics)

        # Resets cost a host call: only when some world needs one. Images come last, so that each step renders once.
        def restart(after: EnvState) -> EnvState:
            return self._restart(run, moved.restart_key, after, moved.step.done)

        after = run.when(jnp.any(moved.step.done), restart, moved.state)
        images = self._shown(run, moved.image_key, after)
        return run.call(self.show, after, images, state.input_history), moved.step

    def draw(self, key: jax.Array) -> Episode:
        """Draw the next episode of each world."""
        return self._starts.draw(key)

    def begin(self, key: jax.Array, physics: PhysicsState, episode: Episode) -> EnvState:
        """Return a state in which every world is at its first step; images and earlier inputs are still missing."""
        key, observe_key, lag_key = jax.random.split(jax.random.split(key)[1], 3)
        blank = jnp.zeros((self.worlds, 0, 0))
        task_state, observation, seen, lag = self._observe(observe_key, lag_key, physics, episode.start.state, blank)
        return EnvState(
            physics=physics,
            task=task_state,
            step=jnp.zeros((self.worlds,), jnp.int32),
            observation=observation,
            action_history=jnp.zeros((self.worlds, action_history_length(self.delays, self._late), self.action_size)),
            actor_history=seen,
            appearance=episode.look,
            image=episode.image,
            still=episode.still,
            lag=lag,
            input_history=(),
            key=key,
        )

    def aim(self, state: EnvState, action: jax.Array) -> Aim:
        """Return what ``action`` (B, n) makes of the actuators' targets."""
        delay_key = jax.random.split(state.key, KEYS)[1]
        action, acting = self._who_acts(state, action)
        actions = push(state.action_history, action)
        applied = delayed_action(delay_key, actions, self.delays, self.task.gripper_actions, self._late)
        ctrl, task_state = jax.vmap(self.task.target)(self._worlds(state.physics, state.task), applied)
        return Aim(ctrl, task_state, action, acting, actions)

    def advance(self, state: EnvState, aim: Aim, physics: PhysicsState) -> Moved:
        """Judge what physics made of a step; nothing begins anew, and images and earlier inputs are still missing."""
        key, _, observe_key, lag_key, image_key, restart_key = jax.random.split(state.key, KEYS)
        outcome = jax.vmap(self.task.advance)(self._worlds(physics, aim.task), aim.action)

        remembered, observation, seen, lag = self._observe(
            observe_key, lag_key, physics, outcome.state, state.actor_history
        )
        clock = state.step + 1
        # A start that physics could not take is reported with the first step from it.
        diverged = physics.diverged | state.physics.diverged
        ended = outcome.done | diverged
        done = ended | (clock >= self.task.episode_steps)
        after = state._replace(
            physics=physics,
            task=remembered,
            step=clock,
            observation=observation,
            action_history=aim.history,
            actor_history=seen,
            lag=lag,
            input_history=(),
            key=key,
        )
        healthy = ~diverged
        step = Step(
            reward=cut(jnp.where(healthy, outcome.reward, 0.0), LARGEST_REWARD),
            terms={name: cut(jnp.where(healthy, v, 0.0), LARGEST_REWARD) for name, v in outcome.terms.items()},
            done=done,
            truncated=done & ~ended,
            success=outcome.success & healthy,
            failure=jnp.where(healthy, outcome.failure, 0),
            diverged=diverged,
            acting=aim.acting,
            last=observation,
        )
        return Moved(after, step, restart_key, image_key)

    def merge(self, done: jax.Array, fresh: EnvState, state: EnvState) -> EnvState:
        """Return ``fresh`` in the worlds of ``done`` (B,) and ``state`` in the others; physics is already merged."""
        chosen = where(done, apart(fresh), apart(state))
        return chosen._replace(physics=fresh.physics, key=state.key)

    def take(
        self, key: jax.Array, poses: Any, appearance: Appearance | None, image: ImageSettings | None
    ) -> dict[str, jax.Array]:
        """Return the camera tensors (B, ...) by input name; colours that the policy does not see are not drawn."""
        assert self._images is not None and appearance is not None and image is not None
        unseen = {rgb_name(camera.name) for camera in self._images.cameras if not camera.colour}
        taken = self._images.take(key, poses, appearance, image)
        return {name: value for name, value in taken.items() if name not in unseen}

    def show_first(self, state: EnvState, images: dict[str, jax.Array]) -> EnvState:
        """Return the state with the first images of its episodes, as if the robot had stood here for a while."""
        inputs = {**state.observation.inputs, **images}
        history = (measured(inputs),) * (len(self.delays.observation) - 1)
        return state._replace(observation=state.observation._replace(inputs=inputs), input_history=history)

    def show(self, state: EnvState, images: dict[str, jax.Array], earlier: InputHistory) -> EnvState:
        """Return the state with inputs that are as late as ``state.lag`` says; ``earlier`` is newest first."""
        now = {**state.observation.inputs, **images}
        # Observation delay never reaches back past the reset.
        late = delayed_inputs(now, earlier, jnp.minimum(state.lag, state.step))
        history = (measured(now), *earlier)[: len(self.delays.observation) - 1]
        return state._replace(observation=state.observation._replace(inputs=late), input_history=history)

    def world(self, state: EnvState) -> World:
        """Return what the task sees of every world (leaves (B, ...)), for scripted experts."""
        return self._worlds(state.physics, state.task)

    def _who_acts(self, state: EnvState, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the action in [-1, 1] that is in force in each world, and where it is the learner's."""
        acting = jax.vmap(self.task.acting)(state.task)
        acting = jnp.broadcast_to(acting, (self.worlds,))
        if self._pilot is not None:
            action = jnp.where(acting[:, None], action, self._pilot(state.observation))
        return jnp.clip(action.astype(jnp.float32), -1.0, 1.0), acting

    def _worlds(self, physics: PhysicsState, task_state: Any) -> World:
        """Return the batched view that the task's functions are mapped over."""
        return World(jax.vmap(self._signals.read)(physics.sensors), physics.ctrl, task_state, self.params)

    def _observe(
        self, key: jax.Array, lag_key: jax.Array, physics: PhysicsState, task_state: Any, history: jax.Array
    ) -> tuple[Any, Observation, jax.Array, jax.Array]:
        """Return the task state that remembers, the noisy observation without images, the new history and the lag.

        The actor's part is delayed, the inputs are not yet. An empty history is filled.
        """
        keys = jax.random.split(key, self.worlds)
        if self.task.remember is not None:
            task_state = jax.vmap(self.task.remember)(self._worlds(physics, task_state), keys)
        now: Observation = jax.vmap(self.task.observe)(self._worlds(physics, task_state), keys)
        now = jax.tree.map(lambda a: cut(a, LARGEST_OBSERVATION), now)
        length = len(self.delays.observation)
        if history.shape[1] == 0:
            history = jnp.repeat(now.actor[:, None], length, axis=1)
        else:
            history = push(history, now.actor)
        lag = draw_delay(lag_key, self.delays.observation, self.worlds)
        return task_state, now._replace(actor=recall(history, lag) if length > 1 else now.actor), history, lag

    def _shown(self, run: Run, key: jax.Array, state: EnvState) -> dict[str, jax.Array]:
        """Return the camera tensors of ``state`` by input name; none without cameras."""
        if self._images is None:
            return {}
        images: dict[str, jax.Array] = run.call(self.take, key, state.physics.poses, state.appearance, state.image)
        return images

    def _restart(self, run: Run, key: jax.Array, state: EnvState, done: jax.Array) -> EnvState:
        """Begin a new episode in the worlds of ``done`` (B,): physics, task state, clocks, histories and look."""
        episode = run.call(self.draw, key)
        start = episode.start
        physics = run.call(self.physics.reset, state.physics, done, start.qpos, start.qvel, start.ctrl)
        merged: EnvState = run.call(self.merge, done, run.call(self.begin, key, physics, episode), state)
        return merged
