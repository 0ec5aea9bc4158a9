"""What everything that uses an exported policy asks first: whether this is the file that was exported."""

from s2rctl.control.policy import card_in
from s2rctl.core import onnx_file
from s2rctl.core.errors import ArtifactError
from s2rctl.schema.contract import Contract
from s2rctl.store.store import Artifact

POLICY_FILE = "policy.onnx"


def require_sealed(artifact: Artifact) -> Contract:
    """Return the contract of an exported policy, which its file and its manifest must agree about.

    Raises ArtifactError for a file that is missing, damaged, edited, without a seal, or of another contract. Asked also
    where a result is in the cache, so that none is handed out for a file that would be refused today.
    """
    contract = artifact.manifest.content.contract
    if contract is None:
        raise ArtifactError(f"{artifact.ref} has no contract", onnx_file.HINT)
    card = card_in(onnx_file.read(artifact.path(POLICY_FILE)), f"{POLICY_FILE} of {artifact.ref} ({artifact.id[:12]})")
    if card != contract:
        raise ArtifactError(
            f"the contract in the manifest of {artifact.ref} ({artifact.id[:12]}) is not the one in its file",
            onnx_file.HINT,
        )
    return card
