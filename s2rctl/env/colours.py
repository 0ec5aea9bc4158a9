"""Which parts of each scene may take which colours.

The ranges of the Aloha objects are those of the published sim-to-real reference (blue part: blue channel 0.5 to 1, the
others up to 0.12; red part: red channel up to 1, the others up to 0.07). Its table is nearly black (grey up to 0.1);
ours is lighter, so the range holds both. The xArm7 ranges are our own, around the look of the scene.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ColourRange:
    """One drawn RGB colour in [low, high] for all geoms whose names match one of the patterns."""

    geoms: tuple[str, ...]
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    grey: bool = False  # one draw for all three channels


_BLUE = ((0.0, 0.0, 0.5), (0.12, 0.12, 1.0))
_RED = ((0.0, 0.0, 0.0), (1.0, 0.07, 0.07))
_ALOHA_TABLE = ColourRange(("table",), (0.0, 0.0, 0.0), (0.5, 0.5, 0.5), grey=True)

COLOURS: Mapping[str, tuple[ColourRange, ...]] = {
    "pick": (ColourRange(("box",), *_RED), _ALOHA_TABLE),
    "insertion": (
        ColourRange(("socket", "socket_top", "socket_bottom", "socket_left", "socket_right"), *_BLUE),
        ColourRange(("peg", "socket_back"), *_RED),
        _ALOHA_TABLE,
    ),
    "reach": (
        ColourRange(("table",), (0.42, 0.34, 0.24), (0.8, 0.7, 0.56)),
        ColourRange(("curtain_*",), (0.15, 0.22, 0.3), (0.45, 0.58, 0.7)),
        ColourRange(("floor",), (0.15, 0.15, 0.15), (0.5, 0.5, 0.5), grey=True),
    ),
}
