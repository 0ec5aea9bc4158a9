"""What a profile's ``vision.calibration`` means: the cameras' places and what of them stays uncertain, as values.

The reference is resolved once, when a command loads the profile. Everything after it, the cache, the contract card and
other computers, sees numbers and the calibration's id, and needs no store.
"""

from collections.abc import Mapping

import numpy as np

from s2rctl.core.errors import ArtifactError
from s2rctl.operations.calibration.guard import load
from s2rctl.schema.calibration import Calibration, randomisation
from s2rctl.schema.profile import Profile
from s2rctl.schema.simulation import Appearance, CameraMount, Vision
from s2rctl.store.store import Store


def resolved(profile: Profile, store: Store) -> Profile:
    """Return the profile with the mounts of its calibrations filled in.

    Raises ArtifactError for a calibration that is not in the store, of another robot, or of no camera of the policy.
    """
    refs = references(profile.vision)
    if not refs:
        return profile
    found: dict[str, tuple[str, Calibration]] = {}
    for ref in refs:
        artifact = store.resolve(ref)
        calibration = load(artifact)
        require_for(profile, calibration, artifact.ref)
        found[calibration.camera] = (artifact.id, calibration)
    vision = with_mounts(profile.vision, found)
    return profile.model_copy(update={"vision": vision})


def references(vision: Vision) -> tuple[str, ...]:
    """Return the calibrations that a profile names."""
    named = vision.calibration
    if named is None:
        return ()
    return (named,) if isinstance(named, str) else tuple(named)


def require_for(profile: Profile, calibration: Calibration, ref: str) -> None:
    """Raise ArtifactError for a calibration that is none of this profile's cameras."""
    names = [camera.name for camera in profile.vision.cameras]
    if calibration.robot != profile.robot.name:
        raise ArtifactError(
            f"vision.calibration: {ref} belongs to the robot '{calibration.robot}', "
            f"but the profile's robot is '{profile.robot.name}'",
            "name a calibration of this robot",
        )
    if calibration.camera not in names:
        raise ArtifactError(
            f"vision.calibration: {ref} belongs to the camera '{calibration.camera}', but the policy "
            f"uses {', '.join(names) or 'none'}",
            "name a calibration of one of these",
        )


def with_mounts(vision: Vision, found: Mapping[str, tuple[str, Calibration]]) -> Vision:
    """Return ``vision`` with the mounts of calibrated cameras, and as much randomisation as they leave uncertain.

    One range serves all cameras: the widest of them, and the profile's own where some camera is not calibrated.
    """
    ranges = [randomisation(calibration, vision.appearance) for _, calibration in found.values()]
    mounts = {
        name: mount(identity, calibration, ranges[number])
        for number, (name, (identity, calibration)) in enumerate(found.items())
    }
    cameras = tuple(
        camera.model_copy(update={"mount": mounts[camera.name]}) if camera.name in mounts else camera
        for camera in vision.cameras
    )
    if any(camera.mount is None for camera in cameras):
        ranges.append(vision.appearance)
    widest = np.max([item.camera_position_m for item in ranges], axis=0)
    appearance = vision.appearance.model_copy(
        update={
            "camera_position_m": tuple(float(value) for value in widest),
            "camera_rotation_deg": max(item.camera_rotation_deg for item in ranges),
        }
    )
    named = tuple(identity for identity, _ in found.values())
    return vision.model_copy(update={"cameras": cameras, "appearance": appearance, "calibration": named})


def mount(identity: str, calibration: Calibration, ranges: Appearance) -> CameraMount:
    """Return a calibration as the mount of its camera."""
    pose = calibration.pose
    return CameraMount(
        calibration=identity,
        parent=pose.parent,
        position_m=pose.position_m,
        quaternion=pose.quaternion_mujoco,
        position_range_m=ranges.camera_position_m,
        rotation_range_deg=ranges.camera_rotation_deg,
    )
