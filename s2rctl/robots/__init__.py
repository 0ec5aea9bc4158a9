"""Robots: specifications (data) and drivers behind one protocol."""

from typing import TYPE_CHECKING

from s2rctl.core.tables import Table

if TYPE_CHECKING:
    from s2rctl.robots.protocol import Robot
    from s2rctl.schema.deployment import Safety
    from s2rctl.schema.robots import RobotSection


def _is_specification(row: object) -> bool:
    from s2rctl.robots.protocol import RobotSpecification

    return isinstance(row, RobotSpecification)


# Each row is a RobotSpecification.
ROBOTS = Table(
    "robot",
    {
        "aloha": "s2rctl.robots.aloha.specification:SPECIFICATION",
        "xarm7": "s2rctl.robots.xarm7.specification:SPECIFICATION",
    },
    group="s2rctl.robots",
    fits=_is_specification,
)

# Each row is a function (profile.robot, profile.deploy.safety, control period in s) -> Robot for the real device.
DRIVERS = Table(
    "robot driver",
    {
        "aloha": "s2rctl.robots.aloha.driver:make",
        "aloha-interbotix": "s2rctl.robots.aloha.interbotix:remote",
        "xarm7": "s2rctl.robots.xarm7.remote:make",
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


def make_driver(settings: "RobotSection", safety: "Safety", period_s: float) -> "Robot":
    """Return the driver for the real device of a profile's ``robot`` section, for a loop with this control period."""
    row = settings.name if settings.driver == "direct" else f"{settings.name}-{settings.driver}"
    driver: Robot = DRIVERS.load(row)(settings, safety, period_s)
    return driver
