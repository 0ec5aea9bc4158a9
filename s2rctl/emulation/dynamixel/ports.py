"""Lasting names of serial ports: links in a folder, beside whatever else is there, which is never touched."""

import os
from collections.abc import Mapping
from pathlib import Path

from s2rctl.core.errors import MissingEnvironmentError, UsageError
from s2rctl.robots.aloha.specification import SPECIFICATION


class PortNames:
    """``ttyDXL_follower_<arm>`` in a folder, which is made if there is none.

    Raises UsageError when something has such a name already (it may be the real robot's, or somebody's file), and
    MissingEnvironmentError when the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.paths = {arm.rstrip("/"): folder / f"ttyDXL_follower_{arm.rstrip('/')}" for arm in SPECIFICATION.arms}
        self._made: list[tuple[Path, str]] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(folder, error) from error
        for path in self.paths.values():
            if os.path.lexists(path):
                raise _taken(path)

    def make(self, devices: Mapping[str, str]) -> None:
        """Link every arm's name to its device; all or none, and nothing that came in between is replaced."""
        for arm, path in self.paths.items():
            try:
                path.symlink_to(devices[arm])  # fails where there is anything, even a link to nowhere
            except OSError as error:
                self.remove()
                raise (_taken(path) if isinstance(error, FileExistsError) else _unusable(path, error)) from error
            self._made.append((path, devices[arm]))

    def remove(self) -> None:
        """Remove the links, as far as they are still the ones that were made."""
        made, self._made = self._made, []
        for path, device in made:
            try:
                if os.readlink(path) == device:  # noqa: PTH115 - the text as it was written
                    path.unlink()
            except OSError:  # gone, or something else by now
                continue


def _taken(path: Path) -> UsageError:
    return UsageError(
        f"{path} already exists and was left alone",
        "choose another folder for --ports, or remove what a killed emulator left behind",
    )


def _unusable(path: Path, error: OSError) -> MissingEnvironmentError:
    return MissingEnvironmentError(
        f"cannot make port names in {path}: {error.strerror}", "choose another folder for --ports"
    )
