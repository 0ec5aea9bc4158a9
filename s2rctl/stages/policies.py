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
from s2rctl.evaluation.episodes import Act, Episodes, play
from s2rctl.evaluation.policies import onnx_policy
from s2rctl.schema.contract import Contract
from s2rctl.schema.manifest import StageRef
from s2rctl.stages.sealed import POLICY_FILE, require_sealed
from s2rctl.store.store import Artifact, Store

_TASKS = {
    ("teacher", "pick"): "pick",
    ("teacher", "insert"): "insertion",
    ("student", "aloha"): "insertion",
    ("reach", "xarm7"): "reach",
}
"""Kind and name of every policy, and the task that it does."""
_EXPORTS = {"pick": "aloha-pick", "insert": "aloha-insert", "aloha": "aloha-student", "xarm7": "xarm7-reach"}
"""Name of a policy, and that of its export."""


@dataclass(frozen=True)
class Player:
    """A policy that can be evaluated."""

    artifact: Artifact
    task: str
    act: Act
    images: bool  # whether it sees camera images (otherwise: the task's state)
    pilot: Act | None  # what drives an insertion teacher's arms until it takes over

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


def load_player(artifact: Artifact, pick: Artifact | None = None) -> Player:
    """Return an artifact as a policy; ``pick`` replaces the pick teacher that it was trained with.

    Raises ArtifactError for something that is no policy, and for an insertion teacher whose pick teacher is missing.
    """
    kind, name = policy_of(artifact)
    pilot = None
    if (kind, name) == ("teacher", "insert"):
        import jax

        from s2rctl.learning.policy_files import load_policy
        from s2rctl.learning.teachers import pick_pilot

        pilot = jax.jit(pick_pilot(load_policy((pick or pick_of(artifact)).folder())))
    return Player(artifact, _TASKS[kind, name], load_act(artifact), kind != "teacher", pilot)


def policy_of(artifact: Artifact) -> tuple[str, str]:
    """Return kind and name of the policy that an artifact is, or that it was exported from."""
    content = artifact.manifest.content
    kind, name = content.kind, content.name
    if kind == "onnx":
        kind, _, name = _contract(artifact).policy.partition("/")  # type: ignore[assignment]
    if (kind, name) not in _TASKS:
        known = ", ".join(f"{kind}/{name}" for kind, name in _TASKS)
        raise ArtifactError(f"{artifact.ref} cannot be evaluated", f"evaluate one of {known}, or an export of one")
    return kind, name


def task_of(artifact: Artifact) -> str:
    """Return the task that a policy is evaluated on; ArtifactError for something that is no policy."""
    return _TASKS[policy_of(artifact)]


def load_act(artifact: Artifact) -> Act:
    """Return how a policy acts: observations of B worlds -> actions (B, n) in [-1, 1]."""
    if artifact.manifest.content.kind == "onnx":
        contract = require_sealed(artifact)
        return onnx_policy(artifact.path(POLICY_FILE).read_bytes(), contract)
    import jax

    from s2rctl.learning.policy_files import load_policy

    return jax.jit(load_policy(artifact.folder()).act)


def pick_of(artifact: Artifact) -> Artifact:
    """Return the pick teacher that an insertion teacher, or its export, was trained with, by lineage."""
    content = artifact.manifest.content
    made_from = {item.role: item.id for item in content.inputs}
    if content.contract is not None:
        made_from |= content.contract.trained_from
    if "pick" not in made_from:
        raise ArtifactError(f"{artifact.ref} does not say which pick teacher drives first", "train it again")
    return artifact.store.get(made_from["pick"])


def _contract(artifact: Artifact) -> Contract:
    contract = artifact.manifest.content.contract
    if contract is None:
        raise ArtifactError(f"{artifact.ref} carries no contract", "export the policy again")
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
    if (kind, name) not in _TASKS:
        raise ArtifactError(f"{path.name} holds the unknown policy '{contract.policy}'", "export it with s2rctl export")
    return store.publish(
        "onnx",
        _EXPORTS[name],
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
