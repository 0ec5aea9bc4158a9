"""What every step of an identification shares: the folder with its recordings, the simulated arm, the motion."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import mujoco
import numpy as np

from s2rctl.core.errors import UsageError
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import Reporter
from s2rctl.identification.bench import Bench
from s2rctl.identification.excitation import Excitation, all_rounds
from s2rctl.robots import ROBOTS
from s2rctl.robots.protocol import RobotSpecification
from s2rctl.scene import SCENES
from s2rctl.scene.motion import set_motion
from s2rctl.schema.manifest import Kind
from s2rctl.schema.profile import Profile
from s2rctl.store.store import Store
from s2rctl.systems import system_named

Mode = Literal["rehearse", "live", "recordings"]
FOLDER = "identification"
KIND: Kind = "identification"
TRUTH = "truth.json"
SPEED_SHARE = 0.9
"""Part of the speed limit that the excitation is planned for."""
_MARGIN_RAD = 0.05
_CLEARANCE_M = 0.02
_SMALLER = 0.8
_LEAST_RAD = 0.02


@dataclass(frozen=True)
class Work:
    """What every step shares."""

    profile: Profile
    store: Store
    reporter: Reporter
    interrupt: Interrupt
    mode: Mode
    files: tuple[Path, ...] = ()  # recordings made elsewhere

    @property
    def folder(self) -> Path:
        """Where the recordings of the profile's robot are."""
        return self.store.root / FOLDER / f"{self.profile.name}-{self.mode}"

    @property
    def recordings(self) -> tuple[Path, ...]:
        """The recordings to solve from; UsageError where there are none."""
        found = self.files or tuple(sorted(self.folder.glob("*.mcap")))
        if not found:
            raise UsageError(
                f"there are no recordings in {self.folder}",
                f"s2rctl sysid collect -p {self.profile.name}   (makes them)",
            )
        return found


def scene_of(profile: Profile) -> mujoco.MjModel:
    """Return the robot's scene with the motion that the profile gives it so far."""
    model: mujoco.MjModel = SCENES.load(system_named(profile.system).scene)(profile.simulation.timestep_s)
    set_motion(model, profile.robot.motion)
    return model


def bench_of(profile: Profile) -> Bench:
    """Return the simulated arm of a profile."""
    return Bench(scene_of(profile), ROBOTS.load(profile.robot.name), profile.simulation.threads)


def planned(profile: Profile, bench: Bench, specification: RobotSpecification) -> tuple[list[np.ndarray], float]:
    """Return each round's way (steps, j) rad of the identified joints, and its amplitude, rad.

    The amplitude is made smaller until nothing on the way comes within 2 cm of the table, the other arm or the arm
    itself; UsageError where even a small motion does.
    """
    settings = profile.identification
    columns = bench.columns
    home = specification.joints_from_targets(np.array(specification.home))
    low = np.array(specification.joint_low)[columns] + _MARGIN_RAD
    high = np.array(specification.joint_high)[columns] - _MARGIN_RAD
    speed = SPEED_SHARE * settings.safety(profile.deploy.safety).joint_speed
    amplitude = settings.amplitude_rad
    while amplitude >= _LEAST_RAD:
        wanted = Excitation(
            amplitude, speed, settings.chirp_hz[0], settings.chirp_hz[1], settings.round_s, settings.rest_s,
            settings.rounds,
        )  # fmt: skip
        offsets = all_rounds(wanted, len(columns), profile.simulation.period_s, profile.seed)
        ways = [np.clip(home[columns] + rows, low, high) for rows in offsets]
        if clear(profile, bench, home, np.concatenate(ways)):
            return ways, amplitude
        amplitude *= _SMALLER
    raise UsageError("the robot has no room to move around its home pose", "clear what stands around it in the scene")


def clear(profile: Profile, bench: Bench, home: np.ndarray, way: np.ndarray) -> bool:
    """Return whether the robot touches nothing on a way (k, j) of its joints, with some clearance.

    What touches at home already, as parts of one hand do, does not count.
    """
    model = scene_of(profile)
    robot = np.isin(model.body_rootid, model.body_rootid[model.jnt_bodyid[[model.joint(n).id for n in bench.joints]]])
    model.geom_margin[:] = _CLEARANCE_M
    data = mujoco.MjData(model)

    def touching(reading: np.ndarray) -> set[tuple[int, int]]:
        data.qpos[:] = bench.qpos(reading)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        return {
            (int(a), int(b)) for a, b in data.contact.geom if robot[model.geom_bodyid[a]] or robot[model.geom_bodyid[b]]
        }

    allowed = touching(home)
    reading = home.copy()
    for row in way[::2]:
        reading[bench.columns] = row
        if touching(reading) - allowed:
            return False
    return True
