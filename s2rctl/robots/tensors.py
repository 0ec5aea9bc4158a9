"""What the tensors of the vocabulary are on one robot: the names of their elements, and their limits."""

from s2rctl.robots.protocol import RobotSpecification
from s2rctl.schema.tensors import JOINT_POS, JOINT_TARGET, quantity_of

Limits = tuple[tuple[float, ...], tuple[float, ...]]


def elements_of(name: str, specification: RobotSpecification) -> tuple[str, ...]:
    """Return the names of a tensor's last axis in order; () where they have none, or nothing is known of the tensor."""
    known = quantity_of(name)
    return known.elements(specification.joints, specification.targets) if known is not None else ()


def limits_of(name: str, specification: RobotSpecification) -> Limits | None:
    """Return the lower and upper limits of a tensor's last axis (rad, m); None where the robot sets none."""
    if name == JOINT_POS:
        return specification.joint_low, specification.joint_high
    if name == JOINT_TARGET:
        return specification.target_low, specification.target_high
    return None
