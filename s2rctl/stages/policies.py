"""Any policy of the store as evaluation needs it: how it acts, on which task, and who drives before it does."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2rctl.core import onnx_file
from s2rctl.core.errors import ArtifactError
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.env.vec_env import VecEnv
from s2rctl.evaluation.actors import Act, Actor
from s2rctl.evaluation.episodes import Episodes, play
from s2rctl.evaluation.policies import onnx_policy
from s2rctl.operations.sealed import POLICY_FILE, require_sealed
from s2rctl.robots import ROBOTS
from s2rctl.schema.contract import Contract, Estimate
from s2rctl.schema.manifest import StageRef
from s2rctl.store.store import Artifact, Store
from s2rctl.systems import all_systems, policy_named
from s2rctl.systems.protocol import Policy, System

TRAINED = ("teacher", "student", "reach")
"""Kinds of policies as training makes them."""


@dataclass(frozen=True)
class Player:
    """A policy that can be evaluated."""

    artifact: Artifact
    task: str
    act: Act | Actor
    images: bool  # whether it sees camera images (otherwise: the task's state)
    pilot: Act | None  # what drives an insertion teacher's arms until it takes over

    @property
    def estimates(self) -> tuple[Estimate, ...]:
        """The policy's estimates that its contract has figures of."""
        contract = self.artifact.manifest.content.contract
        return contract.estimates if contract is not None and self.artifact.manifest.content.kind == "onnx" else ()

    def play(self, env: VecEnv, episodes: int, seed: int, interrupt: Interrupt, **options: Any) -> Episodes:
        """Play first episodes in ``env``; ``options`` are those of ``episodes.play``, and ``act`` acts in its place."""
        act = options.pop("act", self.act)
        options.setdefault("reporter", NullReporter())
        return play(
            env,
            act,
            pilot=self.pilot,
            episodes=episodes,
            episode_steps=env.task.episode_steps,
            taxonomy=env.task.failures,
            seed=seed,
            interrupt=interrupt,
            **options,
        )


def load_player(artifact: Artifact, pilot_policy: Artifact | None = None) -> Player:
    """Return an artifact as a policy; ``pilot_policy`` replaces the pilot that it was trained with.

    Raises ArtifactError for something that is no policy, and for one whose pilot is missing.
    """
    system, policy = _known(artifact)
    pilot, make_pilot = None, policy.load_pilot()
    if make_pilot is not None:
        import jax

        from s2rctl.learning.policy_files import load_policy

        driver = load_policy((pilot_policy or pilot_of(artifact, policy)).folder())
        pilot = jax.jit(make_pilot(driver, len(ROBOTS.load(system.robot).command)))
    return Player(artifact, policy.task, load_act(artifact), policy.sees, pilot)


def evaluated_player(inputs: Mapping[str, Artifact]) -> Player:
    """Return the policy that a stage evaluates: its input with the role ``onnx`` or ``policy``.

    An input with the pilot's role replaces the pilot that it was trained with. Raises what ``load_player`` raises.
    """
    evaluated = inputs.get("onnx") or inputs["policy"]
    return load_player(evaluated, inputs.get(policy_of(evaluated).pilot_role))


def policy_of(artifact: Artifact) -> Policy:
    """Return which policy an artifact is, or was exported from; ArtifactError for something that is no policy."""
    return _known(artifact)[1]


def _known(artifact: Artifact) -> tuple[System, Policy]:
    content = artifact.manifest.content
    kind, name = content.kind, content.name
    if kind == "onnx":
        kind, _, name = _contract(artifact).policy.partition("/")  # type: ignore[assignment]
    found = policy_named(kind, name)
    if found is None:
        known = ", ".join(policy.ref for system in all_systems() for policy in system.policies)
        raise ArtifactError(
            f"{artifact.ref} is of kind '{content.kind}', which is not a policy",
            f"use one of {known}, or an export of one",
        )
    return found


def load_act(artifact: Artifact) -> Act | Actor:
    """Return how a policy acts: observations of B worlds (and memory) -> actions (B, n) in [-1, 1]."""
    if artifact.manifest.content.kind == "onnx":
        contract = require_sealed(artifact)
        return onnx_policy(artifact.path(POLICY_FILE).read_bytes(), contract)
    import jax

    from s2rctl.learning.policy_files import load_policy

    policy = load_policy(artifact.folder())
    return Actor(policy.memory, jax.jit(policy.step)) if policy.memory else jax.jit(policy.act)


def pilot_of(artifact: Artifact, policy: Policy) -> Artifact:
    """Return the policy that drives until this one, or its export, acts: the one it was trained with, by lineage."""
    content = artifact.manifest.content
    made_from = {item.role: item.id for item in content.inputs}
    if content.contract is not None:
        made_from |= content.contract.trained_from
    if policy.pilot_role not in made_from:
        raise ArtifactError(
            f"{artifact.ref} does not record which {policy.pilot_role} policy is its pilot", "train it again"
        )
    return artifact.store.get(made_from[policy.pilot_role])


def _contract(artifact: Artifact) -> Contract:
    contract = artifact.manifest.content.contract
    if contract is None:
        raise ArtifactError(f"{artifact.ref} has no contract", "export the policy again")
    return contract


def import_onnx(store: Store, path: Path, profile: Mapping[str, Any], seed: int) -> Artifact:
    """Return an ONNX file as an artifact: the one that holds these very bytes, else a new one (no ref is moved).

    Raises ArtifactError for a file that is missing, no graph, or without a contract of a known policy.
    """
    found = stored_onnx(store, path)
    if found is not None:
        return found
    contract = read_contract(path)
    kind, _, name = contract.policy.partition("/")
    policy = policy_named(kind, name)
    if policy is None:
        raise ArtifactError(f"{path.name} holds the unknown policy '{contract.policy}'", "export it with s2rctl export")
    return store.publish(
        "onnx",
        policy[1].export,
        {POLICY_FILE: path},
        stage=StageRef(name="import", version=1),
        profile=profile,
        seed=seed,
        contract=contract,
    )


def stored_onnx(store: Store, path: Path) -> Artifact | None:
    """Return the newest artifact whose policy.onnx has the file's content, if there is one."""
    digest = hashlib.sha256(onnx_file.read(path)).hexdigest()
    same = [a for a in store.list("onnx") if POLICY_FILE in a.files and a.files[POLICY_FILE].sha256 == digest]
    return same[-1] if same else None


def read_contract(path: Path) -> Contract:
    """Return the contract card of an ONNX file; ArtifactError if it is no graph, not as exported, or carries none."""
    from s2rctl.control.policy import contract_of

    return contract_of(path)
