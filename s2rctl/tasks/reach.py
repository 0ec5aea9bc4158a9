"""Reach: the xArm7 brings its tool to a goal by displacements of the commanded tool position, orientation held.

The policy moves the last *commanded* position, as the robot's servo mode does, so that its own lag cannot build up. The
arm's controller plans the way there within an acceleration: the arm comes after.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from s2rctl.core.errors import ProfileError
from s2rctl.core.kinematics import jacobian
from s2rctl.core.lines import PlannerState, follow
from s2rctl.robots.xarm7.specification import HOME
from s2rctl.scene.signals import real
from s2rctl.tasks import kinematics, rotation
from s2rctl.tasks.protocol import Observation, Outcome, Params, Start, Task, TaskSettings, Term, World, combine
from s2rctl.tasks.rewards import closeness, finite
from s2rctl.tasks.weights import replace_weights

WORKSPACE_MARGIN = 0.03  # m: commands may leave the goals' box by this
START_RANGE = 0.1  # m, ± of the tool at the start
BOUNDS = 2.0  # m, |tool coordinate|
DAMPING = 1e-4
SOLVER_STEPS = 3
PLANNER_STEPS = 5  # of the controller's planner per control step; the emulated one makes 12
FAILURES = ("none", "timeout", "out_of_bounds")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Signals:
    """What the reach scene measures; positions in the robot's base frame."""

    joint_pos: jax.Array = real(7, unit="rad", meaning="joint positions")
    tcp_pos: jax.Array = real(3, unit="m", meaning="tool position, by kinematics")
    tcp_quat: jax.Array = real(4, unit="", meaning="tool orientation, by kinematics")


class State(NamedTuple):
    """Task state."""

    goal: jax.Array  # (3,) m
    command: jax.Array  # (3,) m, commanded tool position
    going: PlannerState  # where the controller's planner is on its way there
    acceleration: jax.Array  # () m/s², the planner's


def make(settings: TaskSettings) -> Task:
    """Build the task for the scene's model."""
    reach = _Reach(settings)
    return Task(
        name="reach",
        scene="reach",
        signals=Signals,
        episode_steps=settings.section.episode_steps,
        action_size=3,
        action_scale=reach.scale,
        rewards=reach.rewards,
        randomised=(),
        failures=FAILURES,
        gripper_actions=(),
        reset=reach.reset,
        target=reach.target,
        advance=reach.advance,
        observe=reach.observe,
        in_sight=lambda start: jnp.stack([start.state.goal, start.state.command]),
    )


def distance(world: World) -> jax.Array:
    """Return the distance (m) of the tool from the goal."""
    return jnp.sqrt(jnp.sum((world.signals.tcp_pos - world.state.goal) ** 2) + 1e-12)


class _Planner(NamedTuple):
    """The controller's planner, which brings the tool to its target within limits instead of at once."""

    speed: float  # m/s
    acceleration: tuple[float, float]  # m/s², each episode has its own between these
    period_s: float  # of control


def _planner(settings: TaskSettings) -> _Planner | None:
    """Return the planner that the profile asks for; ProfileError for a robot that plans no way to a tool target."""
    shares, limits = settings.section.planner, settings.tool_limits
    if shares is None:
        return None
    if limits is None:
        raise ProfileError("tasks.reach.planner: this robot takes no tool targets", "set it to null")
    low, high = (share * limits.acceleration for share in shares)
    return _Planner(limits.speed, (low, high), settings.period_s)


class _Reach:
    """The task's functions, closed over constants of the model."""

    def __init__(self, settings: TaskSettings) -> None:
        self.chain = kinematics.read_chain(settings.model, "link_base", "tcp")
        self.scale = settings.section.action_scale
        self.threshold = settings.section.threshold_m
        self.goals = settings.section.goal_range_m
        self.planner = _planner(settings)
        pose = self.chain.frames(jnp.array(HOME))
        self.home = pose.position
        self.held = pose.rotation
        self.rewards = replace_weights(
            {
                # In units of 0.2 m, so that a value of about 1 per step meets the usual penalty on the action.
                "distance": Term(lambda w: jnp.minimum(distance(w), BOUNDS) / 0.2, -1.0),
                "near": Term(lambda w: closeness(distance(w), 1 / 0.03), 0.5),
            },
            settings.section.rewards,
        )

    def reset(self, key: jax.Array, params: Params) -> Start:
        """Draw the tool's start and the goal in boxes about home."""
        start_key, goal_key, planner_key = jax.random.split(key, 3)
        start = self.home + jax.random.uniform(start_key, (3,), minval=-START_RANGE, maxval=START_RANGE)
        goal = self.home + jax.random.uniform(goal_key, (3,), minval=-self.goals, maxval=self.goals)
        joints = jnp.array(HOME)
        for _ in range(2):  # one solve is meant for the few centimetres of a control step
            joints = self.solve(joints, start)
        low, high = (0.0, 0.0) if self.planner is None else self.planner.acceleration
        acceleration = jax.random.uniform(planner_key, (), minval=low, maxval=high)
        return Start(joints, jnp.zeros(7), joints, State(goal, start, PlannerState(start, jnp.zeros(3)), acceleration))

    def target(self, world: World, action: jax.Array) -> tuple[jax.Array, State]:
        """Displace the commanded tool position, kept in the workspace, and solve for the joints on the way there."""
        limit = self.goals + WORKSPACE_MARGIN
        moved = world.state.command + self.scale * jnp.clip(action, -1.0, 1.0)
        command = jnp.clip(moved, self.home - limit, self.home + limit)
        state = world.state._replace(command=command)
        state = state._replace(going=self.plan(state))
        return self.solve(world.ctrl, state.going.position), state

    def plan(self, state: State) -> PlannerState:
        """Return where the controller's planner is one control step later."""
        if self.planner is None:
            return PlannerState(state.command, jnp.zeros(3))
        speed, dt = self.planner.speed, self.planner.period_s / PLANNER_STEPS

        def tick(_: int, going: PlannerState) -> PlannerState:
            return follow(jnp, going, state.command, speed, state.acceleration, dt)

        return jax.lax.fori_loop(0, PLANNER_STEPS, tick, state.going)

    def solve(self, joints: jax.Array, position: jax.Array) -> jax.Array:
        """Return joint angles (7,) near ``joints`` with the tool at ``position`` (3,) m in its home orientation."""

        def step(_: int, q: jax.Array) -> jax.Array:
            frames = self.chain.frames(q)
            turn = rotation.rotation_vector(self.held @ frames.rotation.T)
            error = jnp.concatenate([position - frames.position, turn])
            matrix = jacobian(frames, frames.position, jnp)
            change = kinematics.damped_least_squares(matrix, error, DAMPING)
            return jnp.clip(q + change, self.chain.low, self.chain.high)

        # A loop, not unrolled: it compiles several times faster.
        return jax.lax.fori_loop(0, SOLVER_STEPS, step, joints)

    def advance(self, world: World, action: jax.Array) -> Outcome:
        """Judge the state after a step."""
        reward, terms = combine(self.rewards, world)
        outside = ~jnp.all(jnp.abs(world.signals.tcp_pos) < BOUNDS)
        success = (distance(world) < self.threshold) & ~outside
        failure = jnp.where(outside, 2, jnp.where(success, 0, 1)).astype(jnp.int32)
        return Outcome(world.state, reward, terms, outside, success, failure)

    def observe(self, world: World, key: jax.Array) -> Observation:
        """Return tool position and goal; the input is the goal.

        The critic sees too how far the command is ahead (m) and how fast the planner goes (m per control step).
        """
        tool, goal = finite(world.signals.tcp_pos), world.state.goal
        actor = jnp.concatenate([tool, goal])
        pace = world.state.going.velocity * (0.0 if self.planner is None else self.planner.period_s)
        return Observation(actor, jnp.concatenate([actor, world.state.command - tool, pace]), {"goal": goal})
