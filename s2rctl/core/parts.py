"""Whether what is installed fits together: MuJoCo's parts with each other, and all packages with the lock."""

import importlib.metadata
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution
from pathlib import Path

MUJOCO = ("mujoco", "mujoco-core", "mujoco-studio")
"""Since 4.0 three packages that share a folder; until 3.x the first one was all there was."""
_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)(?: *;([^\\\n]*))?", re.MULTILINE)


def mujoco_parts() -> list[Distribution]:
    """Return those of MuJoCo's packages that are installed."""
    found = []
    for name in MUJOCO:
        try:
            found.append(importlib.metadata.distribution(name))
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def mixed(parts: Iterable[Distribution]) -> list[str]:
    """Return what is wrong with MuJoCo's packages, one line each; empty if they are one whole.

    Upgrading 3.x to 4.x in place lets pip remove the old package's files after the new packages have written theirs:
    some are gone, or two libraries lie side by side.
    """
    installed = list(parts)
    faults = []
    versions = {part.metadata["Name"]: part.version for part in installed}
    if len(set(versions.values())) > 1:
        faults.append("versions differ: " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    if "mujoco" in versions and versions["mujoco"].split(".")[0].isdecimal():
        late = int(versions["mujoco"].split(".")[0]) >= 4
        absent = [name for name in MUJOCO[1:2] if name not in versions]
        if late and absent:
            faults.append(f"{absent[0]} is missing")
    for part in installed:
        gone = [str(file) for file in part.files or () if _matters(str(file)) and not Path(str(file.locate())).exists()]
        if gone:
            faults.append(f"{len(gone)} files of {part.metadata['Name']} are gone, such as {gone[0]}")
    folders = {Path(str(part.locate_file("mujoco"))) for part in installed}
    libraries = sorted(path.name for folder in folders for path in folder.glob("libmujoco*.so*"))
    if len(libraries) > 1:
        faults.append(f"two libraries: {', '.join(libraries)}")
    return faults


def _matters(name: str) -> bool:
    return name.startswith("mujoco/") and "__pycache__" not in name and not name.endswith("_test.py")


def locked(text: str) -> dict[str, str]:
    """Return package -> version of a requirements file, of what it names for this Python and this machine."""
    from packaging.markers import Marker  # here, for only this question needs it

    return {
        _plain(name): version
        for name, version, marker in _PINNED.findall(text)
        if not marker.strip() or Marker(marker).evaluate()
    }


def unlike(lock: Mapping[str, str], installed: Iterable[tuple[str, str]]) -> list[str]:
    """Return the (name, version) of installed packages that are not as in the lock, one line each."""
    have = {_plain(name): version for name, version in installed}
    return [
        f"{name} {have[name]} (lock: {lock[name]})" for name in sorted(lock) if have.get(name, lock[name]) != lock[name]
    ]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
