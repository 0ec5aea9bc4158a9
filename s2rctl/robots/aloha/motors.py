"""The nine motors of a ViperX-300: identities, registers, units, and what their error bits mean.

Figures: ROBOTIS e-Manual, control tables of XM540-W270 and XM430-W350 (protocol 2.0); Interbotix's vx300s motor
configuration for IDs, directions and limits.
"""

import math
from dataclasses import dataclass
from enum import IntEnum

TICKS_PER_TURN = 4096
ZERO_TICKS = 2048
"""Position at 0 rad."""
VELOCITY_UNIT = 0.229 * 2.0 * math.pi / 60.0
"""rad/s per unit of the velocity registers (0.229 rpm)."""
ACCELERATION_UNIT = 214.577 * 2.0 * math.pi / 3600.0
"""rad/s² per unit of the acceleration registers (214.577 rev/min²)."""
VOLTAGE_UNIT = 0.1
"""V per unit of the voltage registers."""
PWM_FULL = 885
"""Units of the PWM registers at which the motor has the whole voltage."""
CURRENT_UNIT_MA = 2.69
"""mA per unit of the current registers."""
WATCHDOG_UNIT_S = 0.02
"""s per unit of the bus watchdog."""
WATCHDOG_TRIPPED = 255
"""Value (-1) that the bus watchdog register shows after it stopped the motor."""
LEAST_FIRMWARE = 38
"""First firmware with a bus watchdog."""
REVERSED, TIME_PROFILE = 0x01, 0x04
"""Bits of the drive mode."""
BAUD_RATE = 1_000_000
COAST_S = 0.05
"""A soft stop's goal is where the joint is in half the time that it needs to brake evenly."""


@dataclass(frozen=True)
class Register:
    """One entry of the control table."""

    name: str
    address: int
    size: int
    signed: bool = False


class Mode(IntEnum):
    """Operating modes that are used."""

    POSITION = 3
    CURRENT_BASED_POSITION = 5


MODEL_NUMBER = Register("model number", 0, 2)
FIRMWARE = Register("firmware version", 6, 1)
RETURN_DELAY = Register("return delay", 9, 1)
DRIVE_MODE = Register("drive mode", 10, 1)
OPERATING_MODE = Register("operating mode", 11, 1)
SECONDARY_ID = Register("secondary ID", 12, 1)
HOMING_OFFSET = Register("homing offset", 20, 4, signed=True)
MIN_VOLTAGE = Register("lowest voltage", 34, 2)
PWM_LIMIT = Register("PWM limit", 36, 2)
CURRENT_LIMIT = Register("current limit", 38, 2)
VELOCITY_LIMIT = Register("velocity limit", 44, 4)
MAX_POSITION = Register("largest position", 48, 4)
MIN_POSITION = Register("smallest position", 52, 4)
SHUTDOWN = Register("shutdown", 63, 1)
TORQUE_ENABLE = Register("torque", 64, 1)
HARDWARE_ERROR = Register("hardware error", 70, 1)
BUS_WATCHDOG = Register("bus watchdog", 98, 1)
GOAL_CURRENT = Register("goal current", 102, 2, signed=True)
PROFILE_ACCELERATION = Register("profile acceleration", 108, 4)
PROFILE_VELOCITY = Register("profile velocity", 112, 4)
GOAL_POSITION = Register("goal position", 116, 4, signed=True)
PRESENT_CURRENT = Register("current", 126, 2, signed=True)
PRESENT_VELOCITY = Register("velocity", 128, 4, signed=True)
PRESENT_POSITION = Register("position", 132, 4, signed=True)
VOLTAGE = Register("voltage", 144, 2)
TEMPERATURE = Register("temperature", 146, 1)

HARDWARE_ERRORS = {
    0: ("input voltage", "check the power supply and its plugs"),
    2: ("overheating", "let it cool down"),
    3: ("encoder", "the motor must be repaired"),
    4: ("electrical shock or too little current", "check the power supply"),
    5: ("overload", "look for what it pressed against"),
}
"""Bit of the hardware error register -> (name, what to do)."""

XM540_W270, XM430_W350 = 1120, 1020
MODEL_NAMES = {XM540_W270: "XM540-W270", XM430_W350: "XM430-W350", 1060: "XL430-W250"}
NO_SECONDARY = 255
"""Values above 252 mean that a motor has no secondary ID."""


@dataclass(frozen=True)
class Motor:
    """What one motor of the arm must be."""

    number: int  # ID on the bus
    name: str
    model: int
    reversed: bool  # drive mode turns its positive direction to the joint's
    secondary: int | None = None  # the motor that it shadows: it obeys what is written to that ID
    mode: Mode = Mode.POSITION


VX300S = (
    Motor(1, "waist", XM540_W270, False),
    Motor(2, "shoulder", XM540_W270, True),
    Motor(3, "shoulder_shadow", XM540_W270, False, secondary=2),
    Motor(4, "elbow", XM540_W270, True),
    Motor(5, "elbow_shadow", XM540_W270, False, secondary=4),
    Motor(6, "forearm_roll", XM540_W270, False),
    Motor(7, "wrist_angle", XM540_W270, True),
    Motor(8, "wrist_rotate", XM430_W350, False),
    Motor(9, "gripper", XM430_W350, False, mode=Mode.CURRENT_BASED_POSITION),
)
"""The motors of one arm by ID; those without ``secondary`` drive one target each, in the order of the targets."""
LEADING = tuple(motor for motor in VX300S if motor.secondary is None)
"""The motors that are commanded: six joints and the gripper."""


def to_ticks(angle: float) -> int:
    """Return the position register for an angle in rad."""
    return round(angle * TICKS_PER_TURN / (2.0 * math.pi)) + ZERO_TICKS


def to_angle(ticks: float) -> float:
    """Return the angle in rad for a position register."""
    return (ticks - ZERO_TICKS) * (2.0 * math.pi / TICKS_PER_TURN)


def error_text(bits: int) -> str:
    """Return the names of a hardware error register's bits, e.g. ``overload``."""
    names = [HARDWARE_ERRORS.get(bit, (f"bit {bit}", ""))[0] for bit in range(8) if bits >> bit & 1]
    return ", ".join(names)


def error_hint(bits: int) -> str:
    """Return what to do about a hardware error register's first known bit."""
    for bit, (_, remedy) in HARDWARE_ERRORS.items():
        if bits >> bit & 1:
            return remedy
    return "look at the motor"
