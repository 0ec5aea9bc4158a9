"""Profile sections that describe the simulated world: physics, delays, noise, randomisation, cameras."""

from typing import Literal

from pydantic import model_validator

from s2rctl.schema.base import Model, quantity


class Simulation(Model):
    """Physics backend and clock."""

    physics: Literal["native", "mjx"] = quantity("native", "", "physics backend")
    timestep_s: float = quantity(0.005, "s", "physics time step", gt=0, le=0.02)
    substeps: int = quantity(10, "", "physics steps per control step", ge=1)
    threads: int = quantity(0, "", "CPU threads of the native backend; 0: all cores", ge=0)

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

    joint_action: tuple[float, ...] = quantity((1.0,), "", "delay of joint targets, weights")
    gripper_action: tuple[float, ...] = quantity((1.0,), "", "delay of gripper targets, weights")
    observation: tuple[float, ...] = quantity((1.0,), "", "delay of the actor's observation, weights")

    @model_validator(mode="after")
    def _weights(self) -> "Delays":
        for name in ("joint_action", "gripper_action", "observation"):
            weights = getattr(self, name)
            if not weights or min(weights) < 0 or sum(weights) <= 0:
                raise ValueError(f"{name}: needs non-negative weights with a positive sum")
        return self


class Noise(Model):
    """Uniform observation noise, half widths."""

    joint_pos: float = quantity(0.0, "rad", "joint position", ge=0)
    joint_vel: float = quantity(0.0, "rad/s", "joint velocity", ge=0)
    object_pos: float = quantity(0.0, "m", "object position", ge=0)
    object_linvel: float = quantity(0.0, "m/s", "object velocity", ge=0)
    object_angvel: float = quantity(0.0, "rad/s", "object angular velocity", ge=0)
    gripper_offset: float = quantity(0.0, "m", "gripper-to-object offset: difference of two draws of half this", ge=0)
    gripper_angle_deg: float = quantity(0.0, "deg", "gripper rotation about a random axis", ge=0)
    object_angle_deg: float = quantity(0.0, "deg", "object rotation about a random axis", ge=0)


class CameraSettings(Model):
    """A policy camera."""

    name: str = quantity(..., "", "camera name in the scene")
    width: int = quantity(..., "px", "image width", ge=8, le=640)
    height: int = quantity(..., "px", "image height", ge=8, le=640)
    depth: bool = quantity(False, "", "whether the policy sees depth")
    depth_unit_m: float = quantity(1e-4, "m", "metres per count of the uint16 depth image", gt=0)
    depth_range_m: tuple[float, float] = quantity((0.0, 0.4), "m", "depth outside is read as nothing")


class DepthNoise(Model):
    """Faults of a stereo depth camera, applied in this order."""

    edge_gradient: float = quantity(0.05, "m/px", "depth steps above this lose pixels", ge=0)
    edge_gain: float = quantity(10.0, "px/m", "loss probability is atan(gain * gradient)", ge=0)
    disparity_shift_px: float = quantity(0.5, "px", "sub-pixel shift, standard deviation", ge=0)
    disparity_sigma: float = quantity(1 / 6, "", "disparity noise, standard deviation", ge=0)
    disparity_constant: float = quantity(35130.0, "mm", "disparity = constant / depth in mm (Handa et al. 2014)", gt=0)
    loss: float = quantity(0.006, "", "probability that a pixel is lost", ge=0, le=1)
    scratches: int = quantity(16, "", "largest number of line scratches per frame", ge=0)
    blackout: float = quantity(0.02, "", "probability that a whole frame is lost", ge=0, le=1)


class ColourRange(Model):
    """One drawn RGB colour for all geoms whose names match."""

    geoms: tuple[str, ...] = quantity(..., "", "names or patterns of geoms")
    low: tuple[float, float, float] = quantity(..., "", "darkest red, green, blue")
    high: tuple[float, float, float] = quantity(..., "", "brightest red, green, blue")
    grey: bool = quantity(False, "", "one draw for all three channels")

    @model_validator(mode="after")
    def _ordered(self) -> "ColourRange":
        if any(not 0 <= low <= high <= 1 for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError("a colour range needs 0 <= low <= high <= 1 in every channel")
        return self


class Appearance(Model):
    """Visual randomisation per world or episode. 0 switches a part off."""

    colour: float = quantity(1.0, "", "how much of the colour ranges is used", ge=0, le=1)
    colours: tuple[ColourRange, ...] = quantity((), "", "colour ranges; none: the scene's own")
    camera_position_m: tuple[float, float, float] = quantity((0, 0, 0), "m", "± camera position, camera frame")
    camera_rotation_deg: float = quantity(0.0, "deg", "± camera rotation about a random axis", ge=0)
    camera_fovy_deg: float = quantity(0.0, "deg", "± vertical field of view", ge=0)
    light_position_m: float = quantity(0.0, "m", "± light position on each axis", ge=0)
    light_direction_deg: float = quantity(0.0, "deg", "± light direction", ge=0)
    light_intensity: float = quantity(0.0, "", "± relative light intensity", ge=0, lt=1)
    shadow_probability: float = quantity(
        1.0, "", "share of worlds with shadows, where vision.shadows is on", ge=0, le=1
    )
    brightness: tuple[float, float] = quantity((1.0, 1.0), "", "image brightness factor, range")
    pixel_noise: float = quantity(0.0, "", "± noise on each colour value, of 1", ge=0, le=0.5)


class Vision(Model):
    """Renderer, cameras and what may look different."""

    renderer: Literal["raycast", "gl", "warp", "madrona"] = quantity("raycast", "", "renderer for policy images")
    shadows: bool = quantity(False, "", "hard shadows")
    cameras: tuple[CameraSettings, ...] = ()
    appearance: Appearance = Appearance()
    depth_noise: DepthNoise | None = quantity(None, "", "depth camera faults; none: perfect depth")
