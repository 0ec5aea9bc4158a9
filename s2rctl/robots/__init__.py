"""Robots: specifications (data) and drivers behind one protocol."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from s2rctl.core.tables import Table

if TYPE_CHECKING:
    from s2rctl.robots.protocol import Robot, RobotSpecification
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
        "xarm7-joints": "s2rctl.robots.xarm7.remote:make_joints",
        "xarm7-watch": "s2rctl.robots.xarm7.remote:make_watch",
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

# Each row is a function (figures that the device gave) -> the arm's own Kinematics, None where they are not understood.
FACTORY_FIGURES = Table(
    "robot that tells its link figures", {"xarm7": "s2rctl.robots.xarm7.factory:factory_kinematics"}
)


def factory_chain(specification: "RobotSpecification", figures: "Sequence[float]") -> "RobotSpecification | None":
    """Return a robot's specification with the link figures that its device gave; None where there are none."""
    if not figures or specification.name not in FACTORY_FIGURES.names():
        return None
    kinematics = FACTORY_FIGURES.load(specification.name)(figures)
    return None if kinematics is None else replace(specification, kinematics=kinematics)


def make_driver(settings: "RobotSection", safety: "Safety", period_s: float) -> "Robot":
    """Return the driver for the real device of a profile's ``robot`` section, for a loop with this control period."""
    row = settings.name if settings.driver == "direct" else f"{settings.name}-{settings.driver}"
    driver: Robot = DRIVERS.load(row)(settings, safety, period_s)
    return driver


def make_joint_driver(settings: "RobotSection", safety: "Safety", period_s: float, *, watch: bool = False) -> "Robot":
    """Return a driver that takes joint positions, for calibration; with ``watch`` one that only reads, if there is one.

    A robot whose policies move joints has one driver for both; one that takes tool positions has others beside it.
    """
    rows = [f"{settings.name}-watch"] if watch else []
    rows += [f"{settings.name}-joints", settings.name if settings.driver == "direct" else ""]
    row = next((row for row in rows if row in DRIVERS.names()), f"{settings.name}-{settings.driver}")
    driver: Robot = DRIVERS.load(row)(settings, safety, period_s)
    return driver
