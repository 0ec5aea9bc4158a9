"""Insertion: two arms lift a peg and a socket and push the one into the other.

Until both grippers are high enough a pilot (the pick policy, once per arm) drives; then this task's policy takes over
for good. Figures: the reference Aloha set-up.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.scene import sizes
from s2rctl.tasks import arm as arms
from s2rctl.tasks import insertion_views, pick, rotation, tracking
from s2rctl.tasks.insertion_signals import DEPTH, Signals, caught, inserted, length
from s2rctl.tasks.protocol import Aside, Observation, Outcome, Params, Start, Task, TaskSettings, Term, World, combine
from s2rctl.tasks.rewards import closeness, finite, reciprocal, within
from s2rctl.tasks.weights import replace_weights

FAN = arms.Fan(near=0.27, far=0.42, angle_deg=14.5, yaw_deg=5.0)
WAIST = 0.1  # rad, ± at the start
_X, _Y, _Z = pick.TARGET
TARGETS = {"socket": (_X, _Y, _Z), "peg": (-_X, _Y, _Z)}  # m, world: where the pilot brings the objects
REST_HEIGHT = {"socket": sizes.SOCKET_HALF[2], "peg": sizes.PEG_HALF[2]}  # m, centre above the table
ACTING_S = 3.0  # s after the switch
ON_AXIS = 0.01  # m
DROPPED = 0.07  # m, world z
TILT = float(np.radians(80.0))
BOUNDS = 1.0  # m, |world coordinate|
HELD = 0.03  # m, grip error of an object that is still in the hand
# Joints at which both arms hold their objects face to face (the reference's pre-insertion key frame).
READY = {
    "left": (0.0172277, -0.332444, 0.957626, -0.0207785, 0.00992025, 0.0131805),
    "right": (-0.026578, -0.384497, 1.04661, -0.0646032, 0.0385963, 0.0453648),
}
FAILURES = ("none", "timeout", "not_lifted", "dropped", "misaligned", "tilted", "out_of_bounds")


# Figures of the reference set-up: beside the arm that would pick the object up.
ASIDES = (Aside("socket", (-0.4, 0.33), (0, 7)), Aside("peg", (0.4, 0.33), (7, 14)))


class State(NamedTuple):
    """Task state."""

    switched: jax.Array  # bool, latched: the learner acts
    steps: jax.Array  # int32, control steps since the switch
    tracks: tuple[tracking.Track, tracking.Track] | None = None  # where socket and peg seem to be; None: not tracked


def make(settings: TaskSettings) -> Task:
    """Build the task for the scene's model."""
    insertion = _Insertion(settings)
    return Task(
        name="insertion",
        scene="insertion",
        signals=Signals,
        episode_steps=settings.section.episode_steps,
        action_size=2 * arms.ACTIONS,
        action_scale=insertion.scale,
        rewards=insertion.rewards,
        randomised=(),
        failures=FAILURES,
        gripper_actions=(6, 13),
        reset=insertion.reset,
        target=insertion.target,
        advance=insertion.advance,
        observe=insertion.observe,
        acting=lambda state: state.switched,
        remember=insertion.remember if settings.section.tracking else None,
        ends=insertion.ends,
        blind=lambda world: world.state.switched & caught(world.signals),
        ready=(*READY["left"], *READY["right"]),
        asides=ASIDES,
        image_targets=insertion_views.targets,
        image_points=partial(insertion_views.points, insertion.left, insertion.right),
        acting_steps=insertion.acting_steps,
    )


class Hands(NamedTuple):
    """Both arms' views."""

    left: arms.ArmView
    right: arms.ArmView


class _Insertion:
    """The task's functions, closed over constants of the model."""

    def __init__(self, settings: TaskSettings) -> None:
        self.left = arms.read_arm(settings.model, "left")
        self.right = arms.read_arm(settings.model, "right")
        self.acting_steps = round(ACTING_S / settings.period_s)
        self.noise = settings.section.noise
        self.tracking = settings.section.tracking
        self.grips = tuple(arms.grip_offset(settings.model, thing) for thing in ("socket", "peg"))
        self.peg_end = np.array(settings.model.site("peg_end1").pos)  # (3,) m, in the peg's frame
        self.socket_end = np.array(settings.model.site("socket_end").pos)  # (3,) m, in the socket's
        self.ends = (float(self.socket_end[0] - self.grips[0][0]), float(self.peg_end[0] - self.grips[1][0]))
        self.scale = settings.section.action_scale
        self.rewards = replace_weights(self._terms(), settings.section.rewards)

    def _terms(self) -> Mapping[str, Term]:
        """Return the reward table; every term counts only after the switch."""
        return {
            "insert": _after(lambda w: within(length(w.signals.peg_end_in_socket), 0.001, 0.2) * _on_axis(w), 8.0),
            # Not the reference's (its weight there is 0): a policy that stops 2 cm short, where nothing can slip, would
            # earn 95 % of the reward of one that inserts.
            "inserted": _after(lambda w: inserted(w.signals).astype(float), 4.0),
            "socket_upright": _after(lambda w: closeness(_turned(self.hands(w).left), 5.0), 0.5),
            "peg_upright": _after(lambda w: closeness(_turned(self.hands(w).right), 5.0), 0.5),
            "left_grip": _after(lambda w: closeness(self.hands(w).left.grip_error, 5.0), 0.25),
            "right_grip": _after(lambda w: closeness(self.hands(w).right.grip_error, 5.0), 0.25),
            "left_slow": _after(lambda w: reciprocal(length(w.signals.left_joint_vel[:6]), 0.5, 2.0), 0.5),
            "right_slow": _after(lambda w: reciprocal(length(w.signals.right_joint_vel[:6]), 0.5, 2.0), 0.5),
            "home": _after(self._home, 1.0),
            "held_to_the_end": _after(self._held_to_the_end, 10.0),
            "dropped": _after(lambda w: self.dropped(w).astype(float), -10.0),
        }

    def reset(self, key: jax.Array, params: Params) -> Start:
        """Lay socket and peg on the table, each in the fan before its arm."""
        draws = jax.random.uniform(key, (2, 1 + arms.FAN_DRAWS), minval=-1.0, maxval=1.0)
        left, left_ctrl = arms.home_pose(WAIST * draws[0, 0])
        right, right_ctrl = arms.home_pose(WAIST * draws[1, 0])
        socket = arms.fan_pose(self.left, draws[0, 1:], FAN, REST_HEIGHT["socket"])
        peg = arms.fan_pose(self.right, draws[1, 1:], FAN, REST_HEIGHT["peg"])
        qpos = jnp.concatenate([left, right, socket, peg])
        tracks = (tracking.start(), tracking.start()) if self.tracking else None
        state = State(jnp.bool_(False), jnp.int32(0), tracks)
        return Start(qpos, jnp.zeros(28), jnp.concatenate([left_ctrl, right_ctrl]), state)

    def target(self, world: World, action: jax.Array) -> tuple[jax.Array, State]:
        """Move the joint targets of both arms by the action: left 7, right 7."""
        left = arms.move(self.left, world.ctrl[:7], action[:7], self.scale)
        right = arms.move(self.right, world.ctrl[7:], action[7:], self.scale)
        return jnp.concatenate([left, right]), world.state

    def advance(self, world: World, action: jax.Array) -> Outcome:
        """Judge the state after a step; the switch is latched here."""
        hands = self.hands(world)
        high = (self._height(self.left, hands.left.tool) > sizes.HANDOVER_HEIGHT) & (
            self._height(self.right, hands.right.tool) > sizes.HANDOVER_HEIGHT
        )
        acted = world.state.switched
        state = world.state._replace(switched=acted | high, steps=jnp.where(acted, world.state.steps + 1, 0))
        world = world._replace(state=state)
        reward, terms = combine(self.rewards, world)
        outside = ~jnp.all(jnp.abs(jnp.concatenate(self._places(hands))) < BOUNDS)
        dropped = acted & self.dropped(world)
        tilted = acted & ((_tilt(hands.left) > TILT) | (_tilt(hands.right) > TILT))
        success = inserted(world.signals) & ~(outside | dropped | tilted)
        # What an episode that ended now would be called; NaN positions count as out of bounds.
        failure = jnp.where(state.switched, jnp.where(_on_axis(world) > 0, 1, 4), 2)
        failure = jnp.where(tilted, 5, jnp.where(dropped, 3, jnp.where(success, 0, failure)))
        failure = jnp.where(outside, 6, failure).astype(jnp.int32)
        done = outside | dropped | tilted | (state.steps >= self.acting_steps)
        return Outcome(state, reward, terms, done, success, failure)

    def remember(self, world: World, key: jax.Array) -> State:
        """Take the measurement that ``observe`` makes with the same key into the tracks."""
        state: State = world.state
        if state.tracks is None:
            return state
        seen = zip(state.tracks, self._measured(world, key), self.grips, strict=True)
        socket, peg = (tracking.follow(track, view, self.noise, grip) for track, view, grip in seen)
        return state._replace(tracks=(socket, peg))

    def observe(self, world: World, key: jax.Array) -> Observation:
        """Return 53 numbers per arm and the way of the peg end to the socket's middle (3)."""
        hands, noisy = self.hands(world), self._measured(world, key)
        half = self.noise.object_pos
        shift = jax.random.uniform(jax.random.split(key, 3)[2], (3,), minval=-half, maxval=half)
        peg_end = world.signals.peg_end_in_socket + shift
        if world.state.tracks is not None:
            noisy = Hands(*map(tracking.tracked, world.state.tracks, noisy, self.grips))
            # Two tracked poses give the peg's end more precisely than one measurement of it.
            peg_end = jnp.where(world.state.tracks[0].updates > 0, self._peg_end(noisy), peg_end)
        clean = self._numbers(hands, world.signals.peg_end_in_socket)
        time = world.state.steps / self.acting_steps
        inputs = {
            "joint_pos": finite(jnp.concatenate([noisy.left.joint_pos, noisy.right.joint_pos])),
            "joint_target": world.ctrl,
            "switched": world.state.switched.astype(float)[None],
        }
        return Observation(
            self._numbers(noisy, peg_end),
            jnp.concatenate([clean, time[None], world.state.switched.astype(float)[None]]),
            inputs,
        )

    def hands(self, world: World) -> Hands:
        """Return what each arm knows of itself and its object."""
        return Hands(
            arms.view(self.left, world.signals, "socket", world.ctrl[:7]),
            arms.view(self.right, world.signals, "peg", world.ctrl[7:]),
        )

    def _measured(self, world: World, key: jax.Array) -> Hands:
        """Return both views with measurement noise."""
        left_key, right_key, _ = jax.random.split(key, 3)
        hands = self.hands(world)
        return Hands(arms.disturb(hands.left, self.noise, left_key), arms.disturb(hands.right, self.noise, right_key))

    def _peg_end(self, hands: Hands) -> jax.Array:
        """Return where the peg's end (3,) is from the socket's end, in the socket's axes, by both objects' poses."""
        peg_end = arms.in_world(self.right, hands.right.position + hands.right.rotation @ self.peg_end)
        offset = arms.in_base(self.left, peg_end) - hands.left.position
        return hands.left.rotation.T @ offset - self.socket_end

    def dropped(self, world: World) -> jax.Array:
        """Return whether an object lies too low."""
        places = self._places(self.hands(world))
        return (places[0][2] < DROPPED) | (places[1][2] < DROPPED)

    def _numbers(self, hands: Hands, peg_end: jax.Array) -> jax.Array:
        rear = jnp.array([DEPTH, 0.0, 0.0])
        left = arms.observe_arm(hands.left, arms.in_base(self.left, jnp.array(TARGETS["socket"])))
        right = arms.observe_arm(hands.right, arms.in_base(self.right, jnp.array(TARGETS["peg"])))
        return jnp.concatenate([left, right, finite(rear - peg_end)])

    def _places(self, hands: Hands) -> tuple[jax.Array, jax.Array]:
        """Return the world positions (3,) of socket and peg."""
        return arms.in_world(self.left, hands.left.position), arms.in_world(self.right, hands.right.position)

    def _height(self, arm: arms.Arm, point: jax.Array) -> jax.Array:
        return arms.in_world(arm, point)[2]

    def _home(self, world: World) -> jax.Array:
        left = world.signals.left_joint_pos[:6] - jnp.array(READY["left"])
        right = world.signals.right_joint_pos[:6] - jnp.array(READY["right"])
        return closeness(length(jnp.concatenate([left, right])), 1.0)

    def _held_to_the_end(self, world: World) -> jax.Array:
        hands = self.hands(world)
        held = (hands.left.grip_error < HELD) & (hands.right.grip_error < HELD)
        return (held & (world.state.steps >= self.acting_steps)).astype(float)


def _after(fn: Callable[[World], jax.Array], weight: float) -> Term:
    """Return a term that counts only after the switch."""
    return Term(lambda world: jnp.where(world.state.switched, fn(world), 0.0), weight)


def _on_axis(world: World) -> jax.Array:
    return (length(world.signals.peg_end_in_socket[1:]) < ON_AXIS).astype(float)


def _turned(view: arms.ArmView) -> jax.Array:
    return rotation.row_distance(jnp.eye(3), view.rotation)


def _tilt(view: arms.ArmView) -> jax.Array:
    """Return the angle (rad) between the object's z and the vertical."""
    return jnp.arccos(jnp.clip(view.rotation[2, 2], -1.0, 1.0))
