"""What the frames of a still scene tell of a camera: each figure that training draws, with its interval."""

from typing import Literal, NamedTuple

from pydantic import Field

from s2rctl.schema.base import CameraName, Line, Model, quantity


class Meaning(NamedTuple):
    """What a figure is, and how little was known of it before."""

    path: str  # in the profile
    unit: str
    words: str
    width: float  # of what it may be without any recording; a recording that leaves more than half of it tells nothing


_LOOK, _IMAGE, _NOISE = "vision.appearance", "vision.appearance.image", "vision.depth_noise"
MEANINGS: dict[str, Meaning] = {
    "pixel_noise": Meaning(f"{_LOOK}.pixel_noise", "of 1", "± noise of each colour value", 0.1),
    "brightness": Meaning(f"{_LOOK}.brightness", "of 1", "± brightness from frame to frame", 0.5),
    "vignette": Meaning(f"{_IMAGE}.vignette", "of 1", "darkening of the corners", 0.5),
    "edge_gradient": Meaning(f"{_NOISE}.edge_gradient", "m/px", "least depth step that loses pixels", 0.2),
    "edge_gain": Meaning(f"{_NOISE}.edge_gain", "px/m", "loss at a step is atan(gain x step)", 40.0),
    "disparity_constant": Meaning(f"{_NOISE}.disparity_constant", "mm", "disparity steps: depth x disparity", 1e6),
    "disparity_sigma": Meaning(f"{_NOISE}.disparity_sigma", "steps", "noise of the disparity", 2.0),
    "disparity_shift_px": Meaning(f"{_NOISE}.disparity_shift_px", "px", "sub-pixel shift", 1.0),
    "loss": Meaning(f"{_NOISE}.loss", "of 1", "pixels that are lost, each by itself", 0.1),
    "scratches": Meaning(f"{_NOISE}.scratches", "lines", "most lines of wrong depth in a frame", 32.0),
    "blackout": Meaning(f"{_NOISE}.blackout", "of 1", "frames without any depth", 0.2),
    "depth_holes": Meaning(f"{_IMAGE}.depth_holes", "of 1", "depth lost in patches, in the worst part", 1.0),
}
"""All figures by name, in the order of a report. The widths are what profiles and data sheets have (our choice)."""

COLOUR = ("pixel_noise", "brightness", "vignette")
"""Figures of colour pictures; the others are of depth."""

NEVER_TOLD: dict[str, str] = {
    "vision.appearance.image.depth_fattening_px": "a near surface that spreads looks like a wider one",
    "vision.appearance.image.depth_shadow": "what is never measured may as well be out of range",
    "vision.appearance.image.depth_near_m": "nothing moves through the nearest distance",
    "vision.appearance.image.depth_bias_m": "how far away things are is not known",
    "vision.appearance.image.depth_scale": "how far away things are is not known",
    "vision.appearance.image.white_balance": "the colours of things are not known",
    "vision.appearance.image.contrast": "the shades of things are not known",
    "vision.appearance.image.saturation": "the colours of things are not known",
    "vision.appearance.image.hue_deg": "the colours of things are not known",
    "vision.appearance.image.gamma": "the shades of things are not known",
    "vision.appearance.image.blur": "how sharp things are is not known",
    "vision.appearance.image.shift_px": "where things are is not known; a calibration tells it",
    "vision.appearance.image.blocks": "fine patterns of things are not known",
}
"""Fields of the profile that no recording of a still scene tells, and why: they are left alone."""


class CameraFigure(Model):
    """One figure of a camera."""

    name: Literal[
        "pixel_noise", "brightness", "vignette", "edge_gradient", "edge_gain", "disparity_constant", "disparity_sigma",
        "disparity_shift_px", "loss", "scratches", "blackout", "depth_holes",
    ]  # fmt: skip
    value: float
    low: float = quantity(..., "", "95 % interval")
    high: float
    told: bool = quantity(..., "", "whether the recording tells it")
    why: str = quantity("", "", "what stands in the way, or what to bear in mind")

    @property
    def meaning(self) -> Meaning:
        """What it is."""
        return MEANINGS[self.name]


class CameraFaults(Model):
    """What was found of one camera."""

    camera: CameraName
    width: int = quantity(..., "px", "width of the frames", ge=1)
    height: int = quantity(..., "px", "height of the frames", ge=1)
    colour_frames: int = quantity(..., "", "different colour pictures", ge=0)
    depth_frames: int = quantity(..., "", "different depth pictures", ge=0)
    repeated: int = quantity(0, "", "frames that were omitted because they repeat the one before", ge=0)
    flat_frames: int = quantity(0, "", "pictures of an evenly lit plain surface", ge=0)
    never: float = quantity(0.0, "", "share of the pixels that (nearly) never had depth; nothing is said of them", ge=0)
    figures: tuple[CameraFigure, ...]

    def figure(self, name: str) -> CameraFigure | None:
        """Return a figure, None where the camera has none of that name."""
        return next((one for one in self.figures if one.name == name), None)


class CameraIdentification(Model):
    """Result of ``sysid camera``."""

    schema_version: Literal[1] = 1
    robot: Line = quantity(..., "", "robot table name")
    cameras: tuple[CameraFaults, ...] = Field(min_length=1)
    sources: tuple[Line, ...] = quantity((), "", "names of the recordings or folders")
    made_at: float = quantity(0.0, "s", "when, since 1970")
