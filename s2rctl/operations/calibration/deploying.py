"""What a deployment asks of the calibrations that its profile names, before anything moves."""

import time
from collections.abc import Sequence

import numpy as np

from s2rctl.core.errors import SafetyStop
from s2rctl.operations.calibration.consume import references, require_for
from s2rctl.operations.calibration.guard import identity_problems, judge, load
from s2rctl.operations.calibration.work import stand_for
from s2rctl.robots.cameras.stream import Camera
from s2rctl.robots.protocol import Identity, Robot
from s2rctl.schema.calibration import Calibration
from s2rctl.schema.profile import Profile
from s2rctl.store.store import Store


def require_calibrated(
    profile: Profile, store: Store, robot: Robot, cameras: Sequence[Camera], identity: Identity
) -> list[str]:
    """Return what was checked, a line for each calibration; SafetyStop for a camera that is another or was moved."""
    said = []
    for ref in references(profile.vision):
        artifact = store.resolve(ref)
        found = load(artifact)
        require_for(profile, found, artifact.ref)
        camera = next(camera for camera in cameras if camera.name == found.camera)
        shot = camera.shot()
        photo = None if shot is None else shot.rgb
        said.append(require_aligned(profile, found, identity, camera.device.serial, robot.read().joint_pos, photo))
    return said


def require_aligned(
    profile: Profile,
    found: Calibration,
    identity: Identity,
    camera: str,
    joints: np.ndarray,
    photo: np.ndarray | None,
) -> str:
    """Return what was checked of one calibration with a reading (n,) and a picture in full size.

    ``photo`` is None where the camera delivers no such pictures. Raises SafetyStop for a calibration that is rehearsed,
    of unknown age or too old, for another robot or camera, and for a camera that was moved.
    """
    settings = profile.calibration
    settings = settings.model_copy(update={"camera": found.camera})
    profile = profile.model_copy(update={"calibration": settings})
    hint = f"s2rctl calibrate-camera -p {profile.name} --mode live --arm"
    if found.mode == "rehearse":
        raise SafetyStop("the profile's calibration comes from a rehearsal: no real camera was measured", hint)
    age = found.age_s(time.time())
    if age is None or age > 3600 * settings.max_age_h:
        words = "of unknown age" if age is None else f"{age / 3600:.0f} h old"
        raise SafetyStop(
            f"the calibration of '{found.camera}' is {words} (limit {settings.max_age_h:g} h)",
            f"{hint}, or after s2rctl calibrate-camera check: --set calibration.max_age_h=…",
        )
    problems = identity_problems(found, identity, camera)
    if problems:
        raise SafetyStop(problems[0], hint)
    if photo is None:
        raise SafetyStop(f"the camera '{found.camera}' delivers no picture to compare with its calibration", hint)
    verdict = judge(stand_for(profile), settings, found, joints, photo)
    if not verdict.good:
        raise SafetyStop(verdict.text(), f"s2rctl calibrate-camera check -p {profile.name} --mode live")
    return f"camera '{found.camera}': {verdict.text()}"
