"""Which parts of each scene may take which colours.

The ranges of the Aloha scenes are those of the published sim-to-real reference (blue part: blue channel 0.5 to 1, the
others up to 0.12; red part: red channel 0 to 1, the others up to 0.07; grey table up to 0.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ColourRange:
    """One drawn RGB colour in [low, high] for all geoms whose names match one of the patterns."""

    geoms: tuple[str, ...]
    low: tuple[float, float, float]
    high: tuple[float, float, float]


COLOURS: Mapping[str, tuple[ColourRange, ...]] = {}
