"""Robots: specifications (data) and drivers behind one protocol."""

from s2rctl.core.tables import Table

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
