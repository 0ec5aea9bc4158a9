"""The objects of the ALOHA tasks. Figures: MuJoCo Playground PR 76 (Apache-2.0); half sizes in m, masses in kg.

Bit 1 of contype and conaffinity is what hands and table touch, bit 2 is peg against socket walls.
"""

from collections.abc import Mapping, Sequence

import mujoco

from s2rctl.scene.sizes import BOX_HALF, PEG_HALF, SOCKET_HALF, TABLE_TOP

WALL_HALF = 0.002
OPENING_HALF = 0.018
BACK_HALF = 0.004
LINING_HALF = 0.0003
WALL_MASS = 0.016 + 0.016  # the wall's and its lining's, which has no mass of its own here: both lie about x = 0
BACK_MASS = 0.006

RED = (1.0, 0.03, 0.03, 1.0)
BLUE = (0.05, 0.05, 1.0, 1.0)
WHITE = (1.0, 1.0, 1.0, 1.0)

_BOX = mujoco.mjtGeom.mjGEOM_BOX
_SITE_GROUP = 4
_SOLREF = (0.01, 1.0)
_FRICTION = (1.0, 0.05, 0.001)


def add_box(spec: mujoco.MjSpec, x: float, y: float) -> None:
    """Add the block of the pick task, lying on the table along x."""
    body = _free_body(spec, "box", (x, y, TABLE_TOP + BOX_HALF[2]), (1.0, 0.0, 0.0, 0.0))
    body.add_geom(
        name="box",
        type=_BOX,
        size=BOX_HALF,
        mass=0.05,
        contype=0,
        conaffinity=1,
        condim=4,
        friction=(1.0, 0.03, 0.001),
        solref=(0.02, 1.0),
        rgba=RED,
    )
    _add_sites(body, {"box_grip": -0.02, "box_far_end": 0.048})


def add_peg(spec: mujoco.MjSpec, x: float, y: float) -> None:
    """Add the peg, lying on the table and turned by 180°, so that its +x end looks at the left arm."""
    body = _free_body(spec, "peg", (x, y, TABLE_TOP + PEG_HALF[2]), (0.0, 0.0, 0.0, 1.0))
    body.add_geom(
        name="peg",
        type=_BOX,
        size=PEG_HALF,
        mass=0.044,
        contype=2,
        conaffinity=1,
        condim=4,
        friction=_FRICTION,
        solref=_SOLREF,
        rgba=RED,
    )
    _add_sites(body, {"peg_grip": -0.02, "peg_end1": 0.048, "peg_end2": -0.048})


def add_socket(spec: mujoco.MjSpec, x: float, y: float) -> None:
    """Add the socket, lying on the table, its entrance at +x.

    Hands and table meet the solid hull ``socket``, so that one sensor per finger sees every touch and five walls need
    not be tested; the peg meets the walls. The white linings are only seen.
    """
    body = _free_body(spec, "socket", (x, y, TABLE_TOP + SOCKET_HALF[2]), (1.0, 0.0, 0.0, 0.0))
    body.add_geom(
        name="socket",
        type=_BOX,
        size=SOCKET_HALF,
        mass=0,
        contype=0,
        conaffinity=1,
        condim=4,
        friction=_FRICTION,
        solref=_SOLREF,
        group=3,
        rgba=(0.0, 0.0, 1.0, 0.3),
    )
    length, width = SOCKET_HALF[0], SOCKET_HALF[1]
    middle = OPENING_HALF + WALL_HALF
    for name, position, half in (
        ("top", (0, 0, middle), (length, width, WALL_HALF)),
        ("bottom", (0, 0, -middle), (length, width, WALL_HALF)),
        ("left", (0, middle, 0), (length, WALL_HALF, OPENING_HALF)),
        ("right", (0, -middle, 0), (length, WALL_HALF, OPENING_HALF)),
    ):
        _add_wall(body, f"socket_{name}", position, half, WALL_MASS, BLUE)
    back = (BACK_HALF, OPENING_HALF, OPENING_HALF)
    _add_wall(body, "socket_back", (BACK_HALF - length, 0, 0), back, BACK_MASS, RED)
    _add_linings(body)
    _add_sites(body, {"socket_grip": -0.02, "socket_entrance": 0.048, "socket_rear": 0.0, "socket_end": -0.048})


def _add_wall(
    body: mujoco.MjsBody,
    name: str,
    position: Sequence[float],
    half: Sequence[float],
    mass: float,
    rgba: Sequence[float],
) -> None:
    """Add a wall that only the peg touches."""
    body.add_geom(
        name=name,
        type=_BOX,
        pos=position,
        size=half,
        mass=mass,
        contype=0,
        conaffinity=2,
        condim=4,
        friction=_FRICTION,
        solref=_SOLREF,
        rgba=rgba,
    )


def _add_linings(body: mujoco.MjsBody) -> None:
    """Add the white insides from the back wall to 0.5 mm before the entrance; they stand out by 0.5 mm at most."""
    length = SOCKET_HALF[0] - BACK_HALF - 0.00025
    at = OPENING_HALF - 0.0002
    for name, position, half in (
        ("top", (0, 0, at), (length, OPENING_HALF, LINING_HALF)),
        ("bottom", (0, 0, -at), (length, OPENING_HALF, LINING_HALF)),
        ("left", (0, at, 0), (length, LINING_HALF, OPENING_HALF)),
        ("right", (0, -at, 0), (length, LINING_HALF, OPENING_HALF)),
    ):
        body.add_geom(
            name=f"socket_lining_{name}",
            type=_BOX,
            pos=(BACK_HALF - 0.00025, *position[1:]),
            size=half,
            mass=0,
            contype=0,
            conaffinity=0,
            rgba=WHITE,
        )


def _free_body(
    spec: mujoco.MjSpec, name: str, position: Sequence[float], quaternion: Sequence[float]
) -> mujoco.MjsBody:
    """Add a body that moves freely; its joint has its name."""
    body = spec.worldbody.add_body(name=name, pos=position, quat=quaternion)
    body.add_freejoint(name=name)
    return body


def _add_sites(body: mujoco.MjsBody, places: Mapping[str, float]) -> None:
    """Add named sites on the body's x axis at the given x, m."""
    for name, x in places.items():
        body.add_site(name=name, pos=(x, 0, 0), group=_SITE_GROUP)
