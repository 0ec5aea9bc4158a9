"""The manifest of an artifact: what it is made of, in canonical JSON."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, SerializerFunctionWrapHandler, model_serializer

from s2rctl.core.names import path_fault, paths_fault
from s2rctl.schema.base import Model, quantity
from s2rctl.schema.contract import Contract

Kind = Literal[
    "teacher", "encoder", "student", "reach", "onnx", "evaluation", "calibration", "identification", "deployment",
    "report", "sweep",
]  # fmt: skip

_LARGEST = 1 << 62  # bytes


def _safe(path: str) -> str:
    """Return the path; ValueError if a file could not be made under it below the artifact's own folder."""
    fault = path_fault(path)
    if fault is not None:
        raise ValueError(f"the path {fault}")
    return path


def _distinct(files: "tuple[File, ...]") -> "tuple[File, ...]":
    """Return the files; ValueError if they cannot all be there side by side."""
    fault = paths_fault(file.path for file in files)
    if fault is not None:
        raise ValueError(fault)
    return files


class File(Model):
    """One file of an artifact."""

    path: Annotated[str, AfterValidator(_safe)] = quantity(
        ..., "", "path inside the artifact", pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$"
    )
    sha256: str = quantity(..., "", "content address", pattern="^[0-9a-f]{64}$")
    size: int = quantity(..., "byte", "size", ge=0, le=_LARGEST)
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
    name: Annotated[str, AfterValidator(_safe)] = quantity(..., "", "artifact name", pattern=r"^[a-z0-9][a-z0-9._-]*$")
    files: Annotated[tuple[File, ...], AfterValidator(_distinct)]
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
    # Figures stand in the origin, so damage there must be found too; the id cannot tell.
    origin_sha256: str | None = quantity(
        None, "", "digest of the origin's canonical JSON; older manifests have none", pattern="^[0-9a-f]{64}$"
    )

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write an older manifest as it was."""
        values: dict[str, Any] = handler(self)
        return values if self.origin_sha256 is not None else {k: v for k, v in values.items() if k != "origin_sha256"}
