"""What may look different by more than colour: textures, background, extra geoms, lamps, and the camera's own image."""

from typing import Annotated, Literal

from pydantic import AfterValidator, model_validator

from s2rctl.schema.base import Line, Model, Range, quantity, within

Pattern = Literal["checker", "stripes", "noise", "gradient", "grain", "picture"]
Place = Annotated[tuple[float, float, float], AfterValidator(within(-20, 20))]
Colour = Annotated[tuple[float, float, float], AfterValidator(within(0, 1))]
Factor = Annotated[Range, AfterValidator(within(0.01, 100))]
_ALL: tuple[Pattern, ...] = ("checker", "stripes", "noise", "gradient", "grain", "picture")
_NAMES = "names or patterns of geoms; body:PATTERN is all geoms of such bodies"


class TextureRange(Model):
    """One pattern for all geoms whose names match, drawn per world."""

    geoms: tuple[Line, ...] = quantity(..., "", _NAMES, min_length=1, max_length=256)
    probability: float = quantity(1.0, "", "share of worlds in which they have a pattern", ge=0, le=1)
    patterns: tuple[Pattern, ...] = quantity(_ALL, "", "patterns drawn from", min_length=1, max_length=16)
    period_m: Annotated[Range, AfterValidator(within(1e-3, 100))] = quantity(
        (0.02, 0.3), "m", "length of one period, range"
    )
    picture_m: Annotated[Range, AfterValidator(within(1e-2, 100))] = quantity(
        (0.3, 2.0), "m", "side of a picture, range"
    )
    spread: float = quantity(
        0.5, "", "± of the second colour from the geom's own, in brightness; half of it in each channel", ge=0, le=1
    )
    shine: float = quantity(0.0, "", "highlight, at most this share of the light", ge=0, le=1)


class BackgroundRange(Model):
    """What lies behind everything that the scene has, drawn per world."""

    probability: float = quantity(1.0, "", "share of worlds that have one; it is black in the others", ge=0, le=1)
    patterns: tuple[Pattern, ...] = quantity(_ALL, "", "patterns drawn from", min_length=1, max_length=16)
    low: Colour = quantity((0.0, 0.0, 0.0), "", "darkest red, green, blue of both colours")
    high: Colour = quantity((1.0, 1.0, 1.0), "", "brightest red, green, blue of both colours")

    @model_validator(mode="after")
    def _ends(self) -> "BackgroundRange":
        if any(low > high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError("a background needs low <= high in every channel")
        return self


class DistractorRange(Model):
    """Things that are only seen, at random places of a box. Keep the box off the task's own objects."""

    most: int = quantity(4, "", "largest number of things", ge=1, le=32)
    low_m: Place = quantity(..., "m", "corner of the box of their centres, world frame")
    high_m: Place = quantity(..., "m", "opposite corner")
    size_m: Annotated[Range, AfterValidator(within(1e-3, 2))] = quantity((0.01, 0.05), "m", "half sizes, range")

    @model_validator(mode="after")
    def _ends(self) -> "DistractorRange":
        if any(low > high for low, high in zip(self.low_m, self.high_m, strict=True)):
            raise ValueError("low_m: needs low_m <= high_m on every axis")
        return self


class SkinRange(Model):
    """Shapes laid around geoms, so that no silhouette is learnt by heart; they move with the geoms."""

    geoms: tuple[Line, ...] = quantity(..., "", _NAMES, min_length=1, max_length=256)
    most: int = quantity(4, "", "largest number of shapes; each takes one of the geoms", ge=1, le=32)
    scale: Annotated[Range, AfterValidator(within(0.05, 10))] = quantity(
        (0.8, 1.3), "", "size of a shape, of the geom's"
    )
    offset: float = quantity(0.3, "", "± place of a shape, of the geom's half sizes", ge=0, le=5)
    own_colour: float = quantity(0.5, "", "share of the shapes that have their geom's colour", ge=0, le=1)


class SizeRange(Model):
    """How much larger or smaller geoms look than they are, each on its own."""

    geoms: tuple[Line, ...] = quantity(..., "", _NAMES, min_length=1, max_length=256)
    spread: float = quantity(0.1, "", "± relative size", ge=0, lt=1)
    axes: tuple[Literal["x", "y", "z"], ...] = quantity(
        ("x", "y", "z"), "", "axes of the geom that are drawn, each for itself", min_length=1, max_length=3
    )


class LampRange(Model):
    """Lights beside the scene's, and what the scene's lights may do."""

    most: int = quantity(0, "", "largest number of further lights, which cast no shadow", ge=0, le=4)
    intensity: float = quantity(0.4, "", "largest intensity of a further light", ge=0, le=2)
    off: float = quantity(0.0, "", "share of worlds in which a light of the scene but the first is off", ge=0, le=1)
    tint: float = quantity(0.0, "", "± relative intensity of each colour of a light", ge=0, lt=1)
    ambient: Factor = quantity((1.0, 1.0), "", "factor of the ambient light, range")


class ImageRange(Model):
    """What a camera does to its image, drawn per episode and camera. Brightness and noise are the appearance's own."""

    white_balance: float = quantity(0.0, "", "± relative gain of red and of blue", ge=0, lt=1)
    contrast: Factor = quantity((1.0, 1.0), "", "contrast about mid-grey, range")
    saturation: Annotated[Range, AfterValidator(within(0, 10))] = quantity((1.0, 1.0), "", "saturation, range")
    hue_deg: float = quantity(0.0, "deg", "± turn of the hues", ge=0, le=180)
    gamma: Annotated[Range, AfterValidator(within(0.5, 2))] = quantity((1.0, 1.0), "", "exponent of the values, range")
    vignette: float = quantity(0.0, "", "darkening of the corners, at most", ge=0, le=1)
    blur: float = quantity(0.0, "", "share of its neighbours in a pixel, at most", ge=0, le=1)
    shift_px: int = quantity(
        0, "px", "± shift of the image on each axis; edges are repeated, depth is shifted too", ge=0, le=8
    )
    blocks: float = quantity(
        0.0,
        "",
        "quantisation of 8x8 blocks as in JPEG: largest step, of the full range; high frequencies get more",
        ge=0,
        le=1,
    )
    depth_bias_m: float = quantity(0.0, "m", "± added to all depth", ge=0, le=1)
    depth_scale: float = quantity(0.0, "", "± relative error of all depth", ge=0, lt=1)
    depth_near_m: Annotated[Range, AfterValidator(within(0, 1))] = quantity(
        (0.0, 0.0), "m", "nothing is measured nearer than this, range"
    )
    depth_shadow: float = quantity(
        0.0,
        "px m",
        "disparity times depth of a stereo camera, at most: what its second imager does not see beside near edges is "
        "lost. Focal length in pixels times baseline, 0.5 for a D405 of 18 mm and an image of 32 rows",
        ge=0,
        le=100,
    )
    depth_fattening_px: float = quantity(
        0.0, "px", "how far near surfaces spread over what is behind, as wide matching windows do, at most", ge=0, le=4
    )
    depth_holes: float = quantity(
        0.0,
        "",
        "share of the depth lost in patches, at most: in a round part of the image, elsewhere a tenth of it",
        ge=0,
        le=1,
    )
    depth_faults: Annotated[Range, AfterValidator(within(0, 1))] = quantity(
        (1.0, 1.0), "", "strength of each of the faults of vision.depth_noise, range"
    )


class Looks(Model):
    """What ``vision.appearance`` adds to colours, lights and camera poses; nothing at first."""

    textures: tuple[TextureRange, ...] = quantity((), "", "patterns on geoms", max_length=64)
    background: BackgroundRange | None = quantity(None, "", "what lies behind everything; none: black")
    distractors: tuple[DistractorRange, ...] = quantity((), "", "things that are only seen", max_length=16)
    skins: tuple[SkinRange, ...] = quantity((), "", "shapes around geoms", max_length=16)
    sizes: tuple[SizeRange, ...] = quantity((), "", "apparent sizes", max_length=16)
    lamps: LampRange | None = quantity(None, "", "further lights, and colours of the scene's")
    image: ImageRange | None = quantity(None, "", "what cameras do to their images")
