"""The real camera of a calibration, in full size and with its own figures."""

from s2rctl.core.errors import UsageError
from s2rctl.robots import CAMERAS
from s2rctl.robots.cameras.stream import Camera, Shot
from s2rctl.robots.cameras.view import View
from s2rctl.schema.cameras import Intrinsics
from s2rctl.schema.profile import Profile

_SMALL = View(width=64, height=48, fovy_deg=5.0, depth_unit_m=None, depth_range_m=None)
"""What the drivers make for a policy on the side; any camera sees that much."""
_ASSUMED_DEG = 50.0


class DeviceEye:
    """Implements ``Eye`` with a driver that deployment uses, too."""

    def __init__(self, camera: Camera, lens: Intrinsics | None) -> None:
        self._camera = camera
        self.serial, self.lens = camera.device.serial, lens

    def shot(self) -> Shot | None:
        """Return the newest picture in full size; SafetyStop when the camera has failed."""
        self._camera.latest()  # raises what the device's thread has met
        return self._camera.shot()

    def close(self) -> None:
        """Close the device."""
        self._camera.close()


def open_eye(profile: Profile) -> DeviceEye:
    """Return the camera of a profile's ``calibration``; UsageError where the profile does not say which device it is.

    A device that states its own figures, or whose figures the profile has, brings them; of others they are measured.
    """
    name = profile.calibration.camera
    settings = profile.robot.cameras.get(name)
    if settings is None:
        raise UsageError(
            f"the profile does not say which device the camera '{name}' is",
            f"--set robot.cameras.{name}.kind=realsense (or uvc, with .device)",
        )
    known = settings.intrinsics is not None or settings.kind == "realsense"
    if settings.intrinsics is None and settings.fovy_deg is None:
        settings = settings.model_copy(update={"fovy_deg": _ASSUMED_DEG})
    camera: Camera = CAMERAS.load(settings.kind)(name, settings, _SMALL)
    try:
        camera.wait()
    except BaseException:
        camera.close()
        raise
    lens = camera.device.intrinsics if known else None
    if lens is not None and settings.kind == "uvc":  # its driver has already undistorted the picture
        lens = lens.model_copy(update={"distortion": (0.0, 0.0, 0.0, 0.0, 0.0)})
    return DeviceEye(camera, lens)
