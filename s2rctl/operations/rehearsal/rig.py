"""The rig of a rehearsal: a robot with cameras, whose world can be set and is judged by the task."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import mujoco

from s2rctl.core.clock import Clock
from s2rctl.emulation.faults import Faults
from s2rctl.robots.protocol import CameraSource, Robot
from s2rctl.schema.profile import Profile

if TYPE_CHECKING:
    from s2rctl.operations.rehearsal.twin import Judge


class RehearsalRig(Protocol):
    """What a rehearsal needs, whether the robot is a twin or the real driver on an emulated wire."""

    @property
    def robot(self) -> Robot:
        """The robot that the loop drives."""

    @property
    def cameras(self) -> Sequence[CameraSource]:
        """Its cameras."""

    @property
    def judge(self) -> "Judge":
        """Who says whether an episode succeeded."""

    @property
    def model(self) -> mujoco.MjModel:
        """The scene."""

    def begin(self, seed: int) -> None:
        """Start the episode of a seed."""

    def look(self) -> mujoco.MjData:
        """Return the body as it is now: qpos, ctrl and sensordata are current."""

    def close(self) -> None:
        """Let go of robot and processes."""


def make_rehearsal(profile: Profile, clock: Clock, faults: Faults) -> RehearsalRig:
    """Return the rig that ``deploy.rehearsal.through`` asks for; ``clock`` must be real for the driver."""
    if profile.deploy.rehearsal.through == "driver":
        from s2rctl.operations.rehearsal import wire

        return wire.make_rehearsal(profile, faults)
    from s2rctl.operations.rehearsal import twin

    return twin.make_rehearsal(profile, clock, faults)
