"""Opens the real cameras of a policy, all of them or none."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from s2rctl.core.errors import UsageError
from s2rctl.robots import CAMERAS
from s2rctl.robots.cameras.stream import Camera
from s2rctl.robots.cameras.view import View
from s2rctl.schema.cameras import CameraDevice
from s2rctl.schema.contract import CameraContract


def open_cameras(devices: Mapping[str, CameraDevice], wanted: Sequence[CameraContract]) -> list[Camera]:
    """Return the cameras of a contract, each with its first picture; raise for the first that cannot be had."""
    missing = [camera.name for camera in wanted if camera.name not in devices]
    if missing:
        raise UsageError(
            f"the policy sees through {', '.join(missing)}, but the profile does not assign it a device",
            f"--set robot.cameras.{missing[0]}.kind=realsense (or uvc, with .device)",
        )
    cameras: list[Camera] = []
    try:
        for camera in wanted:
            settings = devices[camera.name]
            cameras.append(CAMERAS.load(settings.kind)(camera.name, settings, View.of(camera)))
        for opened in cameras:
            opened.wait()
    except BaseException:
        close_cameras(cameras)
        raise
    return cameras


def close_cameras(cameras: Sequence[Camera]) -> None:
    """Close all cameras; one that cannot be closed does not keep the others open."""
    for camera in cameras:
        with suppress(RuntimeError, OSError):
            camera.close()
