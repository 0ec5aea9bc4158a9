"""Frames of a still scene: from a folder of pictures, or from a recording of ours."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from s2rctl.control.recording import read_recording
from s2rctl.core.errors import ArtifactError, UsageError
from s2rctl.core.pillow import load_image
from s2rctl.core.tables import suggestion
from s2rctl.identification.camera.clip import GOOD_FRAMES, Clip
from s2rctl.schema.profile import Profile
from s2rctl.schema.simulation import CameraSettings

Only = Literal["both", "colour", "depth"]


@dataclass
class _Pictures:
    """Pictures of one camera, in order."""

    rgb: list[np.ndarray] = field(default_factory=list)
    depth: list[np.ndarray] = field(default_factory=list)


def clips_of(profile: Profile, source: Path, names: Sequence[str] = (), only: Only = "both") -> list[Clip]:
    """Return a clip of each camera that a folder or a recording shows; ``names``: of these cameras alone.

    UsageError for pictures of another size than the camera's, and where the depth of a depth camera is missing.
    """
    cameras = _chosen(profile, names)
    found = _recorded(source, profile, cameras) if source.is_file() else _in_folder(source, cameras)
    if not any(pictures.rgb or pictures.depth for pictures in found.values()):
        raise UsageError(
            f"{source} shows none of the cameras {', '.join(found)}", "record them, or name others: --camera"
        )
    shown = [one for one in cameras if names or found[one.name].rgb or found[one.name].depth]
    return [_clip(camera, found[camera.name], only) for camera in shown]


def flat_of(profile: Profile, source: Path, names: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Return pictures (K, H, W, 3) uint8 of an even surface by camera, from a picture or a folder of them."""
    cameras = _chosen(profile, names)
    files = [source] if source.is_file() else _files(source)
    found = _sorted(files, cameras)
    for camera in cameras:
        for picture in found[camera.name].rgb:
            _require_size(camera, picture.shape, source.name)
    return {name: np.stack(pictures.rgb) for name, pictures in found.items() if pictures.rgb}


def _chosen(profile: Profile, names: Sequence[str]) -> tuple[CameraSettings, ...]:
    """Return the policy cameras of these names, all without any; UsageError for a name that none has."""
    known = {camera.name: camera for camera in profile.vision.cameras}
    if not known:
        raise UsageError(f"the policy of '{profile.name}' has no camera", "pass the profile of a policy that sees")
    for name in names:
        if name not in known:
            raise UsageError(f"the policy of '{profile.name}' has no camera '{name}'", suggestion(name, list(known)))
    return tuple(known[name] for name in dict.fromkeys(names)) if names else tuple(known.values())


def _recorded(path: Path, profile: Profile, cameras: Sequence[CameraSettings]) -> dict[str, _Pictures]:
    """Return what a recording shows of each camera."""
    recording = read_recording(path)
    robot = recording.header.get("robot", profile.robot.name)
    if robot != profile.robot.name:
        raise UsageError(
            f"{path.name} is from the robot '{robot}', the profile is of '{profile.robot.name}'",
            "pass its profile with -p",
        )
    found = {}
    for camera in cameras:
        frames = recording.frames.get(camera.name, [])
        found[camera.name] = _Pictures(
            [frame.rgb for frame in frames], [frame.depth for frame in frames if frame.depth is not None]
        )
    return found


def _in_folder(folder: Path, cameras: Sequence[CameraSettings]) -> dict[str, _Pictures]:
    return _sorted(_files(folder), cameras)


def _files(folder: Path) -> list[Path]:
    """Return the pictures of a folder in the order of their names."""
    if not folder.is_dir():
        raise UsageError(f"there is no {folder}", "give a folder of PNG files, or an .mcap recording")
    found = sorted(folder.glob("*.png"))
    if not found:
        raise UsageError(
            f"there are no PNG files in {folder}",
            f"put {GOOD_FRAMES} frames there: colour as 8-bit, depth as 16-bit PNG",
        )
    return found


def _sorted(files: Sequence[Path], cameras: Sequence[CameraSettings]) -> dict[str, _Pictures]:
    """Return pictures by the camera whose name is part of theirs; where there is one camera, all are its own."""
    found = {camera.name: _Pictures() for camera in cameras}
    longest = sorted(found, key=len, reverse=True)
    for path in files:
        owner = next((name for name in longest if name in path.stem), None)
        if owner is None:
            if len(found) > 1:
                raise UsageError(
                    f"{path.name} may be of any of the cameras {', '.join(found)}",
                    f"name the files after their camera, or the camera: --camera {longest[0]}",
                )
            owner = longest[0]
        picture = _read(path)
        (found[owner].rgb if picture.ndim == 3 else found[owner].depth).append(picture)
    return found


def _read(path: Path) -> np.ndarray:
    """Return a picture: colour (H, W, 3) uint8, or depth (H, W) uint16."""
    pillow = load_image()
    try:
        with pillow.open(path) as opened:
            if opened.mode in ("RGB", "RGBA", "P"):
                return np.asarray(opened.convert("RGB"), np.uint8)
            values = np.asarray(opened)
    except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
        raise ArtifactError(f"{path} is not a readable picture: {error}", "omit it") from error
    if values.ndim != 2 or values.dtype == np.uint8 or values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
        raise UsageError(
            f"{path.name} is neither a colour picture nor 16-bit depth",
            "write colour as 8-bit RGB and depth as 16-bit PNG of the camera's counts",
        )
    return values.astype(np.uint16)


def _clip(camera: CameraSettings, pictures: _Pictures, only: Only) -> Clip:
    """Return the clip of one camera."""
    parts: dict[str, np.ndarray | None] = {"colour": None, "depth": None}
    for name, has, found, other in (
        ("colour", camera.colour, pictures.rgb, "depth"), ("depth", camera.depth, pictures.depth, "colour"),
    ):  # fmt: skip
        if only == other or not (has or only == name):
            continue
        if not found:
            raise UsageError(
                f"there is no {name} of {camera.name}, which the policy sees",
                f"record it too, or leave it aside: --only {other}",
            )
        for picture in found:
            _require_size(camera, picture.shape, f"a {name} picture of {camera.name}")
        parts[name] = np.stack(found)
    return Clip(camera.name, parts["colour"], parts["depth"], camera.depth_unit_m, camera.depth_range_m)


def _require_size(camera: CameraSettings, shape: tuple[int, ...], what: str) -> None:
    if shape[:2] != (camera.height, camera.width):
        raise UsageError(
            f"{what} is {shape[1]} x {shape[0]}, the policy's {camera.name} is {camera.width} x {camera.height}",
            "give frames as the policy takes them, cropped and scaled, as recordings of deploy hold them",
        )
