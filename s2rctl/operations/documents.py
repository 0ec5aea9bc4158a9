"""Results that are kept as one JSON file of an artifact."""

from typing import TypeVar

from s2rctl.core.errors import ArtifactError
from s2rctl.schema.base import Model
from s2rctl.store.store import Artifact

Found = TypeVar("Found", bound=Model)


def read_document(artifact: Artifact, file: str, model: type[Found], again: str) -> Found:
    """Return what a file of an artifact says; ArtifactError, which hints at ``again``, where it cannot be read."""
    try:
        return model.model_validate_json(artifact.path(file).read_text())
    except ValueError as error:
        kind = artifact.manifest.content.kind
        raise ArtifactError(f"the {kind} in {artifact.ref} ({artifact.id[:12]}) cannot be read", again) from error
