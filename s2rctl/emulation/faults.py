"""What can go wrong in a rehearsal, as data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Faults:
    """Injected imperfections. Probabilities are per event; times are seconds of episode time."""

    latency_s: tuple[float, float] = (0.0, 0.0)  # uniform, between a command and its effect
    frame_drop: float = 0.0  # a frame does not arrive
    depth_blackout: float = 0.0  # a depth image is all nothing
    freeze_cameras_at_s: float | None = None  # from then on no new frames
    silence_at_s: float | None = None  # from then on the robot's measurements do not change
    error_at_s: float | None = None  # from then on the robot reports a device error
    nan_at_s: float | None = None  # from then on one joint reads NaN
