"""Writes what was found of cameras into a profile: the ranges that training draws from."""

from collections.abc import Iterable
from pathlib import Path

from s2rctl.core.errors import ArtifactError
from s2rctl.core.yaml_lines import with_value
from s2rctl.operations.calibration.apply import Plan, source_of
from s2rctl.operations.identification.camera import load_cameras
from s2rctl.schema.camera_faults import MEANINGS, CameraFigure, CameraIdentification
from s2rctl.schema.load import Loaded
from s2rctl.schema.simulation import Vision
from s2rctl.store.store import Artifact

FAULTS_PATH = "vision.appearance.image.depth_faults"
_NEGLIGIBLE = {"edge_gain": 0.5, "disparity_sigma": 0.1, "loss": 0.005}
"""Faults whose intervals say how much weaker they may be, and from where on they matter. Whole frames and lines are so
rare that their intervals would say of all faults that they may be absent."""
_DIGITS = 4


def plan(loaded: Loaded, profile: str, artifact: Artifact) -> Plan:
    """Return what applying an identification of cameras changes in a profile's file.

    ArtifactError for one of another robot, or of a camera that the profile's policy does not have.
    """
    found = load_cameras(artifact)
    if found.robot != loaded.profile.robot.name:
        raise ArtifactError(
            f"these cameras are of the robot '{found.robot}', the profile's is '{loaded.profile.robot.name}'",
            "name an identification of this robot's cameras",
        )
    own = {camera.name for camera in loaded.profile.vision.cameras}
    for camera in found.cameras:
        if camera.camera not in own:
            raise ArtifactError(
                f"the policy of '{loaded.profile.name}' has no camera '{camera.camera}'",
                "name an identification of its own cameras",
            )
    path: Path = source_of(profile)
    before = path.read_text(encoding="utf-8")
    return Plan(path, before, written(before, found, loaded.profile.vision), artifact.id)


def written(text: str, found: CameraIdentification, vision: Vision) -> str:
    """Return a profile's text with the figures in it; ``vision`` is what the profile says so far."""
    for path, value in values(found, vision).items():
        text = with_value(text, path.split("."), value)
    return text


def values(found: CameraIdentification, vision: Vision) -> dict[str, str]:
    """Return the values to write, as YAML by path.

    All cameras of a profile share their figures, so the harshest end of any told interval counts. Ranges of training
    begin at nothing (noise, vignette, holes) or are weakened together (``depth_faults``). The brightness of the place
    is not told, only how far it drifts: the range is made wide enough for that, never narrower.
    """
    told: dict[str, list[CameraFigure]] = {}
    for camera in found.cameras:
        for one in camera.figures:
            if one.told:
                told.setdefault(one.name, []).append(one)
    made: dict[str, str] = {}
    for name, each in told.items():
        if name == "brightness":
            drift, (low, high) = max(one.high for one in each), vision.appearance.brightness
            if drift > min(1.0 - low, high - 1.0):
                made[MEANINGS[name].path] = _range(min(low, 1.0 - drift), max(high, 1.0 + drift))
        elif name == "scratches":
            made[MEANINGS[name].path] = str(int(max(one.high for one in each)))
        else:
            made[MEANINGS[name].path] = _number(_harshest(name, each))
    weakest = _weakest(told)
    if weakest is not None:
        image = vision.appearance.image
        all_told = all(one.told for camera in found.cameras for one in camera.figures if one.name in _NEGLIGIBLE)
        low = weakest if all_told or image is None else min(weakest, image.depth_faults[0])
        made[FAULTS_PATH] = _range(low, 1.0)
    return made


def _harshest(name: str, each: Iterable[CameraFigure]) -> float:
    """Return the worst camera's figure: small steps lose pixels, disparity has coarse ones, and much of the rest."""
    if name == "edge_gradient":
        return min(one.low for one in each)
    if name == "disparity_constant":
        return min(one.value for one in each)
    return max(one.high for one in each)


def _weakest(told: dict[str, list[CameraFigure]]) -> float | None:
    """Return how weak the faults may be, of what is written for them; None where no fault matters."""
    shares = [
        min(one.low for one in told[name]) / max(one.high for one in told[name])
        for name, least in _NEGLIGIBLE.items()
        if name in told and max(one.high for one in told[name]) > least
    ]
    return min(shares, default=None)


def _number(value: float) -> str:
    return f"{float(f'{value:.{_DIGITS}g}'):g}" if value < 1e4 else f"{value:.0f}"


def _range(low: float, high: float) -> str:
    return f"[{_number(round(max(low, 0.0), 3))}, {_number(round(high, 3))}]"
