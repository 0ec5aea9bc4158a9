"""Checks a store: every manifest, blob, ref and cache key; damaged files are set aside, and who needs them is named."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from s2rctl.core.errors import ArtifactError
from s2rctl.schema.load import profile_files
from s2rctl.store.artifact import Artifact, rebuild_command
from s2rctl.store.layout import misplaced
from s2rctl.store.place import discard, is_regular, set_aside
from s2rctl.store.reading import read_line
from s2rctl.store.store import Store

Fault = Literal[
    "blob-corrupt",
    "blob-missing",
    "manifest-corrupt",
    "ref-dangling",
    "ref-damaged",
    "key-dangling",
    "version-damaged",
    "misplaced",
]


@dataclass(frozen=True)
class Problem:
    """One fault, the artifacts it affects, and the command that repairs it."""

    fault: Fault
    what: str
    affected: tuple[str, ...]
    hint: str
    quarantined: str | None = None
    rebuild: tuple[str, ...] = ()  # the command that makes each affected artifact again


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
    """Check the store and move corrupt files, and what lies where something else belongs, to ``quarantine/``.

    The quick check looks at sizes, ``full`` hashes every blob. Inputs that an archive left out are no fault.
    """
    problems = [*_layout_problems(store), *_version_problems(store)]
    good: dict[str, Artifact] = {}
    broken: set[str] = set()
    for identity in _ids(store):
        try:
            good[identity] = store.get(identity)
        except ArtifactError:
            broken.add(identity)
            problems.append(_lost_manifest(store, identity))
    problems += _blob_problems(store, good, full)
    problems += _ref_problems(store, good)
    for key, identity in store.keys().items():
        if identity not in good:
            hint = "harmless: the stage runs again; s2rctl artifacts gc --yes removes it"
            what = f"cache key {key[:12]} -> {identity[:12] or 'damaged'}"
            problems.append(Problem("key-dangling", what, (identity,) if identity else (), hint))
    return Verdict(len(good) + len(broken), sum(1 for _ in store.blobs.all()), full, tuple(problems))


def _lost_manifest(store: Store, identity: str) -> Problem:
    """Return the problem of a damaged manifest; its refs still tell what it was, and mostly of which profile."""
    refs = [ref for ref, held in store.refs.all().items() if held == identity]
    profiles = sorted({alias for ref in refs if (alias := ref.rpartition(":")[2]) in profile_files()})
    commands = tuple(f"s2rctl pipeline run -p {name}" for name in profiles)
    what = f"manifest {identity}{f' ({refs[0]})' if refs else ''}"
    hint = f"rebuild it: {commands[0]}" if commands else "run its pipeline again or import it"
    moved = _quarantine(store, store.root / "manifests" / f"{identity}.json")
    discard(store.root, "checkouts", identity)
    return Problem("manifest-corrupt", what, (identity, *refs), hint, moved, commands)


def _ids(store: Store) -> list[str]:
    try:
        return list(store.ids())
    except ArtifactError:  # reported with the layout; it could not be moved
        return []


def _layout_problems(store: Store) -> list[Problem]:
    problems = []
    for path, why in misplaced(store.root):
        name = path.relative_to(store.root)
        # Before anything can be locked: the lock itself may be what is wrong.
        moved = _moved(store, path, "-".join(name.parts))
        hint = f"look at what was set aside in {store.root / 'quarantine'}, then repeat s2rctl artifacts verify"
        problems.append(Problem("misplaced", f"{name} {why}", (), hint, moved))
    return problems


def _version_problems(store: Store) -> list[Problem]:
    path = store.root / "VERSION"
    try:
        damaged = not read_line(path).isdecimal()
    except ArtifactError:
        damaged = True
    except OSError:
        damaged = False
    if not damaged:
        return []
    moved = _moved(store, path)
    if moved is not None:
        store.prepare()
    return [Problem("version-damaged", f"{path} holds no number", (), "repeat s2rctl artifacts verify", moved)]


def _ref_problems(store: Store, good: dict[str, Artifact]) -> list[Problem]:
    problems = []
    for ref, identity in store.refs.all().items():
        if identity and identity not in good:
            hint = f"s2rctl artifacts rm {ref} --yes"
            problems.append(Problem("ref-dangling", f"ref {ref} -> {identity[:12]}", (identity,), hint))
        elif not identity:
            known = [str(move.get("id")) for move in store.refs.history() if move.get("ref") == ref]
            last = known[-1] if known and known[-1] in good else None
            alias = ref.rpartition(":")[2]
            hint = f"s2rctl artifacts tag {last[:12]} {alias}" if last else f"s2rctl artifacts rm {ref} --yes"
            problems.append(Problem("ref-damaged", f"ref {ref}", (last,) if last else (), hint))
    return problems


def _blob_problems(store: Store, artifacts: dict[str, Artifact], full: bool) -> list[Problem]:
    users: dict[tuple[str, int], list[Artifact]] = {}
    for artifact in artifacts.values():
        for file in artifact.manifest.content.files:
            users.setdefault((file.sha256, file.size), []).append(artifact)
    problems = []
    for (sha256, size), needing in sorted(users.items()):
        path = store.blobs.path(sha256)
        names = tuple(f"{artifact.ref} ({artifact.id[:12]})" for artifact in needing)
        commands = tuple(rebuild_command(artifact) for artifact in needing)
        hint = f"rebuild it: {commands[0]}"
        if not is_regular(path):
            problems.append(Problem("blob-missing", f"blob {sha256}", names, hint, None, commands))
        elif not store.blobs.present(sha256, size) or (full and not store.blobs.fresh(sha256)):
            moved = _quarantine(store, path, sha256)
            problems.append(Problem("blob-corrupt", f"blob {sha256}", names, hint, moved, commands))
            for artifact in needing:  # their folders hold links to the same damaged bytes
                discard(store.root, "checkouts", artifact.id)
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
            return _moved(store, path, name)
    except OSError:
        return None


def _moved(store: Store, path: Path, name: str | None = None) -> str | None:
    try:
        return str(set_aside(store.root, path, name))
    except OSError:
        return None
