"""Profile sections that describe the simulated world: physics, delays, noise, randomisation, cameras."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from s2rctl.schema.appearance import Looks
from s2rctl.schema.base import CameraName, Line, Model, Range, quantity, require, within

Weights = Annotated[tuple[float, ...], Field(min_length=1, max_length=32), AfterValidator(within(0, 1e6))]
"""One weight for each number of control steps that something can be late."""
SLOWEST_HZ, FASTEST_HZ = 1.0, 500.0
"""Control rates."""
MOST_CAMERAS = 8


class Simulation(Model):
    """Physics backend and clock."""

    physics: Literal["auto", "native", "mjx", "warp"] = quantity(
        "native", "", "physics backend; auto: native on a CPU, warp on NVIDIA, mjx elsewhere"
    )
    timestep_s: float = quantity(0.005, "s", "physics time step", ge=1e-4, le=0.02)
    substeps: int = quantity(10, "", "physics steps per control step", ge=1, le=1000)
    threads: int = quantity(0, "", "CPU threads of the native backend; 0: all cores", ge=0, le=1024)
    contacts: int = quantity(
        0, "", "room for contacts per world in the backend warp; 0: chosen from the model", ge=0, le=100_000
    )

    compilation: Literal["full", "quick"] = quantity(
        "full",
        "",
        "how programs are compiled; quick: without XLA's optimisations, in a fraction of the time, to run slower and "
        "round differently: for budgets of seconds",
    )

    @model_validator(mode="after")
    def _rate(self) -> "Simulation":
        if not SLOWEST_HZ <= self.rate_hz <= FASTEST_HZ:
            raise ValueError(
                f"substeps: timestep_s x substeps makes a control rate of {self.rate_hz:g} Hz; "
                f"it can be {SLOWEST_HZ:g} to {FASTEST_HZ:g} Hz"
            )
        return self

    @property
    def period_s(self) -> float:
        """Control period in s: of the loop, the cameras and everything that is as old as a number of steps."""
        return self.timestep_s * self.substeps

    @property
    def rate_hz(self) -> float:
        """Control rate in Hz."""
        return 1.0 / self.period_s


class Delays(Model):
    """Latency as probabilities over a history of control steps; entry i is 'i steps old'."""

    joint_action: Weights = quantity((1.0,), "", "delay of joint targets, weights")
    gripper_action: Weights = quantity((1.0,), "", "delay of gripper targets, weights")
    observation: Weights = quantity((1.0,), "", "delay of the actor's observation, weights")

    @model_validator(mode="after")
    def _weights(self) -> "Delays":
        names = ("joint_action", "gripper_action", "observation")
        require(f"{name}: needs weights with a positive sum" for name in names if sum(getattr(self, name)) < 1e-6)
        return self


class Noise(Model):
    """Uniform observation noise, half widths."""

    joint_pos: float = quantity(0.0, "rad", "joint position", ge=0, le=4)
    joint_vel: float = quantity(0.0, "rad/s", "joint velocity", ge=0, le=100)
    object_pos: float = quantity(0.0, "m", "object position", ge=0, le=10)
    object_linvel: float = quantity(0.0, "m/s", "object velocity", ge=0, le=100)
    object_angvel: float = quantity(0.0, "rad/s", "object angular velocity", ge=0, le=1000)
    gripper_offset: float = quantity(
        0.0, "m", "gripper-to-object offset: difference of two draws of half this", ge=0, le=10
    )
    gripper_angle_deg: float = quantity(0.0, "deg", "gripper rotation about a random axis", ge=0, le=180)
    object_angle_deg: float = quantity(0.0, "deg", "object rotation about a random axis", ge=0, le=180)


class CameraMount(Model):
    """Where a calibration found a camera, and how certain that is; commands fill it in from ``vision.calibration``."""

    calibration: Line = quantity(..., "", "artifact id of the calibration")
    parent: Line = quantity(..., "", "body in whose frame the pose is")
    position_m: Annotated[tuple[float, float, float], AfterValidator(within(-10, 10))] = quantity(
        ..., "m", "optical centre"
    )
    quaternion: Annotated[tuple[float, float, float, float], AfterValidator(within(-1.01, 1.01))] = quantity(
        ..., "", "w x y z; MuJoCo's camera axes"
    )
    position_range_m: Annotated[tuple[float, float, float], AfterValidator(within(0, 2))] = quantity(
        ..., "m", "± two standard deviations, camera frame"
    )
    rotation_range_deg: float = quantity(..., "deg", "± two standard deviations, least certain axis", ge=0, le=180)


class CameraSettings(Model):
    """A policy camera."""

    name: CameraName = quantity(..., "", "camera name in the scene")
    width: int = quantity(..., "px", "image width", ge=8, le=640)
    height: int = quantity(..., "px", "image height", ge=8, le=640)
    colour: bool = quantity(True, "", "whether the policy sees colour; false: depth alone, which no paint changes")
    depth: bool = quantity(False, "", "whether the policy sees depth")
    depth_unit_m: float = quantity(1e-4, "m", "metres per count of the uint16 depth image", ge=1e-6, le=0.1)
    depth_range_m: Annotated[Range, AfterValidator(within(0, 1000))] = quantity(
        (0.0, 0.4), "m", "depth outside reads as 0: no measurement"
    )
    normalise: Literal["none", "image"] = quantity(
        "none",
        "",
        "how the policy reads colours: as they are, or each image brought to mean 0 and standard deviation 0.25",
    )
    mount: CameraMount | None = quantity(
        None, "", "where a calibration found it; none: where the scene has it. Filled in from vision.calibration"
    )

    @model_validator(mode="after")
    def _depth(self) -> "CameraSettings":
        require(self.depth_problems())
        return self

    def depth_problems(self) -> list[str]:
        """Return what is wrong with range and unit of the depth, if the policy sees any."""
        if not self.colour and not self.depth:
            return ["colour: a camera without colour and without depth shows nothing; set depth: true"]
        low, high = self.depth_range_m
        most = 65535 * self.depth_unit_m
        if low >= high:
            return [f"depth_range_m: holds no depth (got {low:g}, {high:g})"]
        if self.depth and high > most * (1 + 1e-9):
            return [f"depth_range_m: 65535 counts of {self.depth_unit_m:g} m reach {most:g} m, not {high:g} m"]
        return []


class DepthNoise(Model):
    """Faults of a stereo depth camera, applied in this order."""

    edge_gradient: float = quantity(0.05, "m/px", "depth steps above this lose pixels", ge=0, le=1000)
    edge_gain: float = quantity(10.0, "px/m", "loss probability is atan(gain * gradient)", ge=0, le=1e6)
    disparity_shift_px: float = quantity(0.5, "px", "sub-pixel shift, standard deviation", ge=0, le=2)
    disparity_sigma: float = quantity(1 / 6, "", "disparity noise, standard deviation", ge=0, le=100)
    disparity_constant: float = quantity(
        35130.0, "mm", "disparity = constant / depth in mm (Handa et al. 2014)", ge=1, le=1e7
    )
    loss: float = quantity(0.006, "", "probability that a pixel is lost", ge=0, le=1)
    scratches: int = quantity(16, "", "largest number of line scratches per frame", ge=0, le=256)
    blackout: float = quantity(0.02, "", "probability that a whole frame is lost", ge=0, le=1)


class ColourRange(Model):
    """One drawn RGB colour for all geoms whose names match."""

    geoms: tuple[Line, ...] = quantity(
        ..., "", "names or patterns of geoms; body:PATTERN is all geoms of such bodies", min_length=1, max_length=256
    )
    low: tuple[float, float, float] = quantity(..., "", "darkest red, green, blue")
    high: tuple[float, float, float] = quantity(..., "", "brightest red, green, blue")
    grey: bool = quantity(False, "", "one draw for all three channels")
    tint: float = quantity(0.0, "", "± added to each channel of a grey draw", ge=0, le=1)
    each: bool = quantity(False, "", "a colour of its own for each geom")
    against: tuple[Line, ...] = quantity((), "", "geoms from which the colour must stand out", max_length=256)
    contrast: float = quantity(
        0.2,
        "",
        "least distance from the colours of those geoms, each without its grey part: brightness does not count",
        ge=0,
        le=1,
    )

    @model_validator(mode="after")
    def _ordered(self) -> "ColourRange":
        if any(not 0 <= low <= high <= 1 for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError("a colour range needs 0 <= low <= high <= 1 in every channel")
        return self


class Appearance(Looks):
    """Visual randomisation per world or episode. 0 switches a part off."""

    colour: float = quantity(1.0, "", "how much of the colour ranges is used", ge=0, le=1)
    colours: tuple[ColourRange, ...] = quantity((), "", "colour ranges; none: the scene's own", max_length=64)
    camera_position_m: Annotated[tuple[float, float, float], AfterValidator(within(0, 2))] = quantity(
        (0, 0, 0), "m", "± camera position, camera frame"
    )
    camera_rotation_deg: float = quantity(0.0, "deg", "± camera rotation about a random axis", ge=0, le=180)
    camera_fovy_deg: float = quantity(0.0, "deg", "± vertical field of view", ge=0, le=40)
    light_position_m: float = quantity(0.0, "m", "± light position on each axis", ge=0, le=100)
    light_direction_deg: float = quantity(0.0, "deg", "± light direction", ge=0, le=180)
    light_intensity: float = quantity(0.0, "", "± relative light intensity", ge=0, lt=1)
    shadow_probability: float = quantity(
        1.0, "", "share of worlds with shadows, where vision.shadows is on", ge=0, le=1
    )
    brightness: Annotated[Range, AfterValidator(within(0, 100))] = quantity(
        (1.0, 1.0), "", "image brightness factor, range"
    )
    pixel_noise: float = quantity(0.0, "", "± noise on each colour value, of 1", ge=0, le=0.5)


class Vision(Model):
    """Renderer, cameras and what may look different."""

    renderer: Literal["auto", "raycast", "gl", "warp", "madrona"] = quantity(
        "raycast", "", "renderer for policy images; auto: raycast, or where the scene has meshes warp or gl"
    )
    shadows: bool = quantity(False, "", "hard shadows")
    cameras: tuple[CameraSettings, ...] = quantity(
        (), "", "policy cameras, of one size and kind", max_length=MOST_CAMERAS
    )
    calibration: Line | Annotated[tuple[Line, ...], Field(max_length=MOST_CAMERAS)] | None = quantity(
        None, "", "calibrations of the cameras, by id or kind/name:alias: where they are and how certain that is"
    )
    appearance: Appearance = Appearance()
    backgrounds: Line | None = quantity(
        None, "", "folder of pictures (PNG, JPEG) of the user's own surroundings, for the pattern 'picture'"
    )
    depth_noise: DepthNoise | None = quantity(None, "", "depth camera faults; none: perfect depth")
