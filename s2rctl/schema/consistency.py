"""What must agree between sections of a profile, so that what is valid also runs: each problem as ``path: text``."""

from collections.abc import Iterator, Mapping, Sequence

from s2rctl.schema.deployment import Deploy
from s2rctl.schema.robots import RobotSection
from s2rctl.schema.simulation import CameraSettings, Simulation

SMALLEST_IMAGE = {"plain": 20, "alexnet": 32}
"""Smallest image side in pixels of which the encoder's layers leave something, by the encoder's style."""
MOST_PIXELS = 2**28
"""Largest number of pixels that are drawn at once, in all worlds together."""
RATE_SLACK = 1.001


def watchdog_problems(simulation: Simulation, deploy: Deploy) -> Iterator[str]:
    """Yield what does not fit between the control period and the device's watchdog."""
    if deploy.safety.device_watchdog_s < simulation.period_s:
        yield (
            f"deploy.safety.device_watchdog_s: the loop commands every {simulation.period_s:g} s, and the arm would "
            f"stop after {deploy.safety.device_watchdog_s:g} s of silence"
        )


def camera_problems(cameras: Sequence[CameraSettings], smallest: int = SMALLEST_IMAGE["plain"]) -> Iterator[str]:
    """Yield what policy cameras cannot be; all cameras of a policy share one encoder's shape."""
    if not cameras:
        yield "vision.cameras: the policy needs at least one camera"
    names = [camera.name for camera in cameras]
    for index, camera in enumerate(cameras):
        place = f"vision.cameras.{index}"
        if camera.name in names[:index]:
            yield f"{place}.name: there are two cameras '{camera.name}'"
        if min(camera.width, camera.height) < smallest:
            yield f"{place}: {camera.width} x {camera.height} pixels; the encoder needs {smallest} x {smallest}"
        for field in ("width", "height", "colour", "depth", "depth_unit_m", "depth_range_m"):
            if getattr(camera, field) != getattr(cameras[0], field):
                yield f"{place}.{field}: all policy cameras must have the same"
        # Where a variant changed the range, the camera's own check has not seen it.
        yield from (f"{place}.{problem}" for problem in camera.depth_problems())


def device_problems(robot: RobotSection, simulation: Simulation) -> Iterator[str]:
    """Yield the camera devices that are slower than the loop."""
    for name, device in robot.cameras.items():
        if device.fps * RATE_SLACK < simulation.rate_hz:
            yield (
                f"robot.cameras.{name}.fps: {device.fps} pictures a second are fewer than the control rate, "
                f"{simulation.rate_hz:g} Hz"
            )


def size_problems(cameras: Sequence[CameraSettings], worlds: Mapping[str, int]) -> Iterator[str]:
    """Yield the numbers of worlds (by path) that would draw more pixels at once than memory can bear."""
    each = sum(camera.width * camera.height for camera in cameras)
    for path, number in worlds.items():
        if number * each > MOST_PIXELS:
            yield f"{path}: {number} worlds draw {number * each:,} pixels at once; at most {MOST_PIXELS:,} fit"
