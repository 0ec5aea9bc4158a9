"""The manifest of an artifact: what it is made of, in canonical JSON."""

from typing import Any, Literal

from s2rctl.schema.base import Model, quantity
from s2rctl.schema.contract import Contract

Kind = Literal["teacher", "encoder", "student", "reach", "onnx", "evaluation", "calibration", "deployment", "report"]


class File(Model):
    """One file of an artifact."""

    path: str = quantity(..., "", "path inside the artifact", pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$")
    sha256: str = quantity(..., "", "content address", pattern="^[0-9a-f]{64}$")
    size: int = quantity(..., "byte", "size", ge=0)
    media_type: str


class InputRef(Model):
    """An artifact this one was made from."""

    role: str
    id: str = quantity(..., "", "manifest id", pattern="^[0-9a-f]{64}$")


class StageRef(Model):
    """The stage that made an artifact."""

    name: str
    version: int


class Content(Model):
    """The part whose digest is the artifact's id."""

    schema_version: Literal[1] = 1
    kind: Kind
    name: str = quantity(..., "", "artifact name", pattern=r"^[a-z0-9][a-z0-9._-]*$")
    files: tuple[File, ...]
    inputs: tuple[InputRef, ...] = ()
    profile_sha256: str
    profile: dict[str, Any] = quantity(..., "", "the resolved profile")
    seed: int
    stage: StageRef
    contract: Contract | None = None


class Origin(Model):
    """Where and how it was made: outside the digest."""

    created_at: str
    host: str
    git: str
    versions: dict[str, str]
    duration_s: float
    metrics: dict[str, Any]


class Manifest(Model):
    """Content plus origin."""

    content: Content
    origin: Origin
