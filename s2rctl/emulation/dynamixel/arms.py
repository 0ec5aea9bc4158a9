"""Two ViperX-300 arms: eighteen motors on two buses, and the MuJoCo world that they move.

A motor that holds drives its joint to its set-point with the scene's own actuator; one without torque leaves it limp.
Both motors of a pair move as the leading one does: that a shadow could fight it is not emulated.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import mujoco
import numpy as np

from s2rctl.emulation.dynamixel.bus import Bus
from s2rctl.emulation.dynamixel.motor import Motor
from s2rctl.emulation.dynamixel.table import RATED_V
from s2rctl.emulation.plant import Plant, PlantStart
from s2rctl.robots.aloha.gripper import Gripper
from s2rctl.robots.aloha.motors import (
    CURRENT_LIMIT,
    DRIVE_MODE,
    LEADING,
    MAX_POSITION,
    MIN_POSITION,
    NO_SECONDARY,
    OPERATING_MODE,
    RETURN_DELAY,
    SECONDARY_ID,
    VELOCITY_LIMIT,
    VX300S,
)
from s2rctl.robots.aloha.specification import SPECIFICATION

PWM_MODE = 16
RANGES = {2: (841, 2867), 3: (841, 2867), 4: (898, 3094), 5: (898, 3094), 7: (830, 3504)}
"""Position limits in ticks of Interbotix's vx300s configuration, where they are narrower than a turn."""
GRIPPER_CURRENT_LIMIT = 200
"""Units: what ALOHA's set-up instructions write into the gripper's motor."""
LARGEST_SPEED = 8.0
"""rad/s shown at most for the gripper's motor, whose speed is unbounded where the crank is stretched."""


def motors() -> list[Motor]:
    """Return the motors of one arm as Interbotix delivers them: limits written, gripper in PWM mode, torque off."""
    made = []
    for wanted in VX300S:
        motor = Motor(wanted.number, wanted.model, wanted.reversed)
        low, high = RANGES.get(wanted.number, (0, 4095))
        for register, value in (
            (RETURN_DELAY, 0),
            (DRIVE_MODE, int(wanted.reversed)),
            (SECONDARY_ID, NO_SECONDARY if wanted.secondary is None else wanted.secondary),
            (VELOCITY_LIMIT, 131),
            (MIN_POSITION, low),
            (MAX_POSITION, high),
        ):
            motor.set(register, value)
        if wanted.name == "gripper":
            motor.set(OPERATING_MODE, PWM_MODE)
            motor.set(CURRENT_LIMIT, GRIPPER_CURRENT_LIMIT)
        made.append(motor)
    return made


@dataclass(frozen=True)
class _Drive:
    """One actuator and the motors behind it."""

    leader: Motor
    team: tuple[Motor, ...]
    actuator: int
    joint: int  # in qpos
    dof: int
    gain: float  # N m/rad, N/m: the position actuator's stiffness
    finger: bool


class Arms:
    """The two arms over time. ``lock`` guards everything; ``receive`` and ``tick`` take it themselves."""

    def __init__(self, model: mujoco.MjModel, gripper: Gripper, now: float) -> None:
        self.plant = Plant(model)
        self.gripper = gripper
        self.lock = threading.RLock()
        self.buses = {arm.rstrip("/"): Bus(motors(), seed) for seed, arm in enumerate(SPECIFICATION.arms)}
        self._drives = [self._drive(number, name) for number, name in enumerate(SPECIFICATION.targets)]
        home = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, home, model.key("home").id)
        self.reset(PlantStart(home.qpos, home.qvel, home.ctrl), now)

    def motor(self, arm: str, name: str) -> Motor:
        """Return a motor by the names of arm and motor."""
        number = next(motor.number for motor in VX300S if motor.name == name)
        return self.buses[arm].motors[number]

    def supply(self, arm: str, volts: float = RATED_V) -> None:
        """Give all motors of an arm this voltage: that it sinks with the current is not emulated."""
        with self.lock:
            for motor in self.buses[arm].motors.values():
                motor.supply(volts)

    def set_latency(self, latency: Callable[[], float]) -> None:
        """Draw the time between a goal on the wire and its effect, s, from a function."""
        for bus in self.buses.values():
            bus.latency = latency

    def reset(self, start: PlantStart, now: float) -> None:
        """Put everything where an episode begins, with the goals in force; the motors keep their other registers."""
        with self.lock:
            self.plant.reset(start, now)
            self._rest = np.array(start.ctrl, float)
            for drive in self._drives:
                angle = self._angle(drive, float(self.plant.data.qpos[drive.joint]))
                goal = self._angle(drive, float(start.ctrl[drive.actuator]))
                for motor in drive.team:
                    motor.place(angle, goal, now)

    def receive(self, arm: str, data: bytes) -> list[tuple[float, bytes]]:
        """Take bytes from one arm's wire and return (time, bytes) to send back."""
        with self.lock:
            return self.buses[arm].receive(data, self.plant.time)

    def tick(self) -> None:
        """Advance motors and world by one physics step."""
        with self.lock:
            data, now = self.plant.data, self.plant.time
            dt = float(self.plant.model.opt.timestep)
            ctrl = data.ctrl.copy()
            for drive in self._drives:
                ctrl[drive.actuator] = self._move(drive, now, dt)
            self.plant.command(ctrl, now)
            self.plant.step()

    def _move(self, drive: _Drive, now: float, dt: float) -> float:
        """Advance the motors of one actuator and return its control input."""
        data = self.plant.data
        position, speed = float(data.qpos[drive.joint]), float(data.qvel[drive.dof])
        force = float(data.actuator_force[drive.actuator])
        angle, lever = self._angle(drive, position), 1.0
        if drive.finger:
            lever = max(self.gripper.rate(angle, 1.0), 1e-4)  # m/rad
            speed = float(np.clip(speed / lever, -LARGEST_SPEED, LARGEST_SPEED))
        per_ampere = drive.leader.model.torque_per_ampere
        current = force * lever / per_ampere / len(drive.team) * 1000.0
        for motor in drive.team:
            motor.tick(now, dt, angle, speed, current)
        leader = drive.leader
        if leader.resting and not leader.torque:
            return float(self._rest[drive.actuator])
        if not leader.torque:
            return position
        target = self._position(drive, leader.setpoint)
        # The fingers' actuator in the scene knows no speed; the twin and training are as fast as this.
        against = 0.0 if drive.finger else speed
        least, most = (torque * len(drive.team) / lever / drive.gain for torque in leader.torques(against))
        return min(max(target, position + least), position + most)

    def _drive(self, number: int, name: str) -> _Drive:
        """Return the drive behind a target of the specification."""
        model = self.plant.model
        arm, _, _ = name.partition("/")
        motor = LEADING[number % len(LEADING)]
        bus = self.buses[arm].motors
        team = tuple(bus[other.number] for other in VX300S if motor.number in (other.number, other.secondary))
        joint = model.joint(SPECIFICATION.joints[SPECIFICATION.target_joint[number]])
        actuator = model.actuator(name).id
        return _Drive(
            leader=bus[motor.number],
            team=team,
            actuator=actuator,
            joint=int(joint.qposadr[0]),
            dof=int(joint.dofadr[0]),
            gain=float(model.actuator_gainprm[actuator, 0]),
            finger=motor.name == "gripper",
        )

    def _angle(self, drive: _Drive, position: float) -> float:
        """Return the motor's angle for a joint position."""
        return self.gripper.angle(position) if drive.finger else position

    def _position(self, drive: _Drive, angle: float) -> float:
        """Return the joint's position for a motor angle."""
        return float(self.gripper.travel(angle)) if drive.finger else angle
