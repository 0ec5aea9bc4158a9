"""The look of worlds that no policy was trained in: what may differ, in which unit, and how far.

A field is an axis; its default is nominal, which is the training's scene as it is, drawn by another renderer. Where no
other source is named a range is our own estimate of what a room with a table and a camera can be.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, model_validator

from s2rctl.schema.base import Line, Model, Range, quantity, require


@dataclass(frozen=True)
class LookAxis:
    """One thing that a look can vary."""

    name: str
    unit: str
    text: str
    nominal: float
    low: float
    high: float
    whole: bool = False  # whether only whole numbers mean something


def axis(nominal: float, unit: str, text: str, low: float, high: float, whole: bool = False) -> Any:
    """Declare an axis: a range that is ``nominal`` unless a tier says otherwise, within ``low`` to ``high``."""
    return Field(
        (nominal, nominal),
        description=f"{text} [{unit}]",
        json_schema_extra={"unit": unit, "text": text, "low": low, "high": high, "whole": whole},
    )


class LookRanges(Model):
    """From which ranges the look of an episode is drawn, uniformly; both ends equal: held at that value."""

    pictures: Line | None = quantity(None, "", "folder of photographs for walls and background; none: procedural ones")

    meshes: Range = axis(0, "0 or 1", "the robot drawn from its published meshes instead of primitives", 0, 1, True)
    robot_lightness: Range = axis(0, "of 1", "added to the colour of the robot", -1, 1)
    robot_tint: Range = axis(0, "of 1", "strength of a random hue on the robot", 0, 1)
    gloss: Range = axis(0, "of 1", "specular highlights of all lights", 0, 1)
    object_shift: Range = axis(0, "of 1", "how far the objects' colours move in a random direction", 0, 1)

    table_lightness: Range = axis(0, "of 1", "added to the colour of the table", -1, 1)
    table_tint: Range = axis(0, "of 1", "strength of a random hue on the table", 0, 1)
    table_pattern: Range = axis(0, "of 1", "share of wood, checker, cloth, marble, metal, … in the table", 0, 1)
    wall_lightness: Range = axis(0, "of 1", "added to the colour of the walls", -1, 1)
    wall_picture: Range = axis(0, "of 1", "share of a photograph in the walls", 0, 1)
    floor_pattern: Range = axis(0, "of 1", "share of planks, tiles, carpet, … in the floor", 0, 1)
    background: Range = axis(0, "of 1", "a room of photographs behind everything: its brightness; 0: no room", 0, 1)
    clutter: Range = axis(0, "objects", "objects lying about on the table, out of the way", 0, 12, True)

    lights: Range = axis(0, "lamps", "lamps besides those of the scene", 0, 3, True)
    light_gain: Range = axis(0, "EV", "brightness of the scene's lamps", -4, 4)
    light_shift: Range = axis(0, "m", "how far lamps stand from where the training drew them, any direction", 0, 5)
    light_temperature: Range = axis(6500, "K", "colour temperature of the lamps, as the camera sees it", 1500, 20000)
    ambient: Range = axis(0, "EV", "light from everywhere", -4, 4)
    shadow: Range = axis(0, "of 1", "how much of the main lamp's light its shadow lacks; 0: no shadows", 0, 1)
    shadow_softness: Range = axis(0, "m", "width of the main lamp", 0, 2)

    exposure: Range = axis(0, "EV", "exposure", -4, 4)
    auto_exposure: Range = axis(0, "of 1", "how much of the way to mid-grey the camera's automatic goes", 0, 1)
    white_balance: Range = axis(0, "EV", "red against blue", -2, 2)
    gamma: Range = axis(1, "exponent", "tone curve", 0.3, 3)
    saturation: Range = axis(1, "factor", "saturation", 0, 3)
    vignette: Range = axis(0, "of 1", "light that the corners lack", 0, 1)
    distortion: Range = axis(0, "k1", "radial distortion, image half height = 1", -0.4, 0.4)
    blur: Range = axis(0, "px", "defocus, standard deviation", 0, 3)
    motion_blur: Range = axis(0, "px", "length of motion blur, random direction in each frame", 0, 4)
    noise: Range = axis(0, "of 1", "shot and read noise at mid-grey, standard deviation", 0, 0.5)
    rolling_noise: Range = axis(0, "of 1", "noise of whole rows, standard deviation", 0, 0.5)
    bayer: Range = axis(0, "of 1", "share of an image from a colour mosaic, interpolated", 0, 1)
    jpeg: Range = axis(0, "of 1", "coarseness of JPEG: 0 none, 1 unusable", 0, 1)

    camera_share: Range = axis(1, "factor", "share of the profile's own draw of camera position and angle", 0, 2)
    camera_offset: Range = axis(0, "m", "camera displacement in a random direction; ends equal: on the edge", 0, 0.5)
    camera_rotation: Range = axis(0, "deg", "camera rotation about a random axis; ends equal: on the edge", 0, 45)
    camera_fovy: Range = axis(0, "deg", "vertical field of view, wider or narrower; ends equal: on the edge", 0, 20)

    depth_near: Range = axis(0, "m", "no depth below this", 0, 0.5)
    depth_fattening: Range = axis(0, "px", "how far near edges spread over what is behind", 0, 3)
    depth_shadow: Range = axis(0, "of 1", "holes beside near edges, where one imager sees nothing", 0, 1)
    depth_holes: Range = axis(0, "of 1", "holes in black and in shining parts", 0, 1)
    depth_quantum: Range = axis(0, "px", "step of the disparity, at 848 columns", 0, 1)
    depth_noise: Range = axis(0, "px", "noise of the disparity, at 848 columns, standard deviation", 0, 2)
    depth_scale: Range = axis(0, "relative", "error of the depth scale", -0.2, 0.2)
    depth_loss: Range = axis(0, "of 1", "share of pixels lost in patches", 0, 1)

    def at(self, **values: float) -> "LookRanges":
        """Return these ranges with some axes held at one value each; ValueError outside an axis."""
        held = {name: (value, value) for name, value in values.items()}
        return type(self)(**{**self.model_dump(), **held})

    @model_validator(mode="after")
    def _limits(self) -> "LookRanges":
        def problem(one: LookAxis) -> str:
            low, high = getattr(self, one.name)
            if low < one.low or high > one.high:
                return f"{one.name}: needs numbers from {one.low:g} to {one.high:g} (got {low:g}, {high:g})"
            return ""

        require(filter(None, map(problem, LOOK_AXES.values())))
        return self


def span(name: str, low: float, high: float, source: str) -> Any:
    """Declare an axis of ``LookRanges`` again, in a look of its own: the range, and where it comes from."""
    field = LookRanges.model_fields[name]
    return Field((low, high), description=f"{field.description}; {source}", json_schema_extra=field.json_schema_extra)


def _axes() -> tuple[LookAxis, ...]:
    """Return the axes, in the order of the fields."""
    found = []
    for name, field in LookRanges.model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "low" in extra:
            low, high = (float(str(extra[key])) for key in ("low", "high"))
            unit, text = str(extra["unit"]), str(extra["text"])
            found.append(LookAxis(name, unit, text, field.default[0], low, high, bool(extra["whole"])))
    return tuple(found)


LOOK_AXES: Mapping[str, LookAxis] = {one.name: one for one in _axes()}
"""All axes by name, in the order in which they are drawn."""
