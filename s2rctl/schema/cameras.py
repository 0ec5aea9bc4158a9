"""Real cameras: how one is found and set, and its optics."""

from typing import Annotated, Literal

from pydantic import AfterValidator, model_validator

from s2rctl.schema.base import Line, Model, quantity, within


class Intrinsics(Model):
    """Pinhole camera with OpenCV's distortion; pixel centres have whole coordinates."""

    width: int = quantity(..., "px", "image width", ge=1, le=16384)
    height: int = quantity(..., "px", "image height", ge=1, le=16384)
    fx: float = quantity(..., "px", "focal length along x", ge=1e-3, le=1e6)
    fy: float = quantity(..., "px", "focal length along y", ge=1e-3, le=1e6)
    cx: float = quantity(..., "px", "principal point, columns from the centre of the first", ge=-1e6, le=1e6)
    cy: float = quantity(..., "px", "principal point, rows from the centre of the first", ge=-1e6, le=1e6)
    distortion: Annotated[tuple[float, float, float, float, float], AfterValidator(within(-1e3, 1e3))] = quantity(
        (0, 0, 0, 0, 0), "", "k1 k2 p1 p2 k3"
    )


class CameraDevice(Model):
    """The device behind a policy camera. Exposure, gain and white balance stand still while a policy runs."""

    kind: Literal["realsense", "uvc"] = quantity(..., "", "camera table name")
    serial: Line | None = quantity(None, "", "serial number (realsense); none: the only one that is connected")
    device: Line | None = quantity(
        None, "", "uvc: device file, best by id, or a video file; realsense: a recording instead of a device"
    )
    width: int = quantity(640, "px", "width of the stream, before cropping", ge=16, le=16384)
    height: int = quantity(480, "px", "height of the stream", ge=16, le=16384)
    fps: int = quantity(30, "Hz", "frame rate of the stream; at least the control rate", ge=1, le=1000)
    exposure_us: float | None = quantity(
        None, "µs", "exposure; none: what the automatic finds in the first second", ge=1, le=1e7
    )
    gain: float | None = quantity(
        None, "", "gain in the device's counts; none: as it is after the first second", ge=0, le=1e6
    )
    white_balance_k: float | None = quantity(
        None, "K", "white balance; none: as it is after the first second", ge=100, le=100_000
    )
    delay_s: float = quantity(
        0.0, "s", "from exposure to arrival; makes images of devices without a clock older", ge=0, lt=1
    )
    fovy_deg: float | None = quantity(
        None, "deg", "uvc: vertical field of view of the stream, without intrinsics", ge=1, lt=170
    )
    intrinsics: Intrinsics | None = quantity(
        None, "", "uvc: as calibrated; a realsense reads its own unless they are given"
    )

    @model_validator(mode="after")
    def _complete(self) -> "CameraDevice":
        if self.kind == "uvc" and not self.device:
            raise ValueError("device: a uvc camera needs one, e.g. /dev/v4l/by-id/…-video-index0")
        if self.intrinsics and (self.intrinsics.width, self.intrinsics.height) != (self.width, self.height):
            raise ValueError("intrinsics: they are of another image size than the stream")
        return self
