"""From nine motors on a bus to an arm that holds its position; it does not move meanwhile.

Order: who is there, errors in force, how the arm is built (direction, shadows, ranges), settings, limits, goal at the
present position, torque. Nothing is ever cleared, and torque is never switched off: the arm has no brakes and would
drop. What is settled by the arm's construction is compared, not written.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from s2rctl.core.errors import SafetyStop
from s2rctl.robots.aloha.motors import (
    BUS_WATCHDOG,
    CURRENT_LIMIT,
    CURRENT_UNIT_MA,
    DRIVE_MODE,
    FIRMWARE,
    GOAL_CURRENT,
    GOAL_POSITION,
    HARDWARE_ERROR,
    HOMING_OFFSET,
    LEADING,
    LEAST_FIRMWARE,
    MAX_POSITION,
    MIN_POSITION,
    MODEL_NAMES,
    NO_SECONDARY,
    OPERATING_MODE,
    PRESENT_POSITION,
    PROFILE_ACCELERATION,
    PROFILE_VELOCITY,
    RETURN_DELAY,
    REVERSED,
    SECONDARY_ID,
    TIME_PROFILE,
    TORQUE_ENABLE,
    VELOCITY_LIMIT,
    VELOCITY_UNIT,
    VX300S,
    WATCHDOG_TRIPPED,
    Mode,
    Motor,
    Register,
    error_hint,
    error_text,
    to_ticks,
)
from s2rctl.robots.dynamixel.bus import Bus, BusError, PortLost

RECOVER = "then run s2rctl robot recover"
RANGE_SLACK = 2
"""Ticks by which a motor's own range may be narrower than the joint's: rounding of the published limits."""
REST_SLACK = 60
"""Ticks (5°) by which an arm that rests on its stops may be outside its range before torque is switched on."""
PATIENCE_S = 1.0
"""Time for which a transfer is tried again during bring-up: one damaged or late packet is no reason to give up."""


@dataclass(frozen=True)
class Settings:
    """What the profile says about one arm."""

    speed: float  # rad/s, largest joint speed that the motors allow themselves
    gripper_current_ma: float
    watchdog_s: float  # silence after which the motors stop by themselves
    silence_s: float  # time without an answer that is an error
    low: tuple[float, ...]  # rad, range of the six arm joints that commands use
    high: tuple[float, ...]
    damage_s: float = 0.3  # time in which a few damaged answers are an error


@dataclass(frozen=True)
class Found:
    """What the bring-up learnt."""

    firmware: int  # the oldest of all motors
    low: tuple[int, ...]  # ticks, the range of each leading motor
    high: tuple[int, ...]


def bring_up(bus: Bus, settings: Settings) -> Found:
    """Bring one arm up; raise SafetyStop that names motor, register and both values."""
    try:
        firmware = _identify(bus)
        for motor in VX300S:
            _demand_healthy(bus, motor)
        for motor in VX300S:
            _demand_build(bus, motor)
        low, high = _ranges(bus, settings)
        _settle(bus)
        _limit(bus, settings)
        _hold(bus, low, high)
    except BusError as error:
        raise SafetyStop(str(error), "check the arm's power, its cables and the adapter") from error
    return Found(firmware, low, high)


def patiently(transfer: Callable[[], int | None]) -> Any:
    """Return the result of a transfer, repeating it where the line and not the motor failed."""
    begun = time.monotonic()
    while True:
        try:
            return transfer()
        except BusError as error:
            if error.refused or isinstance(error, PortLost) or time.monotonic() - begun > PATIENCE_S:
                raise


def _get(bus: Bus, motor: Motor, register: Register) -> int:
    return int(patiently(lambda: bus.read(motor.number, register)))


def _put(bus: Bus, motor: Motor, register: Register, value: int) -> None:
    patiently(lambda: bus.write(motor.number, register, value))


def _stop(bus: Bus, motor: Motor, what: str, hint: str) -> SafetyStop:
    return SafetyStop(f"{bus.name} arm, motor {motor.number} ({motor.name}): {what}", hint)


def _identify(bus: Bus) -> int:
    """Return the oldest firmware version; every motor must be there and of the right model."""
    versions = []
    for motor in VX300S:
        try:
            model = patiently(partial(bus.ping, motor.number))
        except BusError as error:
            raise _stop(bus, motor, f"no motor: {error}", "check the arm's power, and the chain of cables") from error
        if model != motor.model:
            found = MODEL_NAMES.get(model, f"model {model}")
            raise _stop(
                bus, motor, f"is a {found}, not a {MODEL_NAMES[motor.model]}", "this is no ViperX-300: see robot.ports"
            )
        versions.append(_get(bus, motor, FIRMWARE))
        if versions[-1] < LEAST_FIRMWARE:
            raise _stop(
                bus,
                motor,
                f"firmware {versions[-1]} has no bus watchdog",
                f"update it to {LEAST_FIRMWARE} or newer with the vendor's tool",
            )
    return min(versions)


def _demand_healthy(bus: Bus, motor: Motor) -> None:
    """Raise SafetyStop for an error in force."""
    bits = _get(bus, motor, HARDWARE_ERROR)
    if bits:
        raise _stop(
            bus, motor, f"reports {error_text(bits)}", f"{error_hint(bits)}, hold the arm with your hands, {RECOVER}"
        )
    if _get(bus, motor, BUS_WATCHDOG) == WATCHDOG_TRIPPED:
        raise _stop(
            bus,
            motor,
            "its bus watchdog has stopped it: a program ended without closing",
            f"look at the arm, {RECOVER}",
        )


def _demand_build(bus: Bus, motor: Motor) -> None:
    """Raise SafetyStop where the arm is built or numbered differently: it would turn the wrong way."""
    reversed_ = bool(_get(bus, motor, DRIVE_MODE) & REVERSED)
    if reversed_ != motor.reversed:
        words = {True: "reversed", False: "normal"}
        raise _stop(
            bus,
            motor,
            f"turns in {words[reversed_]} direction (drive mode), not {words[motor.reversed]}",
            "set the drive mode as in Interbotix's vx300s configuration, with the vendor's tool",
        )
    secondary = _get(bus, motor, SECONDARY_ID)
    wanted = NO_SECONDARY if motor.secondary is None else motor.secondary
    if secondary != wanted and not (motor.secondary is None and secondary > 252):
        raise _stop(
            bus,
            motor,
            f"its secondary ID is {secondary}, not {wanted}",
            "set it as in Interbotix's vx300s configuration, with the vendor's tool",
        )
    offset = _get(bus, motor, HOMING_OFFSET)
    if offset:
        raise _stop(bus, motor, f"has a homing offset of {offset} ticks", "set the homing offset to 0")


def _ranges(bus: Bus, settings: Settings) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the leading motors' own ranges in ticks; a goal outside them would be ignored without a word."""
    lows, highs = [], []
    for number, motor in enumerate(LEADING):
        low, high = _get(bus, motor, MIN_POSITION), _get(bus, motor, MAX_POSITION)
        if number < len(settings.low):
            need_low, need_high = to_ticks(settings.low[number]), to_ticks(settings.high[number])
            if low > need_low + RANGE_SLACK or high < need_high - RANGE_SLACK:
                raise _stop(
                    bus,
                    motor,
                    f"its position limits are {low} to {high}, commands need {need_low} to {need_high}",
                    "set the limits as in Interbotix's vx300s configuration",
                )
        lows.append(low)
        highs.append(high)
    return tuple(lows), tuple(highs)


def _settle(bus: Bus) -> None:
    """Write the settings that may differ from arm to arm, where they do; the motor takes them only with torque off."""
    for motor in VX300S:
        drive = _get(bus, motor, DRIVE_MODE)
        wanted = {
            DRIVE_MODE: drive & ~TIME_PROFILE,
            OPERATING_MODE: int(motor.mode),
            RETURN_DELAY: 0,
        }
        for register, value in wanted.items():
            now = drive if register is DRIVE_MODE else _get(bus, motor, register)
            if now == value:
                continue
            if _get(bus, motor, TORQUE_ENABLE):
                raise _stop(
                    bus,
                    motor,
                    f"{register.name} is {now}, must be {value}, and cannot be changed while torque is on",
                    "hold the arm with your hands, switch its power off and on, and run this again",
                )
            _put(bus, motor, register, value)


def _limit(bus: Bus, settings: Settings) -> None:
    """Let the motors enforce the speed of the joints and the force of the gripper, too."""
    for motor in VX300S:
        _put(bus, motor, PROFILE_ACCELERATION, 0)
        if motor.mode is Mode.CURRENT_BASED_POSITION:
            _put(bus, motor, PROFILE_VELOCITY, 0)  # as fast as its current allows
            limit = _get(bus, motor, CURRENT_LIMIT)
            _put(bus, motor, GOAL_CURRENT, min(limit, round(settings.gripper_current_ma / CURRENT_UNIT_MA)))
        else:
            limit = _get(bus, motor, VELOCITY_LIMIT)
            _put(bus, motor, PROFILE_VELOCITY, max(1, min(limit, round(settings.speed / VELOCITY_UNIT))))


def _hold(bus: Bus, low: tuple[int, ...], high: tuple[int, ...]) -> None:
    """Switch torque on where it is off, at the present position."""
    for leader, least, most in zip(LEADING, low, high, strict=True):
        team = [motor for motor in VX300S if leader.number in (motor.number, motor.secondary)]
        if all(_get(bus, motor, TORQUE_ENABLE) for motor in team):
            continue
        present = _get(bus, leader, PRESENT_POSITION)
        if not least - REST_SLACK <= present <= most + REST_SLACK:
            raise _stop(
                bus,
                leader,
                f"stands at {present}, outside its limits {least} to {most}",
                "bring the arm into its range by hand",
            )
        for motor in team:
            _put(bus, motor, GOAL_POSITION, min(max(present, least), most))
        for motor in team:
            _put(bus, motor, TORQUE_ENABLE, 1)
