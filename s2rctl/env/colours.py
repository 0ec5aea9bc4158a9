"""Which parts of each scene may take which colours, where the profile says nothing else.

The ranges of the Aloha objects are those of the published sim-to-real reference (blue part: blue channel 0.5 to 1, the
others up to 0.12; red part: red channel up to 1, the others up to 0.07). Its table is nearly black (grey up to 0.1);
ours is lighter, so the range holds both. The xArm7 ranges are our own, around the look of the scene.
"""

from collections.abc import Mapping

from s2rctl.schema.simulation import ColourRange

_RED = ColourRange(geoms=("peg", "socket_back", "box"), low=(0.0, 0.0, 0.0), high=(1.0, 0.07, 0.07))
_BLUE = ColourRange(
    geoms=("socket", "socket_top", "socket_bottom", "socket_left", "socket_right"),
    low=(0.0, 0.0, 0.5),
    high=(0.12, 0.12, 1.0),
)
_ALOHA_TABLE = ColourRange(geoms=("table",), low=(0.0, 0.0, 0.0), high=(0.5, 0.5, 0.5), grey=True)

COLOURS: Mapping[str, tuple[ColourRange, ...]] = {
    "pick": (_RED, _ALOHA_TABLE),
    "insertion": (_BLUE, _RED, _ALOHA_TABLE),
    "reach": (
        ColourRange(geoms=("table",), low=(0.42, 0.34, 0.24), high=(0.8, 0.7, 0.56)),
        ColourRange(geoms=("curtain_*",), low=(0.15, 0.22, 0.3), high=(0.45, 0.58, 0.7)),
        ColourRange(geoms=("floor",), low=(0.15, 0.15, 0.15), high=(0.5, 0.5, 0.5), grey=True),
    ),
}
