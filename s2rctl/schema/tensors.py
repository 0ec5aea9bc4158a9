"""The vocabulary of a policy's tensors: what each is called, in which unit it is, and whose elements it has.

Training, the exported graph, the contract card, the robot computer and the policy server all take names and units from
here. Images are named after their camera, memory after itself; both are made and read here alone.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

CONTRACT_KEY = "s2rctl.contract"
"""Where the contract card stands in the ONNX metadata."""

JOINT_POS, JOINT_VEL, JOINT_TARGET = "joint_pos", "joint_vel", "joint_target"
SWITCHED, GOAL, OBSERVATION = "switched", "goal", "observation"
ACTION, POSITION = "action", "position"

AXES = ("x", "y", "z")
"""Elements of a place in the robot's base frame."""


class Quantity(NamedTuple):
    """What the numbers of a tensor are; ``unit`` holds one unit per kind of element, the joints' first."""

    unit: str
    meaning: str
    of: Literal["joints", "targets", "axes", ""]  # whose elements the last axis has; "": they have no names
    real: bool = True  # whether the robot computer has it; False: an output, or known to the simulator only

    def elements(self, joints: Sequence[str], targets: Sequence[str]) -> tuple[str, ...]:
        """Return the names of the last axis in order, of a robot with these joints and targets."""
        return {"joints": tuple(joints), "targets": tuple(targets), "axes": AXES, "": ()}[self.of]

    @property
    def first_unit(self) -> str:
        """The unit of the first kind of element."""
        return first_unit(self.unit)


QUANTITIES = {
    JOINT_POS: Quantity("rad, fingers m", "measured joint positions", "joints"),
    JOINT_VEL: Quantity("rad/s, fingers m/s", "measured joint velocities", "joints"),
    JOINT_TARGET: Quantity("rad, grippers m", "joint targets last commanded", "targets"),
    SWITCHED: Quantity("", "1 once both grippers are above the switch height and the insertion policy acts", ""),
    GOAL: Quantity("m", "where the tool shall be, robot base frame", "axes"),
    OBSERVATION: Quantity("", "the task's observation of the simulator's state: for simulation only", "", real=False),
    POSITION: Quantity("m", "tool position seen in the image, robot base frame", "axes", real=False),
}
"""Known tensors by name. Images, memory and objects seen follow rules; what an ``action`` is the robot says."""

OF_HAND = Quantity(
    "m", "from the fingertips to the hand's object, as its camera sees it, hand's axes", "axes", real=False
)
_OBJECT = "object_"


def object_name(camera: str) -> str:
    """Return the name of the output that tells where a camera on a hand sees the object of that hand."""
    return _OBJECT + camera


def viewer_of(name: str) -> str | None:
    """Return the camera that such an output tells of; None for any other tensor."""
    return name.removeprefix(_OBJECT) if name.startswith(_OBJECT) else None


def quantity_of(name: str) -> Quantity | None:
    """Return what the numbers of a tensor are; None for images, memory, actions and unknown ones."""
    return OF_HAND if viewer_of(name) else QUANTITIES.get(name)


def first_unit(unit: str) -> str:
    """Return the first of the units in ``rad, fingers m``."""
    return unit.partition(",")[0].strip()


class ImageName(NamedTuple):
    """A camera image as a tensor: colour uint8 (H, W, 3) or depth uint16 (H, W) in counts of the camera's unit."""

    kind: Literal["rgb", "depth"]
    camera: str


def rgb_name(camera: str) -> str:
    """Return the name of a camera's colour image."""
    return f"rgb_{camera}"


def depth_name(camera: str) -> str:
    """Return the name of a camera's depth image."""
    return f"depth_{camera}"


def image_of(name: str) -> ImageName | None:
    """Return which camera's image a tensor is; None for a tensor that is no image."""
    kind, _, camera = name.partition("_")
    if not camera:
        return None
    return ImageName("rgb", camera) if kind == "rgb" else ImageName("depth", camera) if kind == "depth" else None


def is_rgb(name: str) -> bool:
    """Return whether a tensor is a colour image."""
    image = image_of(name)
    return image is not None and image.kind == "rgb"


def is_depth(name: str) -> bool:
    """Return whether a tensor is a depth image."""
    image = image_of(name)
    return image is not None and image.kind == "depth"


_MEMORY_IN, _MEMORY_OUT = "memory_in/", "memory_out/"


def memory_in(name: str) -> str:
    """Return the graph's input that takes a memory as it was."""
    return _MEMORY_IN + name


def memory_out(name: str) -> str:
    """Return the graph's output that gives a memory as it is from now on."""
    return _MEMORY_OUT + name


def is_memory(name: str) -> bool:
    """Return whether a tensor of a graph is memory, going in or coming out."""
    return name.startswith((_MEMORY_IN, _MEMORY_OUT))
