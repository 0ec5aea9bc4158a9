"""Checks a store: every manifest, blob, ref and cache key; damaged files are set aside, and who needs them is named."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from s2rctl.core.errors import ArtifactError
from s2rctl.store.artifact import Artifact, producer
from s2rctl.store.store import Store

Fault = Literal["blob-corrupt", "blob-missing", "manifest-corrupt", "ref-dangling", "key-dangling"]


@dataclass(frozen=True)
class Problem:
    """One fault, the artifacts it affects, and the command that repairs it."""

    fault: Fault
    what: str
    affected: tuple[str, ...]
    hint: str
    quarantined: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What was looked at and what is wrong."""

    manifests: int
    blobs: int
    full: bool
    problems: tuple[Problem, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(store: Store, full: bool = False) -> Verdict:
    """Check the store and move corrupt files to ``quarantine/``.

    The quick check looks at sizes, ``full`` hashes every blob. Inputs that an archive left out are no fault.
    """
    problems: list[Problem] = []
    good: dict[str, Artifact] = {}
    broken: set[str] = set()
    for identity in store.ids():
        try:
            good[identity] = store.get(identity)
        except ArtifactError:
            broken.add(identity)
            path = store.root / "manifests" / f"{identity}.json"
            problems.append(
                Problem(
                    "manifest-corrupt",
                    f"manifest {identity}",
                    (identity,),
                    "run its pipeline again or import it",
                    _quarantine(store, path),
                )
            )
    problems += _blob_problems(store, good, full)
    for ref, identity in store.refs.all().items():
        if identity not in good:
            problems.append(
                Problem("ref-dangling", f"ref {ref} -> {identity[:12]}", (identity,), f"s2rctl artifacts rm {ref}")
            )
    for key, identity in store.keys().items():
        if identity not in good:
            hint = "harmless: the stage runs again; s2rctl artifacts gc --yes removes it"
            problems.append(Problem("key-dangling", f"cache key {key[:12]} -> {identity[:12]}", (identity,), hint))
    return Verdict(len(good) + len(broken), sum(1 for _ in store.blobs.all()), full, tuple(problems))


def _blob_problems(store: Store, artifacts: dict[str, Artifact], full: bool) -> list[Problem]:
    users: dict[tuple[str, int], list[Artifact]] = {}
    for artifact in artifacts.values():
        for file in artifact.manifest.content.files:
            users.setdefault((file.sha256, file.size), []).append(artifact)
    problems = []
    for (sha256, size), needing in sorted(users.items()):
        path = store.blobs.path(sha256)
        names = tuple(f"{artifact.ref} ({artifact.id[:12]})" for artifact in needing)
        hint = f"make it again: {producer(needing[0].manifest)}"
        if not path.is_file():
            problems.append(Problem("blob-missing", f"blob {sha256}", names, hint))
        elif not store.blobs.present(sha256, size) or (full and not store.blobs.fresh(sha256)):
            problems.append(Problem("blob-corrupt", f"blob {sha256}", names, hint, _quarantine(store, path, sha256)))
    if full:
        known = {sha256 for sha256, _ in users}
        for sha256 in store.blobs.all():
            if sha256 not in known and not store.blobs.fresh(sha256):
                moved = _quarantine(store, store.blobs.path(sha256), sha256)
                problems.append(Problem("blob-corrupt", f"blob {sha256}", (), "nothing needs it", moved))
    return problems


def _quarantine(store: Store, path: Path, name: str | None = None) -> str | None:
    """Move a damaged file out of the way and return where it went; None if the store cannot be written."""
    try:
        with store.lock():
            folder = store.root / "quarantine"
            folder.mkdir(exist_ok=True)
            target = folder / (name or path.name)
            path.replace(target)
            return str(target)
    except OSError:
        return None
