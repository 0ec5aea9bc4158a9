"""The real Aloha: not yet."""

from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.robots.protocol import Robot as RobotProtocol
from s2rctl.schema.deployment import Robot, Safety


def make(robot: Robot, safety: Safety) -> RobotProtocol:
    """Refuse: this version cannot drive the real arms."""
    del robot, safety
    raise MissingEnvironmentError(
        "this version has no driver for the real Aloha arms",
        "rehearse in simulation: s2rctl deploy REF --mode rehearse",
    )
