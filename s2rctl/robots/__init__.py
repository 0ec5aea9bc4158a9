"""Robots: specifications (data) and drivers behind one protocol."""

from typing import TYPE_CHECKING

from s2rctl.core.tables import Table

if TYPE_CHECKING:
    from s2rctl.robots.protocol import Robot
    from s2rctl.schema.deployment import Robot as Settings
    from s2rctl.schema.deployment import Safety

# Each row is a RobotSpecification.
ROBOTS = Table(
    "robot",
    {
        "aloha": "s2rctl.robots.aloha.specification:SPECIFICATION",
        "xarm7": "s2rctl.robots.xarm7.specification:SPECIFICATION",
    },
)

# Each row is a function (profile.robot, profile.deploy.safety) -> Robot for the real device.
DRIVERS = Table(
    "robot driver",
    {
        "aloha": "s2rctl.robots.aloha.driver:make",
        "aloha-interbotix": "s2rctl.robots.aloha.interbotix:apart",
        "xarm7": "s2rctl.robots.xarm7.apart:make",
    },
)

# Each row is a function (name, CameraDevice, View) -> Camera for the real device.
CAMERAS = Table(
    "camera",
    {
        "realsense": "s2rctl.robots.cameras.realsense:make",
        "uvc": "s2rctl.robots.cameras.uvc:make",
    },
)


def make_driver(settings: "Settings", safety: "Safety") -> "Robot":
    """Return the driver for the real device that a profile's ``robot`` section describes."""
    row = settings.name if settings.driver == "direct" else f"{settings.name}-{settings.driver}"
    driver: Robot = DRIVERS.load(row)(settings, safety)
    return driver
