"""Where the published meshes of a robot are, as data: nothing of them is kept here."""

from dataclasses import dataclass

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Part:
    """One mesh, in the frame of one of the robot's bodies."""

    body: str  # without the prefix of an arm
    file: str  # below the package's folder of meshes
    colour: Colour
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)  # m
    quaternion: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    scale: float = 1.0  # of the file's numbers to m


@dataclass(frozen=True)
class RobotMeshes:
    """A package that carries a robot's meshes inside, and the same robot's name in MuJoCo Menagerie."""

    package: str  # distribution, with its version
    module: str
    parts: tuple[tuple[str, Part], ...]  # (folder below the module, part)
    menagerie: str
    model: str  # entry point of the menagerie's robot
    prefixes: tuple[str, ...] = ("",)  # one for each arm
    posture: tuple[tuple[str, float], ...] = ()  # joints of the menagerie's robot that ours has not, rad
