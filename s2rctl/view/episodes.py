"""A policy that acts in its environment, one step after the other, and what a person may do to it meanwhile."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from s2rctl.core.spatial import from_rotation_vector
from s2rctl.env import stepping
from s2rctl.env.keys import make_key
from s2rctl.env.parts import compiled
from s2rctl.env.randomise import model_edits
from s2rctl.env.types import EnvState
from s2rctl.env.vec_env import VecEnv
from s2rctl.evaluation.actors import Act, Actor, Oracle, Playing
from s2rctl.learning.student.network import means
from s2rctl.learning.student.settings import ESTIMATES
from s2rctl.learning.teacher.rollout import acting
from s2rctl.render.protocol import Appearance
from s2rctl.schema.profile import Profile
from s2rctl.schema.tensors import GOAL, depth_name, rgb_name, viewer_of
from s2rctl.view.moment import Eye, Look, Moment
from s2rctl.view.pictures import with_depth

Policy = Act | Actor | Oracle


class Episodes:
    """Implements ``Show``: world 0 of an environment of one world, episode after episode."""

    def __init__(
        self, env: VecEnv, policy: Policy, profile: Profile, title: str, seed: int, pilot: Act | None = None
    ) -> None:
        self.title, self.robot = title, profile.robot.name
        self.period_s = profile.simulation.period_s
        self.workspace = _box(profile)
        self.seed = seed
        self.model = _drawn(env)
        self.data = mujoco.MjData(self.model)
        self.ended = self.successes = 0
        self._env, self._policy, self._pilot = env, policy, pilot
        self._playing = Playing(policy, env.worlds)
        self._told: dict[str, np.ndarray] = {}  # the policy's estimates (3,) m, from the pictures before the last step
        self._where = _where_told(env)
        self._acting = jax.jit(lambda state: acting(env, state))
        self._outcome = ""
        self._looks = 0
        self._state: EnvState | None = None
        model = env.model
        free = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
        self._free = {str(model.body(model.jnt_bodyid[joint]).name): int(model.jnt_qposadr[joint]) for joint in free}

    @property
    def objects(self) -> tuple[str, ...]:
        """Names of what lies loose and can be moved."""
        return tuple(self._free)

    @property
    def has_looks(self) -> bool:
        """Whether the policy's cameras are drawn, so that the scene can look otherwise."""
        return self._env.images is not None

    def begin(self) -> Moment:
        """Compile the environment and return the first moment of the first episode."""
        stepping.prepare(self._env)
        moment = self.restart(self.seed)
        self._action(self._now)  # compiles the policy
        self._anew()
        return moment

    def restart(self, seed: int) -> Moment:
        """Begin the first episode of a seed."""
        self.seed, self._outcome = seed, ""
        self._anew()
        return self._at(stepping.reset(self._env, make_key(seed)))

    def advance(self) -> Moment:
        """Let the policy act for one control step; an episode that is over is followed by the next one."""
        state = self._now
        after, outcome = stepping.step(self._env, state, jnp.asarray(self._action(state), jnp.float32))
        if bool(outcome.done[0]):
            success = bool(outcome.success[0])
            self.ended, self.successes = self.ended + 1, self.successes + success
            failure = self._env.task.failures[int(outcome.failure[0])].replace("_", " ")
            self._outcome = "success" if success else "timeout" if failure == "none" else failure
            self._anew()
        return self._at(after)

    def look(self) -> Moment:
        """Give the episode another look, as training draws them."""
        self._looks += 1
        drawn = compiled(self._env.draw, make_key(self.seed + 1000 * self._looks))
        return self._seen_anew(self._now._replace(appearance=drawn.look, image=drawn.image))

    def nudge(self, name: str, way: np.ndarray) -> Moment:
        """Move an object by (3,) m, at rest afterwards."""
        state, env = self._now, self._env
        first = self._free[name]
        qpos = state.physics.qpos.at[:, first : first + 3].add(jnp.asarray(way, jnp.float32))
        everywhere = jnp.ones((env.worlds,), bool)
        physics = compiled(
            env.physics.reset, state.physics, everywhere, qpos, jnp.zeros_like(state.physics.qvel), state.physics.ctrl
        )
        return self._seen_anew(state._replace(physics=physics))

    @property
    def _now(self) -> EnvState:
        assert self._state is not None, "begin comes first"
        return self._state

    def _action(self, state: EnvState) -> np.ndarray:
        """Return what the policy does, or its pilot where that drives, and keep what it estimates."""
        action = self._playing.of(state)
        estimates = self._playing.estimates.items()
        self._told = {name: value[0] for name, value in estimates if viewer_of(name) is None}  # those are in the hand
        told = self._playing.memory.get(ESTIMATES)
        if told is not None and self._where is not None:
            self._told |= {name: np.asarray(place) for name, place in self._where(state, told).items()}
        if self._pilot is None:
            return action
        learner = np.asarray(self._acting(state))[:, None]
        return np.where(learner, action, np.asarray(self._pilot(state.observation)))

    def _anew(self) -> None:
        """Let the policy forget: another episode begins."""
        self._playing, self._told = Playing(self._policy, self._env.worlds), {}

    def _seen_anew(self, state: EnvState) -> Moment:
        """Take the pictures again, because something changed between two steps."""
        env = self._env
        if env.images is not None:
            images = compiled(env.take, state.key, state.physics.poses, state.appearance, state.image)
            inputs = {**state.observation.inputs, **images}
            state = state._replace(observation=state.observation._replace(inputs=inputs))
        return self._at(state)

    def _at(self, state: EnvState) -> Moment:
        """Keep a state and return what there is to see of it."""
        self._state = state
        physics, data = state.physics, self.data
        data.qpos[:], data.qvel[:], data.ctrl[:] = physics.qpos[0], physics.qvel[0], physics.ctrl[0]
        mujoco.mj_forward(self.model, data)
        inputs = state.observation.inputs
        words = {
            "episode": f"{self.ended + 1}, step {int(state.step[0])} of {self._env.task.episode_steps}",
            "seed": str(self.seed),
            "successes": f"{self.successes} of {self.ended}" + (f", last: {self._outcome}" if self._outcome else ""),
        }
        cameras = self._env.images.cameras if self._env.images is not None else ()
        pictures = {
            camera.name: with_depth(_first(inputs, rgb_name(camera.name)), _first(inputs, depth_name(camera.name)))
            for camera in cameras
            if {rgb_name(camera.name), depth_name(camera.name)} & inputs.keys()
        }
        step = int(state.step[0])
        return Moment(words, pictures, self._points(inputs), self._eyes(state), self._look(state), step=step)

    def _points(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        goal = _first(inputs, GOAL)
        points = {"goal": goal} if goal is not None and goal.shape == (3,) else {}
        return points | {f"estimate: {name}": place for name, place in self._told.items()}

    def _look(self, state: EnvState) -> Look | None:
        look = state.appearance
        if not isinstance(look, Appearance):  # other cameras than the ray caster's describe looks in their own way
            return None
        return Look(np.asarray(look.geom_rgba[0]), np.asarray(look.geom_size[0]))

    def _eyes(self, state: EnvState) -> dict[str, Eye]:
        """Return where the policy's cameras stand in this episode."""
        found = {}
        for camera in self._env.images.cameras if self._env.images is not None else ():
            number = int(self.model.camera(camera.name).id)
            place, axes = self.data.cam_xpos[number], self.data.cam_xmat[number].reshape(3, 3)
            fovy = float(self.model.cam_fovy[number])
            look = state.appearance
            if isinstance(look, Appearance):
                place = place + axes @ np.asarray(look.camera_pos_offset[0, number])
                axes = axes @ from_rotation_vector(np.asarray(look.camera_rot_offset[0, number]))
                fovy = float(look.camera_fovy[0, number])
            found[camera.name] = Eye(np.array(place), np.array(axes), fovy, camera.width / camera.height)
        return found


def _where_told(env: VecEnv) -> Callable[[EnvState, Any], dict[str, jax.Array]] | None:
    """Return where what a student's images told of late puts the objects (3,) m; None for a task that does not say."""
    places, targets = env.task.image_points, env.task.image_targets
    if places is None or targets is None or env.images is None:
        return None
    told_of = jax.eval_shape(lambda state: targets(jax.tree.map(lambda leaf: leaf[0], env.world(state))), env.shapes)

    @jax.jit
    def where(state: EnvState, sums: jax.Array) -> dict[str, jax.Array]:
        told = means(sums[0, 0], told_of.size).reshape(told_of.shape)  # by the first filter
        return dict(places(jax.tree.map(lambda leaf: leaf[0], env.world(state)), told))

    return where


def _drawn(env: VecEnv) -> Any:
    """Return the model of world 0: its own sizes, and dense Jacobians as physics uses them."""
    model = copy.deepcopy(env.model)
    for name, values in model_edits(model, env.task.randomised, env.params).items():
        getattr(model, name)[...] = values[0]
    model.opt.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    return model


def _box(profile: Profile) -> tuple[np.ndarray, np.ndarray] | None:
    safety = profile.deploy.safety
    if safety.workspace_low is None or safety.workspace_high is None:
        return None
    return np.array(safety.workspace_low), np.array(safety.workspace_high)


def _first(inputs: Mapping[str, Any], name: str) -> np.ndarray | None:
    return np.asarray(inputs[name][0]) if name in inputs else None
