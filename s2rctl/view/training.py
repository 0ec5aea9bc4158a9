"""A training that is under way: its policy as of the last checkpoint, episode after episode, replaced as it learns."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from s2rctl.core.errors import ArtifactError
from s2rctl.env.build import make_env
from s2rctl.env.vec_env import VecEnv
from s2rctl.evaluation.actors import Act, Actor
from s2rctl.learning.policy_files import KINDS, SO_FAR, WEIGHTS, Policy, Remembering, load_policy
from s2rctl.robots import ROBOTS
from s2rctl.schema.profile import Profile
from s2rctl.store.reading import read_json
from s2rctl.store.store import Store
from s2rctl.systems.protocol import Policy as PolicyRow
from s2rctl.view.episodes import Episodes
from s2rctl.view.moment import Moment
from s2rctl.view.opening import with_seen_cameras


class Learning:
    """A policy whose parameters are read again when a training has written newer ones; compiled once."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / WEIGHTS
        self._stamp = self._file.stat().st_mtime_ns
        self._policy: Policy = load_policy(folder)
        made = KINDS.load(self._policy.kind)(self._policy.config)
        self._apply: Any = jax.jit(made.apply if isinstance(made, Remembering) else made)
        self.renewed = 0

    @property
    def actor(self) -> Actor:
        """How it acts, with the parameters of the moment."""
        policy = self._policy
        if policy.memory:
            return Actor(policy.memory, lambda seen, memory: self._apply(self._policy.params, seen, memory))
        return Actor((), lambda seen, memory: (self._apply(self._policy.params, seen), memory))

    @property
    def written(self) -> float:
        """When the parameters were written, s since 1970."""
        return self._stamp / 1e9

    def renew(self) -> bool:
        """Read the parameters if newer ones are there, and say so; a run that has been cleaned up keeps its last."""
        try:
            stamp = self._file.stat().st_mtime_ns
            if stamp == self._stamp:
                return False
            self._policy = load_policy(self._file.parent)
        except (OSError, ArtifactError):
            return False
        self._stamp, self.renewed = stamp, self.renewed + 1
        return True


class Training(Episodes):
    """Implements ``Show``: the policy of a run; each new episode begins with its newest parameters."""

    def __init__(self, env: VecEnv, learning: Learning, profile: Profile, title: str, pilot: Act | None = None) -> None:
        self._learning = learning
        super().__init__(env, learning.actor, profile, title, profile.seed, pilot)

    def _anew(self) -> None:
        self._learning.renew()
        super()._anew()

    def _at(self, state: Any) -> Moment:
        moment = super()._at(state)
        clock = time.strftime("%H:%M:%S", time.localtime(self._learning.written))
        told = {"policy": f"as of {clock}, renewed {self._learning.renewed} times"}
        return replace(moment, words=told | dict(moment.words))


def show_training(store: Store, folder: Path, profile: Profile, policy: PolicyRow, title: str) -> Training:
    """Return what the run in a folder has learned so far of a policy; ArtifactError where it has saved none yet."""
    if not (folder / SO_FAR / WEIGHTS).is_file():
        raise ArtifactError("the run has not saved a policy yet", "wait for its first checkpoint")
    profile = with_seen_cameras(profile, policy.task)
    env = make_env(profile, policy.task, 1, seed=profile.seed, images=bool(profile.vision.cameras))
    return Training(env, Learning(folder / SO_FAR), profile, title, _pilot(store, folder, policy, profile.robot.name))


def _pilot(store: Store, folder: Path, policy: PolicyRow, robot: str) -> Act | None:
    """Return what drives before the policy acts: what the run is trained with."""
    make = policy.load_pilot()
    if make is None:
        return None
    inputs = read_json(folder / "state.json").get("inputs", {})
    driver = load_policy(store.get(str(inputs[policy.pilot_role])).folder())
    pilot = jax.jit(make(driver, len(ROBOTS.load(robot).command)))
    return lambda observation: jnp.asarray(pilot(observation))
