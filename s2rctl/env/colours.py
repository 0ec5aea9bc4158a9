"""Which parts of each scene may take which colours, where the profile says nothing else.

The published sim-to-real reference draws its red part's red channel from 0 and has a nearly black table, so that some
parts cannot be seen at all. Ours never have less than 0.35 in their main channel and stand out from the table in hue,
whose grey is anything. The xArm7 ranges are our own, around the look of the scene.
"""

from collections.abc import Mapping

from s2rctl.schema.simulation import ColourRange

_CONTRAST = 0.25
_RED = ColourRange(
    geoms=("peg", "socket_back", "box"),
    low=(0.35, 0.0, 0.0),
    high=(1.0, 0.25, 0.25),
    against=("table",),
    contrast=_CONTRAST,
)
_BLUE = ColourRange(
    geoms=("socket", "socket_top", "socket_bottom", "socket_left", "socket_right"),
    low=(0.0, 0.0, 0.35),
    high=(0.25, 0.25, 1.0),
    against=("table",),
    contrast=_CONTRAST,
)
_ALOHA_TABLE = ColourRange(geoms=("table",), low=(0.0, 0.0, 0.0), high=(0.9, 0.9, 0.9), grey=True)

COLOURS: Mapping[str, tuple[ColourRange, ...]] = {
    "pick": (_RED, _ALOHA_TABLE),
    "insertion": (_BLUE, _RED, _ALOHA_TABLE),
    "reach": (
        ColourRange(geoms=("table",), low=(0.42, 0.34, 0.24), high=(0.8, 0.7, 0.56)),
        ColourRange(geoms=("curtain_*",), low=(0.15, 0.22, 0.3), high=(0.45, 0.58, 0.7)),
        ColourRange(geoms=("floor",), low=(0.15, 0.15, 0.15), high=(0.5, 0.5, 0.5), grey=True),
    ),
}
