"""The xArm7's driver in a process of its own.

Its SDK prints to stdout, sets time-outs for all sockets of the process and parses reports in threads that would share
the loop's interpreter lock; and its controller holds the last target for ever when the program dies.
"""

from s2rctl.robots.remote import RemoteRobot
from s2rctl.robots.xarm7.specification import IN_JOINTS, SPECIFICATION
from s2rctl.schema.deployment import Safety
from s2rctl.schema.robots import XArm7Robot


def make(robot: XArm7Robot, safety: Safety, period_s: float) -> RemoteRobot:
    """Return the driver for the controller at ``robot.address``; it says so when there is no address."""
    return RemoteRobot(SPECIFICATION, robot, safety, period_s, factory="xarm7")


def make_joints(robot: XArm7Robot, safety: Safety, period_s: float) -> RemoteRobot:
    """Return the driver that moves joints, for calibration."""
    return RemoteRobot(IN_JOINTS, robot, safety, period_s, factory="xarm7-joints")


def make_watch(robot: XArm7Robot, safety: Safety, period_s: float) -> RemoteRobot:
    """Return the driver that only reads, for an arm that a person moves."""
    return RemoteRobot(IN_JOINTS, robot, safety, period_s, factory="xarm7-watch")
