"""Does the camera still stand where it was calibrated? Asked every morning, and before anything moves."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import mujoco
import numpy as np

from s2rctl.calibration import overlay
from s2rctl.calibration.silhouette import Alignment, align, cast, robot_geoms, small
from s2rctl.calibration.stand import Stand
from s2rctl.core.errors import ArtifactError, GateError, S2rError, UsageError
from s2rctl.core.spatial import to_matrix, transform
from s2rctl.operations.calibration.session import read_picture, write_picture
from s2rctl.operations.calibration.steps import opened
from s2rctl.operations.calibration.work import Work, stand_for
from s2rctl.operations.documents import read_document
from s2rctl.robots.protocol import Identity
from s2rctl.schema.calibration import Calibration
from s2rctl.schema.deployment import Calibration as Settings
from s2rctl.schema.profile import Profile
from s2rctl.store.store import Artifact, Store

FILE = "calibration.json"
_SIGMAS = 2.0
_LEAST_EDGES = 0.25
"""Part of the outline at which there must be an edge; of a picture that fits, 0.6 to 0.9 has one."""
_LEAST_SEEN = 0.005
"""Part of the picture that the robot must fill for anything to be told."""


@dataclass(frozen=True)
class Verdict:
    """What a picture says of the camera's place."""

    alignment: Alignment
    limit_px: float
    least_iou: float
    visible: bool

    @property
    def good(self) -> bool:
        """Whether the camera stands where it was calibrated, as far as the picture tells."""
        found = self.alignment
        return self.visible and self.told and found.iou >= self.least_iou and found.offset_px <= self.limit_px

    @property
    def told(self) -> bool:
        """Whether the picture has edges where the robot's outline should be; a dark one has none, and says nothing."""
        return self.alignment.share >= _LEAST_EDGES

    def text(self) -> str:
        """Return the verdict in one sentence."""
        found = self.alignment
        if not self.visible:
            return "the robot is hardly in sight of the camera: move it into view, then check again"
        if not self.told:
            return (
                f"FAIL: only {found.share:.0%} of the robot's outline has an edge in the picture: it is too dark, "
                "something stands before the camera, or the camera looks elsewhere"
            )
        figures = f"silhouettes overlap by {found.iou:.2f}, the picture is {found.offset_px:.1f} px off"
        if self.good:
            return f"PASS: the camera stands where it was calibrated ({figures})"
        return (
            f"FAIL: the camera was moved, or the arm is not where it says ({figures}; "
            f"limits {self.least_iou:g} and {self.limit_px:.1f} px)"
        )


def load(artifact: Artifact) -> Calibration:
    """Return the calibration in an artifact; ArtifactError where there is none."""
    if artifact.manifest.content.kind != "calibration":
        raise ArtifactError(f"{artifact.ref} is not a calibration", "s2rctl artifacts list --kind calibration")
    return read_document(artifact, FILE, Calibration, "calibrate again")


def judge(stand: Stand, settings: Settings, found: Calibration, joints: np.ndarray, photo: np.ndarray) -> Verdict:
    """Return what a picture (H, W, 3) at a reading (n,) says of the camera's place."""
    lens = found.intrinsics
    if photo.shape[:2] != (lens.height, lens.width):
        raise UsageError(
            f"the picture is {photo.shape[1]} x {photo.shape[0]}, the calibration is for {lens.width} x {lens.height}",
            "use the size at which the camera was calibrated",
        )
    data = mujoco.MjData(stand.model)
    data.qpos[:] = stand.qpos(corrected(found, stand, joints))
    mujoco.mj_kinematics(stand.model, data)
    parent = stand.hand if stand.in_hand else stand.base
    pose = transform(found.pose.position_m, to_matrix(found.pose.quaternion_opencv))
    world = transform(data.xpos[parent].copy(), data.xmat[parent].reshape(3, 3)) @ pose
    geoms, depth = cast(stand.model, data, world, small(lens))
    robot = robot_geoms(stand.model, stand.hand)
    render = (geoms >= 0) & robot[np.maximum(geoms, 0)]
    visible = bool(render.mean() > _LEAST_SEEN)
    alignment = align(photo, render)
    # what the calibration itself leaves open is not the camera's fault
    deviation = np.sqrt(np.diag(np.array(found.covariance)))
    distance = float(np.median(depth[render])) if visible else 1.0
    unsure = lens.fx * (float(np.linalg.norm(deviation[:2])) / distance + float(np.linalg.norm(deviation[3:5])))
    return Verdict(alignment, settings.max_offset_px + _SIGMAS * unsure, settings.min_silhouette_iou, visible)


def corrected(found: Calibration, stand: Stand, joints: np.ndarray) -> np.ndarray:
    """Return a reading (n,) with the zeros that the calibration estimated."""
    reading = np.array(joints, float)
    names = list(stand.specification.joints)
    for zero in found.joint_zeros:
        reading[names.index(zero.joint)] += np.deg2rad(zero.offset_deg)
    return reading


def picture_of(photo: np.ndarray, verdict: Verdict) -> np.ndarray:
    """Return the photo with the rendered outline (red) and the seen one (green), and the two masks beside it."""
    height, width = photo.shape[:2]
    masks = [
        cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
        for mask in (verdict.alignment.render, verdict.alignment.seen)
    ]
    drawn = overlay.outline_over(overlay.outline_over(photo, masks[1], overlay.SEEN), masks[0], overlay.RENDERED)
    both = np.full_like(photo, 255)
    both[masks[0]] = (240, 150, 140)
    both[masks[1]] = (150, 220, 150)
    both[masks[0] & masks[1]] = (190, 190, 190)
    return np.hstack([drawn, both])


def check(work: Work, ref: str | None, picture: Path | None) -> tuple[dict[str, Any], S2rError | None]:
    """Return what the next picture of the camera says, and a GateError where the camera was moved."""
    begun = time.monotonic()
    artifact = find(work.store, work.profile, ref)
    found = load(artifact)
    require_profile(found, work.profile)
    stand = stand_for(work.profile)
    settings = work.profile.calibration
    if picture is not None:
        joints, photo = stand.home, read_picture(picture)
        work.reporter.note("the arm is taken to be at home in that picture")
    else:
        joints, photo, identity, camera = look(work, stand)
        for problem in identity_problems(found, identity, camera):
            work.reporter.note(problem)
    verdict = judge(stand, settings, found, joints, photo)
    path = work.session.folder / "check.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, picture_of(photo, verdict))
    data = {
        "verdict": verdict.text(),
        "passed": verdict.good,
        "silhouette_iou": verdict.alignment.iou,
        "offset_px": verdict.alignment.offset_px,
        "limit_px": verdict.limit_px,
        "picture": str(path),
        "calibration": artifact.id,
        "age_h": (found.age_s(time.time()) or 0.0) / 3600,
        "seconds": round(time.monotonic() - begun, 2),
    }
    fault = (
        None if verdict.good else GateError(verdict.text(), f"look at {path}; calibrate again: s2rctl calibrate-camera")
    )
    return data, fault


def look(work: Work, stand: Stand) -> tuple[np.ndarray, np.ndarray, Identity, str]:
    """Return a reading (n,) and a picture of now, and whose they are; the arm is not moved."""
    with opened(work, stand, work.reporter.note, guided=True) as source:
        taken = source.take(None)
        if taken is None or taken.joints is None:
            raise UsageError("there is no robot to look at", "omit --from")
        return taken.joints, taken.image, source.identity, source.camera_serial


def find(store: Store, profile: Profile, ref: str | None) -> Artifact:
    """Return the calibration of a reference, else of the profile, else the camera's last one."""
    if ref or profile.vision.calibration:
        return store.resolve(ref or str(profile.vision.calibration))
    from s2rctl.systems import system_named

    name = system_named(profile.system).output
    camera = profile.calibration.camera
    for alias in (camera, profile.name):
        with contextlib.suppress(ArtifactError):
            return store.resolve(f"calibration/{name}:{alias}")
    raise ArtifactError(
        f"the camera '{camera}' has not been calibrated in the store {store.root}",
        f"s2rctl calibrate-camera -p {profile.name}   (add --mode live at the robot)",
    )


def require_profile(found: Calibration, profile: Profile) -> None:
    """Raise ArtifactError for a calibration of another robot or camera."""
    for what, was, now in (
        ("robot", found.robot, profile.robot.name),
        ("camera", found.camera, profile.calibration.camera),
    ):
        if was != now:
            raise ArtifactError(
                f"this calibration is of the {what} '{was}', the profile's is '{now}'",
                "calibrate that one, or name another calibration",
            )


def identity_problems(found: Calibration, identity: Identity, camera: str) -> list[str]:
    """Return what says that robot or camera are others than those that were calibrated."""
    pairs = (("robot", found.robot_serial, identity.serial), ("camera", found.camera_serial, camera))
    return [
        f"the calibration is of the {what} {was}, this is {now}"
        for what, was, now in pairs
        if was and now and was != now
    ]
