"""Identifies cameras from frames of a still scene, and publishes what was found."""

import time
from pathlib import Path
from typing import Any

from s2rctl.core.atomic import write_atomic
from s2rctl.identification.camera.clip import distinct
from s2rctl.identification.camera.identify import identify
from s2rctl.operations.documents import read_document
from s2rctl.operations.identification.camera_frames import Only, clips_of, flat_of
from s2rctl.operations.identification.camera_page import PAGE, draw_camera, write_page
from s2rctl.operations.identification.work import KIND, Work
from s2rctl.schema.camera_faults import NEVER_TOLD, CameraIdentification
from s2rctl.schema.manifest import StageRef
from s2rctl.store.store import Artifact
from s2rctl.systems import system_named

FILE = "camera.json"
STAGE = StageRef(name="sysid-camera", version=1)


def identify_cameras(
    work: Work, source: Path, names: tuple[str, ...] = (), flat: Path | None = None, only: Only = "both"
) -> tuple[Artifact, CameraIdentification]:
    """Identify the cameras that a folder or a recording shows, and publish what was found."""
    begun, profile = time.monotonic(), work.profile
    clips = clips_of(profile, source, names, only)
    even = {} if flat is None else flat_of(profile, flat, tuple(clip.camera for clip in clips))
    folder = work.folder.with_name(f"{profile.name}-cameras")
    folder.mkdir(parents=True, exist_ok=True)
    work.reporter.start("cameras", len(clips), "cameras")
    cameras, files = [], {}
    for number, clip in enumerate(clips):
        cameras.append(identify(clip, even.get(clip.camera)))
        name = f"{clip.camera}.png"
        files[name] = draw_camera(folder / name, distinct(clip), cameras[-1])
        work.reporter.update(number + 1, {})
    found = CameraIdentification(
        robot=profile.robot.name, cameras=tuple(cameras), sources=(source.name,), made_at=time.time()
    )
    write_atomic(folder / FILE, found.model_dump_json(indent=1).encode())
    files[PAGE] = write_page(folder, found, files)
    files[FILE] = folder / FILE
    artifact = work.store.publish(
        KIND,
        f"{system_named(profile.system).output}-cameras",
        files,
        stage=STAGE,
        profile=profile.model_dump(mode="json"),
        seed=profile.seed,
        metrics=figures(found),
        duration_s=time.monotonic() - begun,
    )
    for alias in ("latest", profile.name):
        work.store.set_ref(f"{artifact.ref}:{alias}", artifact.id, f"sysid camera of profile {profile.name}")
    return artifact, found


def figures(found: CameraIdentification) -> dict[str, Any]:
    """Return the figures as plain data, by camera."""
    return {
        "cameras": {
            camera.camera: {
                "colour_frames": camera.colour_frames,
                "depth_frames": camera.depth_frames,
                "figures": {one.name: one.model_dump(exclude={"name"}) for one in camera.figures},
                "not_told": [one.name for one in camera.figures if not one.told],
            }
            for camera in found.cameras
        },
        "never_told": sorted(NEVER_TOLD),
    }


def is_of_cameras(artifact: Artifact) -> bool:
    """Return whether an artifact is an identification of cameras."""
    return artifact.manifest.content.kind == KIND and artifact.manifest.content.stage.name == STAGE.name


def load_cameras(artifact: Artifact) -> CameraIdentification:
    """Return the identification of cameras in an artifact; ArtifactError where it cannot be read."""
    return read_document(artifact, FILE, CameraIdentification, "identify again")
