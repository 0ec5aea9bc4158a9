"""Pick: the left arm grips a box on the table and holds it at a target in the air.

The same policy later serves both arms, because everything it sees is in its arm's own base frame. Figures: the
reference Aloha set-up; the progress rewards follow each potential by itself, so that none can mask another.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.scene import sizes
from s2rctl.scene.signals import real, sim_only
from s2rctl.tasks import arm as arms
from s2rctl.tasks import rotation, tracking
from s2rctl.tasks.protocol import (
    Observation,
    Outcome,
    Params,
    Randomised,
    Start,
    Task,
    TaskSettings,
    Term,
    World,
    combine,
)
from s2rctl.tasks.rewards import closeness, finite, reciprocal
from s2rctl.tasks.weights import replace_weights

HALF_LENGTH = sizes.BOX_HALF[0]  # m, of the box along its x
FAN = arms.Fan(near=0.2, far=0.45, angle_deg=22.5, yaw_deg=5.0)
WAIST = 0.2  # rad, ± at the start
TARGET = (-0.1, 0.0, 0.25)  # m, world, ± TARGET_RANGE on each axis
TARGET_RANGE = 0.1  # m
LINE = 0.073  # m, world x: beyond is the other arm's half
BOUNDS = 1.0  # m, |world coordinate| of the box
LIFTED = 0.05  # m above the table
SUCCESS_POSITION = 0.04  # m
SUCCESS_ANGLE = float(np.radians(15.0))
FAILURES = ("none", "timeout", "not_grasped", "dropped", "crossed_line", "out_of_bounds")
PROGRESS = ("grip", "carry", "grasped", "lifted", "reached")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Signals:
    """What the pick scene measures, in the base frame of the left arm."""

    left_joint_pos: jax.Array = real(8, unit="rad, fingers m", meaning="joint positions")
    left_joint_vel: jax.Array = real(8, unit="rad/s, fingers m/s", meaning="joint velocities")
    left_fingertip_pos: jax.Array = real(6, unit="m", meaning="fingertips, by kinematics")
    left_gripper_quat: jax.Array = real(4, unit="", meaning="gripper orientation, by kinematics")
    box_pos: jax.Array = sim_only(3, unit="m", meaning="box centre")
    box_quat: jax.Array = sim_only(4, unit="", meaning="box orientation")
    box_linvel: jax.Array = sim_only(3, unit="m/s", meaning="box velocity")
    box_angvel: jax.Array = sim_only(3, unit="rad/s", meaning="box angular velocity")
    box_grip_pos: jax.Array = sim_only(3, unit="m", meaning="where to grip")
    box_far_end_pos: jax.Array = sim_only(3, unit="m", meaning="end away from the arm")
    left_box_contact: jax.Array = sim_only(28, unit="", meaning="finger contacts: found, force, normal")
    left_table_contact: jax.Array = sim_only(5, unit="", meaning="gripper on table")


class State(NamedTuple):
    """Task state."""

    target: jax.Array  # (3,) m, base frame
    best: Mapping[str, jax.Array]  # largest value so far of each progress potential
    reached_grip: jax.Array  # bool: the grip error has once been small
    lifted: jax.Array  # bool: the box has once been lifted
    track: tracking.Track | None = None  # where the box seems to be; None without tracking


def make(settings: TaskSettings) -> Task:
    """Build the task for the scene's model."""
    pick = _Pick(settings)
    return Task(
        name="pick",
        scene="pick",
        signals=Signals,
        episode_steps=settings.section.episode_steps,
        action_size=arms.ACTIONS,
        action_scale=pick.scale,
        rewards=pick.rewards,
        randomised=RANDOMISED,
        failures=FAILURES,
        gripper_actions=(6,),
        reset=pick.reset,
        target=pick.target,
        advance=pick.advance,
        observe=pick.observe,
        remember=pick.remember if settings.section.tracking else None,
    )


def _inertia(axis: int) -> Callable[[Params], jax.Array]:
    """Return the function for one principal inertia (kg m^2) of a solid box: m (b^2 + c^2) / 3 with half sizes b, c."""

    def value(params: Params) -> jax.Array:
        half = [jnp.square(HALF_LENGTH), params["box_half_width"] ** 2, params["box_half_width"] ** 2]
        half.pop(axis)
        return params["box_mass"] * (half[0] + half[1]) / 3

    return value


RANDOMISED = (
    Randomised(
        "box_half_width",
        0.01,
        0.03,
        "m",
        {"geom_size/box/1": lambda p: p["box_half_width"], "geom_size/box/2": lambda p: p["box_half_width"]},
        hard_when_high=True,  # the widest hardly fit between the fingers
    ),
    Randomised(
        "box_mass",
        0.03,
        0.1,
        "kg",
        {"body_mass/box/": lambda p: p["box_mass"], **{f"body_inertia/box/{i}": _inertia(i) for i in range(3)}},
    ),
)


class _Pick:
    """The task's functions, closed over constants of the model."""

    def __init__(self, settings: TaskSettings) -> None:
        self.arm = arms.read_arm(settings.model, "left")
        self.noise = settings.section.noise
        self.tracking = settings.section.tracking
        self.grip = arms.grip_offset(settings.model, "box")
        self.scale = settings.section.action_scale
        self.line = LINE - float(self.arm.base_position[0])
        self.lift_height = sizes.TABLE_TOP + LIFTED - float(self.arm.base_position[2])
        self.rewards = replace_weights(
            {
                "grip": Term(self._progress("grip"), 4.0),
                "carry": Term(self._progress("carry"), 16.0),
                "grasped": Term(self._progress("grasped"), 0.5),
                "lifted": Term(self._progress("lifted"), 0.5),
                "reached": Term(self._progress("reached"), 0.5),
                "held": Term(lambda w: self.success(w).astype(float), 0.1),
                "force": Term(self._force, 0.007),
                "no_table": Term(lambda w: 1.0 - self._view(w).table, 0.005),
                "slow": Term(lambda w: reciprocal(_norm(w.signals.left_joint_vel[:6]), 0.5, 2.0), 0.005),
                "home": Term(self._home, 0.001),
                "crossed": Term(lambda w: self.crossed(w).astype(float), -1.0),
            },
            settings.section.rewards,
        )

    def reset(self, key: jax.Array, params: Params) -> Start:
        """Lay the box in the fan before the arm, at rest; draw the target."""
        draws = jax.random.uniform(key, (1 + arms.FAN_DRAWS + 3,), minval=-1.0, maxval=1.0)
        qpos, ctrl = arms.home_pose(WAIST * draws[0])
        box = arms.fan_pose(self.arm, draws[1:], FAN, params["box_half_width"])
        offset = TARGET_RANGE * draws[1 + arms.FAN_DRAWS :]
        state = State(
            target=arms.in_base(self.arm, jnp.array(TARGET) + offset),
            best={name: jnp.zeros(()) for name in PROGRESS},
            reached_grip=jnp.bool_(False),
            lifted=jnp.bool_(False),
            track=tracking.start() if self.tracking else None,
        )
        return Start(jnp.concatenate([qpos, box]), jnp.zeros(14), ctrl, state)

    def target(self, world: World, action: jax.Array) -> tuple[jax.Array, State]:
        """Move the joint targets by the action."""
        return arms.move(self.arm, world.ctrl, action, self.scale), world.state

    def advance(self, world: World, action: jax.Array) -> Outcome:
        """Judge the state after a step."""
        view = self._view(world)
        state = world.state._replace(
            reached_grip=world.state.reached_grip | (view.grip_error < arms.GRASP_ERROR),
            lifted=world.state.lifted | self._lifted(view),
        )
        world = world._replace(state=state)
        potentials = self._potentials(world)
        reward, terms = combine(self.rewards, world)
        best = {name: jnp.maximum(state.best[name], potentials[name]) for name in PROGRESS}
        success, crossed = self.success(world), self.crossed(world)
        outside = ~jnp.all(jnp.abs(arms.in_world(self.arm, view.position)) < BOUNDS)
        # What an episode that ended now would be called; NaN positions count as out of bounds.
        failure = jnp.where(state.lifted, jnp.where(self._lifted(view), 1, 3), jnp.where(arms.grasped(view), 1, 2))
        failure = jnp.where(outside, 5, jnp.where(crossed, 4, jnp.where(success, 0, failure)))
        done = crossed | outside
        success = success & ~done
        return Outcome(state._replace(best=best), reward, terms, done, success, failure.astype(jnp.int32))

    def remember(self, world: World, key: jax.Array) -> State:
        """Take the measurement that ``observe`` makes with the same key into the track."""
        state: State = world.state
        if state.track is None:
            return state
        seen = arms.disturb(self._view(world), self.noise, key)
        return state._replace(track=tracking.follow(state.track, seen, self.noise, self.grip))

    def observe(self, world: World, key: jax.Array) -> Observation:
        """Return what a policy sees: 53 numbers."""
        view = self._view(world)
        noisy = arms.disturb(view, self.noise, key)
        if world.state.track is not None:
            noisy = tracking.tracked(world.state.track, noisy, self.grip)
        target = world.state.target
        clean = arms.observe_arm(view, target)
        inputs = {"joint_pos": finite(noisy.joint_pos), "joint_target": world.ctrl}
        return Observation(arms.observe_arm(noisy, target), clean, inputs)

    def success(self, world: World) -> jax.Array:
        """Return whether the box is at its target, within 0.04 m and 15 degrees."""
        view = self._view(world)
        near = _norm(world.state.target - view.position) < SUCCESS_POSITION
        return near & (rotation.angle_between(view.rotation, jnp.eye(3)) < SUCCESS_ANGLE)

    def crossed(self, world: World) -> jax.Array:
        """Return whether the far end of the box is in the other arm's half."""
        return world.signals.box_far_end_pos[0] > self.line

    def _view(self, world: World) -> arms.ArmView:
        return arms.view(self.arm, world.signals, "box", world.ctrl)

    def _lifted(self, view: arms.ArmView) -> jax.Array:
        return view.position[2] > self.lift_height

    def _potentials(self, world: World) -> dict[str, jax.Array]:
        """Return what the progress rewards follow, each in [0, 1]."""
        view = self._view(world)
        error = 0.77 * _norm(world.state.target - view.position)
        error = error + 0.23 * rotation.row_distance(jnp.eye(3), view.rotation)
        values = {
            "grip": closeness(view.grip_error, 5.0),
            "carry": closeness(error, 5.0) * world.state.reached_grip,
            "grasped": arms.grasped(view),
            "lifted": self._lifted(view) & world.state.reached_grip,
            "reached": self.success(world),
        }
        return {name: finite(jnp.asarray(value, float)) for name, value in values.items()}

    def _progress(self, name: str) -> Callable[[World], jax.Array]:
        """Return the term that pays how far a potential rises above its best of this episode: never negative."""
        return lambda world: jnp.maximum(self._potentials(world)[name] - world.state.best[name], 0.0)

    def _force(self, world: World) -> jax.Array:
        view = self._view(world)
        return arms.grasped(view) * jnp.minimum(arms.pressure(view).sum(), 7.0) / 7.0

    def _home(self, world: World) -> jax.Array:
        return closeness(_norm(world.signals.left_joint_pos[:6] - jnp.array(arms.HOME)), 1.0)


def _norm(vector: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.sum(vector**2) + 1e-12)
