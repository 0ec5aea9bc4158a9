"""One teacher's training: environments, warm start, PPO and judgement, each resumable."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp

from s2rctl.core.errors import Interrupted
from s2rctl.env.build import make_env, training_dynamics
from s2rctl.env.keys import make_key
from s2rctl.env.types import EnvState
from s2rctl.env.vec_env import VecEnv
from s2rctl.evaluation.statistics import wilson
from s2rctl.experts import make_expert
from s2rctl.learning.checkpoint import Checkpoints
from s2rctl.learning.metrics_log import MetricsLog
from s2rctl.learning.policy_files import load_policy, show_so_far
from s2rctl.learning.teacher import handover as teachers
from s2rctl.learning.teacher import networks, normalise, training
from s2rctl.learning.teacher.networks import Params, TeacherSettings
from s2rctl.learning.teacher.ppo import PpoTrainer, Taught
from s2rctl.learning.teacher.rollout import acting, first_episodes
from s2rctl.learning.teacher.warm_start import WarmStarter, WarmState
from s2rctl.robots import ROBOTS
from s2rctl.schema.learning import TeacherPhase
from s2rctl.stages.protocol import Context
from s2rctl.systems import system_named
from s2rctl.systems.protocol import Policy
from s2rctl.tasks.protocol import Start

JUDGED_WORLDS = 256
"""Largest number of worlds that judge a policy side by side."""
JUDGED_SHARE = 0.2
"""Largest share of the environment steps that judging may add to those of PPO."""
MOST_JUDGEMENTS = 8


@dataclass(frozen=True)
class TeacherRun:
    """One run of either teacher stage. Every part goes on where an earlier attempt left it."""

    context: Context
    _made: dict[tuple[int, bool], VecEnv] = field(default_factory=dict)

    @cached_property
    def _policy(self) -> Policy:
        """The teacher as the table of systems has it."""
        stage = self.context.stage
        return system_named(self.context.profile.system).policy(stage.kind, stage.output)

    @property
    def task(self) -> str:
        """What is learned."""
        return self._policy.task

    @property
    def phase(self) -> TeacherPhase:
        """How it is learned."""
        return self.context.profile.section(f"teacher.{self._policy.name}", TeacherPhase)

    @property
    def episode_steps(self) -> int:
        """Length of an episode."""
        return self.context.profile.task(self.task).episode_steps

    def train(self) -> tuple[Params, int]:
        """Return the published parameters of the best policy, and the environment steps it took to find it."""
        with MetricsLog(self.context.run_folder, self._steps_done(), self.context.profile.wandb) as log:
            taught = self._warm_start(log)
            if self.phase.ppo.steps or taught is None:
                return self._ppo(log, taught)
        return _taught_params(taught), self._warm_steps()

    def judge(self, params: Params, first_batch: int, batches: int) -> tuple[int, int]:
        """Return successes and episodes of first episodes from home, deterministic actions."""

        def act(state: EnvState) -> jax.Array:
            return self._act(params, state)

        keys = [self._key(100 + first_batch + batch) for batch in range(batches)]
        return int(sum(first_episodes(self.home, act, key)[0].sum() for key in keys)), batches * self.home.worlds

    @cached_property
    def settings(self) -> TeacherSettings:
        """Shape of the policy."""
        return networks.teacher_settings(self.home.actor_size, self.home.action_size, self.phase.network)

    @property
    def home(self) -> VecEnv:
        """The environment that judges: every episode begins as the task says, and no pilot of its own."""
        return self._env(min(JUDGED_WORLDS, self.phase.gate.episodes), home=True)

    @cached_property
    def _checkpoints(self) -> tuple[Checkpoints, Checkpoints]:
        """Those of the warm start and those of PPO."""
        folder = self.context.run_folder / "checkpoints"
        return Checkpoints(folder / "warm", keep=1), Checkpoints(folder / "ppo")

    @cached_property
    def _pilot(self) -> teachers.Pilot | None:
        """What drives before the learner acts."""
        make = self._policy.load_pilot()
        if make is None:
            return None
        policy = load_policy(self.context.inputs[self._policy.pilot_role].folder())
        pilot: teachers.Pilot = make(policy, len(ROBOTS.load(self.context.profile.robot.name).command))
        return pilot

    @cached_property
    def _bank(self) -> Start | None:
        """Starts at the moment of the switch, made once and kept in the run folder."""
        if self._pilot is None or not self.phase.bank_probability:
            return None
        path = self.context.run_folder / "bank.safetensors"
        return teachers.kept_bank(path, self.home, self._pilot, self._expert(), self._key(3), self.context.reporter)

    @cached_property
    def _act(self) -> Callable[[Params, EnvState], jax.Array]:
        """Return the deterministic action in ``home``: the policy's where it acts, else the pilot's."""
        env, settings, pilot = self.home, self.settings, self._pilot

        def act(params: Params, state: EnvState) -> jax.Array:
            action = networks.teacher_action(params, settings, state.observation.actor)
            if pilot is None:
                return action
            return jnp.where(acting(env, state)[:, None], action, pilot(state.observation))

        return jax.jit(act)

    def _warm_start(self, log: MetricsLog) -> Taught | None:
        """Imitate the expert; None without a warm start, or when PPO has already begun from it."""
        warm, checkpoints = self.phase.warm_start, self._checkpoints[0]
        if not warm.rounds or self._checkpoints[1].latest() is not None:
            return None
        reporter = self.context.reporter
        env = self._env(warm.worlds, home=False)
        reporter.start(f"{self.task} warm start", warm.rounds, "rounds")
        starter = WarmStarter(env, self.settings, warm, self._expert(), self._key(1))
        state = starter.start()
        if checkpoints.latest() is not None:
            state = checkpoints.restore(state)
        saved = time.monotonic()
        while int(state.round) < warm.rounds:
            state = self._round(starter, state, log)
            if time.monotonic() - saved > self.phase.checkpoint_interval_s or int(state.round) == warm.rounds:
                checkpoints.save(int(state.round), state)
                self._show(_taught_params(starter.taught(state)))
                saved = time.monotonic()
        reporter.finish(f"imitated the expert on {int(state.filled)} samples")
        return starter.taught(state)

    def _show(self, params: Params) -> None:
        """Leave the policy as it is for those who watch."""
        show_so_far(self.context.run_folder, "teacher", self.settings.model_dump(mode="json"), params)

    def _round(self, starter: WarmStarter, state: WarmState, log: MetricsLog) -> WarmState:
        """Do one round of the warm start, or save the last one and leave."""
        number, context = int(state.round), self.context

        def carry_on(share: float) -> bool:
            context.reporter.update(number + share, {})
            return not context.interrupt.requested

        advanced = starter.advance(state, carry_on)
        if advanced is None:
            self._checkpoints[0].save(number, state)
            raise Interrupted(f"stopped in round {number + 1} of the warm start", "run the same command again")
        state, figures = advanced
        log.record((number + 1) * starter.steps_per_round, figures, "warm_start")
        shown = {"action_error": figures["action_error"]}
        who = "" if figures["episodes"] else "expert_"
        if figures[f"{who}episodes"]:
            shown[f"{who}success"] = figures[f"{who}successes"] / figures[f"{who}episodes"]
        context.reporter.update(number + 1, shown)
        return state

    def _ppo(self, log: MetricsLog, taught: Taught | None) -> tuple[Params, int]:
        phase, reporter = self.phase, self.context.reporter
        env = self._env(phase.ppo.worlds, home=False)
        trainer = PpoTrainer(env, self.settings, phase.network.value, phase.ppo, bool(phase.warm_start.rounds))
        reporter.start(f"{self.task} ppo", trainer.iterations * trainer.steps_per_iteration, "steps")
        checkpoints = self._checkpoints[1]
        snapshot = training.start(trainer, self._key(2), taught, checkpoints)
        affordable = JUDGED_SHARE * phase.ppo.steps / (self.home.worlds * self.episode_steps)
        limits = training.Limits(
            checkpoint_interval_s=phase.checkpoint_interval_s,
            stop_early=phase.stop_early,
            enough=self._enough,
            gate=phase.gate.success_low,
            interval=wilson,
            episodes=phase.gate.episodes,
            judgements=int(max(1, min(MOST_JUDGEMENTS, affordable))),
        )
        around = training.Surroundings(
            checkpoints, log, reporter, self.context.interrupt, self._warm_steps(), self._show
        )
        snapshot = training.train(trainer, snapshot, lambda params: self.judge(params, 0, 1), limits, around)
        done = int(snapshot.state.iteration) * trainer.steps_per_iteration
        successes, episodes = (int(n) for n in snapshot.best_count)
        reporter.finish(f"{done} steps, best policy {successes}/{episodes} from the start")
        return snapshot.best, self._warm_steps() + done

    def _enough(self, successes: int, episodes: int) -> bool:
        """Return whether the gate is met with confidence; a gate of 0 asks for nothing and ends nothing."""
        gate = self.phase.gate.success_low
        return gate > 0 and wilson(successes, episodes)[0] >= gate

    def _steps_done(self) -> int:
        """Return the environment steps behind the newest checkpoint."""
        rounds, iteration = (checkpoints.latest() for checkpoints in self._checkpoints)
        if iteration is not None:
            return self._warm_steps() + iteration * self.phase.ppo.worlds * self.phase.ppo.unroll
        return (rounds or 0) * self.phase.warm_start.worlds * self.episode_steps

    def _warm_steps(self) -> int:
        warm = self.phase.warm_start
        return warm.rounds * warm.worlds * self.episode_steps

    def _env(self, worlds: int, home: bool) -> VecEnv:
        """Return the environment with that many worlds, one of each kind: compiled functions belong to it."""
        bank = None if home else self._bank
        pilot = None if home else self._pilot
        share = self.phase.dynamics
        plain = pilot is None and bank is None and not self.phase.emphasis and not share
        kind = (worlds, home or plain)
        if kind not in self._made:
            self._made[kind] = make_env(
                self.context.profile,
                self.task,
                worlds,
                seed=self.context.seed,
                images=False,
                pilot=pilot,
                bank=bank,
                bank_probability=self.phase.bank_probability if bank is not None else 0.0,
                emphasis=0.0 if home else self.phase.emphasis,
                dynamics=training_dynamics(
                    self.context.profile, self.task, worlds, self.context.seed, share, judging=home
                ),
            )
        return self._made[kind]

    def _expert(self) -> Callable[[Any], jax.Array]:
        return make_expert(self.context.profile, self.task)

    def _key(self, number: int) -> jax.Array:
        return jax.random.fold_in(make_key(self.context.seed), number)


def _taught_params(taught: Taught) -> Params:
    return {"actor": taught.actor, "normaliser": normalise.published(taught.actor_statistics)}
