"""Making an artifact again from its manifest, and whether the result is the same."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from s2rctl.core.errors import ArtifactError, UsageError
from s2rctl.core.interrupt import interruptible
from s2rctl.core.progress import Reporter
from s2rctl.evaluation.statistics import holm
from s2rctl.pipeline.compare import EPISODES, RateDifference, compared_rates, paired_files
from s2rctl.pipeline.first_difference import Place, first_difference
from s2rctl.pipeline.key import cache_key
from s2rctl.pipeline.origin import stage_of
from s2rctl.pipeline.run import Job, publish, work
from s2rctl.schema.load import load_resolved
from s2rctl.schema.profile import Profile
from s2rctl.stages.protocol import Result
from s2rctl.store.blobs import file_digest
from s2rctl.store.canonical import digest, plain
from s2rctl.store.lock import locked
from s2rctl.store.provenance import make_origin
from s2rctl.store.store import Artifact, Store
from s2rctl.systems.protocol import Stage

SIGNIFICANT = 0.05
"""Corrected p-value below which two success rates count as different."""
ALIAS = "reproduced"
"""Alias of what ``reproduce --keep`` made."""
_DRAWN = {".png", ".mp4", ".webm", ".html", ".mcap"}
"""What is drawn or recorded besides: pictures, films and pages show how long things took, and recordings are of it."""
_LOGS = "events/"

FileState = Literal["equal", "times", "differs", "missing", "new"]


@dataclass(frozen=True)
class FileVerdict:
    """How one file compares with what the manifest names."""

    path: str
    state: FileState  # "times": only how long something took differs
    counts: bool  # whether it is part of the verdict: pictures and logs of times are not
    place: Place | None = None  # where the first difference is; None if the original is damaged too


@dataclass(frozen=True)
class Reproduction:
    """How making an artifact again ended."""

    verdict: Literal["bitwise equal", "statistically equal", "different"]
    files: tuple[FileVerdict, ...]
    rates: tuple[RateDifference, ...]  # original against reproduction
    then_and_now: tuple[str, ...]  # what is not as it was: stage version, code, packages, profile fields
    kept: Artifact | None = None

    @property
    def first(self) -> FileVerdict | None:
        """The first file that counts and differs."""
        return next((file for file in self.files if file.counts and file.state not in ("equal", "times")), None)

    @property
    def bitwise(self) -> int:
        """Number of files that are equal, byte for byte."""
        return sum(file.state == "equal" for file in self.files)


@dataclass(frozen=True)
class Again:
    """What is needed to make an artifact again."""

    artifact: Artifact
    stage: Stage
    profile: Profile
    inputs: Mapping[str, Artifact]

    @classmethod
    def of(cls, artifact: Artifact) -> "Again":
        """Find stage, profile and inputs; UsageError if no stage makes it, ArtifactError if something is missing."""
        content = artifact.manifest.content
        stage = stage_of(artifact)
        if stage is None:
            raise UsageError(
                f"no stage makes {artifact.ref} again: it came from '{content.stage.name}'",
                "artifacts of training, export, evaluation and rehearsal can be made again",
            )
        profile = load_resolved(content.profile, (), content.seed).profile
        inputs = {item.role: _input(artifact, item.role, item.id) for item in content.inputs}
        lacking = [wanted.role for wanted in stage.inputs if wanted.role not in inputs]
        if lacking:
            raise ArtifactError(
                f"{stage.name} needs an input '{lacking[0]}' today, which {artifact.ref} was made without",
                f"s2rctl pipeline run -p {profile.name} --from {stage.name}",
            )
        return cls(artifact, stage, profile, inputs)


def _input(artifact: Artifact, role: str, identity: str) -> Artifact:
    try:
        found = artifact.store.get(identity)
        if not found.intact():
            raise ArtifactError(f"its input {role}, {found.ref} ({identity[:12]}), is damaged")
    except ArtifactError as error:
        raise ArtifactError(
            f"{artifact.ref} cannot be made again: {error.message}", f"s2rctl reproduce {identity[:12]} --keep"
        ) from error
    return found


def reproduce(again: Again, store: Store, reporter: Reporter, *, keep: bool, resume: str) -> Reproduction:
    """Run the stage on the same inputs with the same profile and seed, and compare; stopped, it goes on where it was.

    With ``keep`` the result is published under the alias ``reproduced``: equal bytes heal a damaged original, and
    otherwise what pointed at a damaged original then points at the new one.
    """
    artifact = again.artifact
    key = digest({"reproduce": artifact.id})
    job = Job(again.profile, store, reporter, resume, refs=False)
    folder = store.run_folder(key)
    with locked(folder.parent / f".{folder.name}.lock", f"the reproduction of {artifact.ref}", timeout=1.0):
        with interruptible() as interrupt:
            result, seconds = work(again.stage, job, again.inputs, interrupt, key, folder)
        files = _files(artifact, result)
        rates = _rates(artifact, result)
        changed = _then_and_now(again)
        kept = _keep(again, job, result, seconds) if keep else None
        shutil.rmtree(folder, ignore_errors=True)
    same_card = result.contract == artifact.manifest.content.contract
    return Reproduction(_verdict(files, rates, same_card), files, rates, changed, kept)


def _verdict(
    files: tuple[FileVerdict, ...], rates: tuple[RateDifference, ...], same_card: bool
) -> Literal["bitwise equal", "statistically equal", "different"]:
    if same_card and all(file.state in ("equal", "times") for file in files if file.counts):
        return "bitwise equal"
    if rates and min(holm([rate.p_value for rate in rates])) >= SIGNIFICANT:
        return "statistically equal"
    return "different"


def _files(artifact: Artifact, result: Result) -> tuple[FileVerdict, ...]:
    """Return how each file compares; those that decide first, each group by name."""
    names = sorted({*artifact.files, *result.files}, key=lambda name: (not _counts(name), name))
    return tuple(_file(artifact, name, result.files.get(name)) for name in names)


def _counts(name: str) -> bool:
    return not name.startswith(_LOGS) and Path(name).suffix not in _DRAWN


def _file(artifact: Artifact, name: str, made: Path | None) -> FileVerdict:
    counts = _counts(name)
    if made is None:
        return FileVerdict(name, "missing", counts)
    if name not in artifact.files:
        return FileVerdict(name, "new", counts)
    if file_digest(made) == artifact.files[name].sha256:
        return FileVerdict(name, "equal", counts)
    try:
        original = artifact.path(name)
    except ArtifactError:
        return FileVerdict(name, "differs", counts)
    # Blobs have no suffix, which tells what a file is; a link has.
    with_suffix = made.parent / f".original{Path(name).suffix}"
    with_suffix.unlink(missing_ok=True)
    with_suffix.symlink_to(original)
    try:
        place = first_difference(with_suffix, made)
    finally:
        with_suffix.unlink()
    return FileVerdict(name, "times" if place is None else "differs", counts, place)


def _rates(artifact: Artifact, result: Result) -> tuple[RateDifference, ...]:
    pairs = None
    if EPISODES in artifact.files and EPISODES in result.files:
        try:
            pairs = paired_files(artifact.path(EPISODES), result.files[EPISODES])
        except (ArtifactError, OSError, ValueError, KeyError, TypeError):
            pairs = None
    return tuple(compared_rates(artifact.manifest.origin.metrics, plain(result.metrics), pairs))


def _then_and_now(again: Again) -> tuple[str, ...]:
    """Return what is not as it was when the original was made, one short text each."""
    content, origin = again.artifact.manifest.content, again.artifact.manifest.origin
    now = make_origin({}, 0.0)
    found = []
    if content.stage.version != again.stage.version:
        found.append(f"stage version {content.stage.version} -> {again.stage.version}")
    if origin.git != now.git:
        found.append(f"code {origin.git or 'unknown'} -> {now.git or 'unknown'}")
    for name in sorted({*origin.versions, *now.versions}):
        before, after = origin.versions.get(name), now.versions.get(name)
        if before != after:
            found.append(f"{name} {before or 'absent'} -> {after or 'absent'}")
    if origin.host != now.host:
        found.append(f"machine {origin.host} -> {now.host}")
    return tuple(found)


def _keep(again: Again, job: Job, result: Result, seconds: float) -> Artifact:
    """Publish the result; what named a damaged original names the new one, unless its bytes healed the original."""
    store, original = job.store, again.artifact
    key = cache_key(again.stage, again.profile, {role: item.id for role, item in again.inputs.items()})
    bound = store.lookup_key(key)
    made = publish(again.stage, job, again.inputs, result, seconds, key)
    if bound is not None and bound.id not in (made.id, original.id) and bound.intact():
        store.bind_key(key, bound.id)  # what pipelines find there is whole, and newer
    store.set_ref(f"{made.ref}:{ALIAS}", made.id, f"reproduce {original.id[:12]}")
    if not original.intact():
        for ref, identity in store.refs.all().items():
            if identity == original.id:
                store.set_ref(ref, made.id, f"reproduce {original.id[:12]}, which is damaged")
    return made
