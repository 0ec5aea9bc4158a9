"""Profile section ``tasks.<name>.dynamics``: how far a world's physics may differ from the simulated one, axis by axis.

What an axis does to a world is in ``env/dynamics.py``; here is how far it may go at most, and how far it goes by
default, with a source for every number.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import model_validator

from s2rctl.schema.base import Model, Range, quantity, require


class Kind(NamedTuple):
    """What the values of an axis mean."""

    unit: str
    nominal: float  # the value that changes nothing
    lowest: float  # the smallest value that makes sense
    highest: float
    text: str


KINDS: Mapping[str, Kind] = {
    "friction": Kind("", 1.0, 0.05, 20.0, "the sliding friction of every surface is multiplied by this factor"),
    "torsional_friction": Kind(
        "", 1.0, 0.05, 20.0, "the friction of objects that turn about the normal of a contact is multiplied by this"
    ),
    "contact_softness": Kind(
        "", 1.0, 1.0, 10.0, "contacts take this many times as long to push bodies apart (MuJoCo's solref)"
    ),
    "mass": Kind("", 1.0, 0.05, 20.0, "mass and inertia of every handled object are multiplied by this factor"),
    "inertia": Kind("", 1.0, 0.2, 5.0, "the inertia of every handled object, not its mass, is multiplied by this"),
    "centre_of_mass": Kind(
        "m",
        0.0,
        0.0,
        0.02,
        "the centre of mass of every handled object lies this far off, each in a direction of its own",
    ),
    "object_size": Kind("", 1.0, 0.8, 1.2, "every handled object is this many times as large in all directions"),
    "tolerance": Kind(
        "m", 0.0, -0.002, 0.002, "an object that fits into another one has this much more room on each of its sides"
    ),
    "arm_mass": Kind("", 1.0, 0.1, 10.0, "mass and inertia of every link of the arms are multiplied by this factor"),
    "links": Kind("", 1.0, 0.9, 1.1, "every link of the arms is this many times as long as the robot's figures say"),
    "joint_zero": Kind(
        "rad",
        0.0,
        0.0,
        0.2,
        "encoders read up to this much more or less than the joint's angle, each joint its own share",
    ),
    "damping": Kind("", 1.0, 0.05, 20.0, "the damping of every joint is multiplied by this factor"),
    "armature": Kind("", 1.0, 0.05, 20.0, "the inertia of every motor's rotor is multiplied by this factor"),
    "friction_loss": Kind("", 1.0, 0.0, 20.0, "the dry friction of every joint is multiplied by this factor"),
    "gain": Kind("", 1.0, 0.1, 10.0, "the position gain of every motor is multiplied by this factor"),
    "gravity_sag": Kind(
        "rad", 0.0, 0.0, 0.1, "the joint that sags most under gravity sags this much further at the home pose"
    ),
    "finger_damping": Kind("", 1.0, 0.05, 20.0, "the damping of the fingers alone is multiplied by this factor"),
    "gripper_speed": Kind("", 1.0, 0.2, 3.0, "grippers open and close this many times as fast, equally strong"),
    "gripper_force": Kind("", 1.0, 0.2, 5.0, "grippers press this many times as hard, equally fast"),
    "latency": Kind(
        "step", 0.0, 0.0, 10.0, "every command comes this many control steps later; a part of a step is a probability"
    ),
    "jitter": Kind(
        "step", 0.0, 0.0, 10.0, "each command comes up to this many control steps later, drawn anew at every step"
    ),
}
"""All axes by name."""


def _axis(name: str, default: tuple[float, float], source: str) -> Any:
    kind = KINDS[name]
    return quantity(default, kind.unit, f"{kind.text}; range. {source}")


class Dynamics(Model):
    """What worlds may be that no policy was trained in; an axis that a task does not have is passed over."""

    friction: Range = _axis(
        "friction", (0.7, 1.3), "Andrychowicz et al. 2018 (arXiv 1808.00177), table 1: surface friction 0.7 to 1.3"
    )
    torsional_friction: Range = _axis(
        "torsional_friction",
        (0.5, 1.5),
        "The coefficient is a length like the radius of the contact patch (MuJoCo, contact parameters), which is not "
        "measured: our choice",
    )
    contact_softness: Range = _axis(
        "contact_softness",
        (1.0, 2.0),
        "From the scene's 0.01 s, the shortest that is stable with a step of 0.005 s, to MuJoCo's default of 0.02 s",
    )
    mass: Range = _axis("mass", (0.5, 1.5), "Andrychowicz et al. 2018, table 1: masses of object and links 0.5 to 1.5")
    inertia: Range = _axis(
        "inertia", (0.8, 1.6), "A hollow cube has 5/3 the inertia of a solid one of the same mass; -20 %: our choice"
    )
    centre_of_mass: Range = _axis(
        "centre_of_mass", (0.0, 0.005), "A tenth of the half length of the objects, as of uneven infill: our choice"
    )
    object_size: Range = _axis(
        "object_size", (0.98, 1.02), "Desktop FDM printing keeps ± 0.5 mm, 2 % of a side of 20 to 25 mm"
    )
    tolerance: Range = _axis(
        "tolerance", (-0.0005, 0.0005), "Desktop FDM printing keeps ± 0.5 mm or 0.5 %, whichever is more"
    )
    arm_mass: Range = _axis(
        "arm_mass", (0.9, 1.1), "Cables, screws and camera mounts of some 0.1 kg on moving links of 1 to 10 kg"
    )
    links: Range = _axis(
        "links",
        (0.997, 1.003),
        "± 1 mm on the 0.3 m of the longest link; each xArm has kinematics of its own (xarm_ros 130)",
    )
    joint_zero: Range = _axis(
        "joint_zero",
        (0.0, 0.0175),
        "One degree: what zeroing by eye or by a jig leaves. Backlash of Dynamixel X: 0.25°; worst public figure: 10°",
    )
    damping: Range = _axis(
        "damping",
        (0.7, 1.3),
        "Andrychowicz et al. 2018, table 1, draw 0.3 to 3; that is without our motors' identified figures",
    )
    armature: Range = _axis("armature", (0.8, 1.2), "No data sheet gives it: our choice")
    friction_loss: Range = _axis(
        "friction_loss",
        (0.5, 1.5),
        "Friction of a robot joint halves as it gets warm (Bittencourt and Gunnarsson 2012): a factor of 3 in all",
    )
    gain: Range = _axis(
        "gain",
        (0.85, 1.15),
        "Stall torque of the Dynamixel XH430-W350 at 11.1, 12 and 14.8 V: 3.1, 3.4, 4.2 Nm (-9 %, +24 %); below: our "
        "choice",
    )
    gravity_sag: Range = _axis(
        "gravity_sag",
        (0.0, 0.015),
        "Our trials of other worlds; a motor without integral action gives way by torque over stiffness, on the "
        "simulated ViperX by 9 mrad (elbow) and 26 mrad (wrist) already",
    )
    finger_damping: Range = _axis(
        "finger_damping",
        (0.5, 2.0),
        "Our trials of other worlds: fingers twice as damped, and as much to the other side",
    )
    gripper_speed: Range = _axis(
        "gripper_speed",
        (0.5, 1.5),
        "Speed is a setting of the device, and falls with its supply: 27, 30, 37 rpm without load at 11.1, 12, 14.8 V "
        "(XH430-W350)",
    )
    gripper_force: Range = _axis(
        "gripper_force", (0.75, 1.25), "Torque at 11.1 to 14.8 V: -9 to +24 % (XH430-W350); to the other side alike"
    )
    latency: Range = _axis(
        "latency", (0.0, 1.0), "One control step: command, bus and picture are each taken at the next tick; our trials"
    )
    jitter: Range = _axis(
        "jitter",
        (0.0, 0.5),
        "An Aloha loop meant for 20 Hz ran at 12 to 30 Hz (lerobot 652): up to 33 ms late, half a step on average",
    )

    @model_validator(mode="after")
    def _possible(self) -> "Dynamics":
        problems = []
        for name, kind in KINDS.items():
            low, high = getattr(self, name)
            if not kind.lowest <= low <= high <= kind.highest:
                problems.append(
                    f"{name}: needs numbers from {kind.lowest:g} to {kind.highest:g} (got {low:g}, {high:g})"
                )
        require(problems)
        return self
