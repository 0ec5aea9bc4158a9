"""Profile sections for the robot computer: control loop, safety, rehearsal, calibration."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from s2rctl.schema.base import CameraName, Line, Model, Range, quantity, require, within

Corner = Annotated[tuple[float, float, float], AfterValidator(within(-10, 10))]


Mode = Literal["rehearse", "shadow", "live"]
"""How a policy is deployed."""


class Perception(Model):
    """The perception check: a policy's estimate of its tool against forward kinematics, if its contract has figures.

    The factor applies to the 95th percentile because that is the most stable of the contract's figures: over samples of
    64 episodes it varies by 20 %, the 99th percentile and the largest filtered error by 60 to 90 %.
    """

    factor: float = quantity(
        2.5, "", "largest error of a good image, as a multiple of the 95th percentile in the contract",
        ge=1, le=100,
    )  # fmt: skip
    filter_s: float = quantity(
        0.35, "s", "length of the filter: bad images in more than half of it stop the robot", ge=1e-3, le=10
    )
    modes: tuple[Mode, ...] = quantity(
        ("rehearse", "shadow", "live"), "", "modes in which it stops the robot", max_length=3
    )

    def frames(self, rate_hz: float) -> int:
        """Return the filter's length in images at a control rate."""
        return max(1, round(self.filter_s * rate_hz))


class Safety(Model):
    """Limits that the safety filter enforces on every command."""

    joint_speed: float = quantity(1.0, "rad/s", "largest joint speed", ge=1e-3, le=20)
    joint_margin: float = quantity(0.02, "rad", "distance kept from each joint limit", ge=0, le=0.5)
    tool_speed: float = quantity(0.25, "m/s", "largest tool speed", ge=1e-3, le=10)
    workspace_low: Corner | None = quantity(None, "m", "lower corner of the tool's box, base frame")
    workspace_high: Corner | None = quantity(None, "m", "upper corner of the tool's box, base frame")
    tracking_error: float = quantity(0.35, "rad", "largest |command - measured| (m for tool targets)", ge=1e-3, le=4)
    position_gap_m: Annotated[Range, AfterValidator(within(1e-3, 10))] | None = quantity(
        (0.06, 0.15), "m", "where the policy sees its tool against its joints: slower from, still at; null: ignored"
    )
    perception: Perception = Perception()
    max_age_periods: float = quantity(
        2.5, "", "a picture older than this many periods stops the robot", ge=0.1, le=1000
    )
    max_state_age_periods: float = quantity(
        2.0,
        "",
        "joint readings older than this many periods stop the robot; they come faster than pictures",
        ge=0.1,
        le=1000,
    )
    device_watchdog_s: float = quantity(
        0.4,
        "s",
        "silence of the loop that stops the arm: by the Aloha's motors (bus watchdog), by the xArm's driver",
        ge=0.04,
        le=2.54,
    )
    max_missed_deadlines: int = quantity(5, "", "consecutive missed deadlines that stop the robot", ge=1, le=10_000)

    @model_validator(mode="after")
    def _limits_leave_room(self) -> "Safety":
        problems, low, high = [], self.workspace_low, self.workspace_high
        if self.position_gap_m is not None and self.position_gap_m[0] >= self.position_gap_m[1]:
            problems.append("position_gap_m: needs 0 < first (slower from) < second (still at)")
        if (low is None) != (high is None):
            missing = "workspace_low" if low is None else "workspace_high"
            problems.append(f"{missing}: a box needs both corners")
        if low is not None and high is not None and any(a >= b for a, b in zip(low, high, strict=True)):
            problems.append("workspace_high: must lie above workspace_low on every axis")
        require(problems)
        return self


class Rehearsal(Model):
    """The same loop against a simulated twin, with faults."""

    through: Literal["twin", "driver"] = quantity(
        "twin", "", "twin: a robot inside this process; driver: the real driver and an emulated device on its wire"
    )
    episodes: int = quantity(5, "", "rehearsed episodes", ge=1, le=100_000)
    realtime: bool = quantity(False, "", "run at the wall clock's pace instead of as fast as possible")
    latency_s: Annotated[Range, AfterValidator(within(0, 10))] = quantity(
        (0.0, 0.02), "s", "uniform delay between a command and its effect"
    )
    frame_drop: float = quantity(0.0, "", "probability that a camera frame does not arrive", ge=0, le=1)
    max_safety_stops: int = quantity(0, "", "rehearsal passes with at most this many safety stops", ge=0, le=100_000)


class Live(Model):
    """Episodes on the real robot: each one as fast as its place in the ramp, the last entry from then on."""

    episodes: int = quantity(5, "", "episodes", ge=1, le=100_000)
    ramp: Annotated[tuple[float, ...], Field(min_length=1, max_length=1000), AfterValidator(within(0.01, 1))] = (
        quantity((0.1, 0.3, 1.0), "", "part of the full speed in each episode, from 0.01 to 1")
    )
    pause_s: float = quantity(5.0, "s", "between episodes, to set up the scene; Ctrl-C ends it", ge=0, le=86_400)

    def speed(self, episode: int) -> float:
        """Return the part of the full speed in one episode, counted from 0."""
        return self.ramp[min(episode, len(self.ramp) - 1)]


class Deploy(Model):
    """Control loop."""

    safety: Safety = Safety()
    rehearsal: Rehearsal = Rehearsal()
    live: Live = Live()


MARKERS = 100
"""In the dictionary of the board's markers, DICT_5X5_100. Every second square has one."""
BOARD_CORNERS = 8
"""Inner corners that fix a pose."""
BOARD_SIDE_M = 1.2
"""Largest side of a board: its picture for printing has 20 pixels per millimetre."""


class Board(Model):
    """ChArUco board."""

    columns: int = quantity(7, "", "squares along x", ge=3, le=66)
    rows: int = quantity(5, "", "squares along y", ge=3, le=66)
    square_m: float = quantity(0.03, "m", "side of a square", ge=2e-3, le=0.4)
    marker_m: float = quantity(0.022, "m", "side of a marker", ge=5e-4, le=0.4)

    @model_validator(mode="after")
    def _can_be_made(self) -> "Board":
        squares, corners = self.columns * self.rows, (self.columns - 1) * (self.rows - 1)
        share, problems = self.marker_m / self.square_m, []
        if squares // 2 > MARKERS:
            problems.append(
                f"rows: {self.columns} x {self.rows} squares need {squares // 2} markers; there are {MARKERS}"
            )
        if corners < BOARD_CORNERS:
            problems.append(
                f"rows: {self.columns} x {self.rows} squares have {corners} inner corners, too few for a pose"
            )
        if max(self.columns, self.rows) * self.square_m > BOARD_SIDE_M:
            problems.append(f"square_m: makes the board larger than {BOARD_SIDE_M:g} m")
        if not 0.3 <= share <= 0.95:
            problems.append(f"marker_m: a marker's side is 0.3 to 0.95 of its square's (got {share:.3g})")
        require(problems)
        return self


PICTURES_PX = 400_000_000
SLOW_AGE_PERIODS, SLOW_WATCHDOG_S = 12.0, 1.0
"""Age of joint readings and silence of the loop that stop an arm which moves slowly through checked poses."""


class Calibration(Model):
    """Camera calibration."""

    camera: CameraName = quantity(..., "", "camera to calibrate")
    board: Board = Board()
    poses: int = quantity(15, "", "robot poses that show the board", ge=5, le=1000)
    width: int = quantity(640, "px", "calibration image width", ge=64, le=4096)
    height: int = quantity(480, "px", "calibration image height", ge=64, le=4096)
    workspace_low: Corner | None = quantity(
        None, "m", "lower corner of the tool's box while calibrating, base frame; none: that of deploy.safety"
    )
    workspace_high: Corner | None = quantity(None, "m", "upper corner of that box")
    joint_speed: float = quantity(0.4, "rad/s", "largest joint speed while the arm is driven", ge=1e-3, le=2)
    settle_s: float = quantity(0.5, "s", "how long the arm stands still before a picture", ge=0, le=60)
    optics: Literal["given", "refined", "measured"] = quantity(
        "given", "", "given: the camera's own or the profile's figures; refined: with the poses; measured: beforehand"
    )
    joint_offsets: bool = quantity(False, "", "estimate the zero of the joints between the first and the last, too")
    joint_noise_deg: float = quantity(0.0, "deg", "joint reading error in rehearsal", ge=0, le=45)
    pixel_noise: float = quantity(4.0, "", "image noise in rehearsal, grey levels", ge=0, le=255)
    blur_px: float = quantity(0.0, "px", "blur of pictures in rehearsal, standard deviation", ge=0, le=20)
    exposure: float = quantity(1.0, "", "brightness factor of pictures in rehearsal", ge=0, le=10)
    joint_offset_deg: dict[Line, float] = quantity({}, "deg", "joint zero errors in rehearsal, by joint name")
    max_age_h: float = quantity(168.0, "h", "age from which a calibration stops a deployment", ge=0.01, le=1e5)
    min_silhouette_iou: float = quantity(0.85, "", "gate of check: overlap of seen and rendered silhouette", ge=0, le=1)
    max_offset_px: float = quantity(4.0, "px", "gate of check: shift between picture and render", ge=0.1, le=1000)
    max_position_error_m: float = quantity(
        0.003, "m", "gate: 95 % half axis of the camera's position; in rehearsal its error, too", ge=1e-6, le=10
    )
    max_rotation_error_deg: float = quantity(
        0.3, "deg", "gate: 95 % half axis of the camera's rotation; in rehearsal its error, too", ge=1e-6, le=180
    )
    max_reprojection_px: float = quantity(
        1.0, "px", "gate: error of the corners on one axis that no pose of the board explains", ge=1e-6, le=1000
    )
    max_joint_error_deg: float = quantity(1.0, "deg", "gate: error of the joints that the pictures show", gt=0, le=45)

    def safety(self, deploy: Safety) -> Safety:
        """Return the limits while calibrating: slow, within the box of this section if it has one.

        What moves slowly may be measured less often.
        """
        values: dict[str, object] = {
            "joint_speed": min(self.joint_speed, deploy.joint_speed),
            "max_state_age_periods": max(deploy.max_state_age_periods, SLOW_AGE_PERIODS),
            "device_watchdog_s": max(deploy.device_watchdog_s, SLOW_WATCHDOG_S),
        }
        if self.workspace_low is not None:
            values |= {"workspace_low": self.workspace_low, "workspace_high": self.workspace_high}
        return deploy.model_copy(update=values)

    @model_validator(mode="after")
    def _box(self) -> "Calibration":
        low, high = self.workspace_low, self.workspace_high
        if (low is None) != (high is None):
            raise ValueError(f"workspace_{'low' if low is None else 'high'}: a box needs both corners")
        if low is not None and high is not None and any(a >= b for a, b in zip(low, high, strict=True)):
            raise ValueError("workspace_high: must lie above workspace_low on every axis")
        if any(abs(degrees) > 45 for degrees in self.joint_offset_deg.values()):
            raise ValueError("joint_offset_deg: more than 45 degrees")
        return self

    @model_validator(mode="after")
    def _fits_memory(self) -> "Calibration":
        if self.poses * self.width * self.height > PICTURES_PX:
            raise ValueError(f"poses: that many pictures of this size have more than {PICTURES_PX:,} pixels")
        return self
