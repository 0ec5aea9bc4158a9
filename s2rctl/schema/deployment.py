"""Profile sections for the robot computer: control loop, safety, rehearsal, calibration."""

from typing import Literal

from pydantic import model_validator

from s2rctl.schema.base import Model, quantity


class Safety(Model):
    """Limits that the safety filter enforces on every command."""

    joint_speed: float = quantity(1.0, "rad/s", "largest joint speed", gt=0)
    joint_margin: float = quantity(0.02, "rad", "distance kept from each joint limit", ge=0)
    tool_speed: float = quantity(0.25, "m/s", "largest tool speed", gt=0)
    workspace_low: tuple[float, float, float] | None = quantity(None, "m", "lower corner of the tool's box, base frame")
    workspace_high: tuple[float, float, float] | None = quantity(
        None, "m", "upper corner of the tool's box, base frame"
    )
    tracking_error: float = quantity(0.35, "rad", "largest |command - measured| (m for tool targets)", gt=0)
    position_gap_m: tuple[float, float] | None = quantity(
        (0.06, 0.15), "m", "where the policy sees its tool against its joints: slower from, still at; null: ignored"
    )
    max_age_periods: float = quantity(2.5, "", "a picture older than this many periods stops the robot", gt=0)
    max_state_age_periods: float = quantity(
        2.0, "", "joint readings older than this many periods stop the robot; they come faster than pictures", gt=0
    )
    device_watchdog_s: float = quantity(
        0.4,
        "s",
        "silence of the loop that stops the arm: by the Aloha's motors (bus watchdog), by the xArm's driver",
        ge=0.04,
        le=2.54,
    )
    max_missed_deadlines: int = quantity(5, "", "consecutive missed deadlines that stop the robot", ge=1)

    @model_validator(mode="after")
    def _gap_grows(self) -> "Safety":
        if self.position_gap_m is not None and not 0 < self.position_gap_m[0] < self.position_gap_m[1]:
            raise ValueError("position_gap_m needs 0 < first (slower from) < second (still at)")
        return self


class Rehearsal(Model):
    """The same loop against a simulated twin, with faults."""

    through: Literal["twin", "driver"] = quantity(
        "twin", "", "twin: a robot inside this process; driver: the real driver and an emulated device on its wire"
    )
    episodes: int = quantity(5, "", "rehearsed episodes", ge=1)
    realtime: bool = quantity(False, "", "run at the wall clock's pace instead of as fast as possible")
    latency_s: tuple[float, float] = quantity((0.0, 0.02), "s", "uniform delay between a command and its effect")
    frame_drop: float = quantity(0.0, "", "probability that a camera frame does not arrive", ge=0, le=1)
    max_safety_stops: int = quantity(0, "", "rehearsal passes with at most this many safety stops", ge=0)


class Live(Model):
    """Episodes on the real robot: each one as fast as its place in the ramp, the last entry from then on."""

    episodes: int = quantity(5, "", "episodes", ge=1)
    ramp: tuple[float, ...] = quantity((0.1, 0.3, 1.0), "", "part of the full speed in each episode, in (0, 1]")
    pause_s: float = quantity(5.0, "s", "between episodes, to set up the scene; Ctrl-C ends it", ge=0)

    @model_validator(mode="after")
    def _speeds(self) -> "Live":
        if not self.ramp or min(self.ramp) <= 0 or max(self.ramp) > 1:
            raise ValueError("ramp: needs parts of the full speed in (0, 1]")
        return self

    def speed(self, episode: int) -> float:
        """Return the part of the full speed in one episode, counted from 0."""
        return self.ramp[min(episode, len(self.ramp) - 1)]


class Deploy(Model):
    """Control loop."""

    safety: Safety = Safety()
    rehearsal: Rehearsal = Rehearsal()
    live: Live = Live()


class Board(Model):
    """ChArUco board."""

    columns: int = quantity(7, "", "squares along x", ge=3)
    rows: int = quantity(5, "", "squares along y", ge=3)
    square_m: float = quantity(0.03, "m", "side of a square", gt=0)
    marker_m: float = quantity(0.022, "m", "side of a marker", gt=0)


class Calibration(Model):
    """Camera calibration."""

    camera: str = quantity(..., "", "camera to calibrate")
    board: Board = Board()
    poses: int = quantity(15, "", "robot poses that show the board", ge=5)
    width: int = quantity(640, "px", "calibration image width", ge=64)
    height: int = quantity(480, "px", "calibration image height", ge=64)
    joint_noise_deg: float = quantity(0.0, "deg", "joint reading error in rehearsal", ge=0)
    pixel_noise: float = quantity(4.0, "", "image noise in rehearsal, grey levels", ge=0)
    max_position_error_m: float = quantity(0.003, "m", "gate: held-out position error", gt=0)
    max_rotation_error_deg: float = quantity(0.3, "deg", "gate: held-out rotation error", gt=0)
    max_reprojection_px: float = quantity(1.0, "px", "gate: held-out reprojection error", gt=0)
