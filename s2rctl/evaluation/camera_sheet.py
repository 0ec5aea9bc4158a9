"""A look at what the policy's cameras see: one PNG, the nominal scene on the left, then randomised worlds."""

import io
from pathlib import Path

import numpy as np

from s2rctl.core.atomic import is_stdout, require_replaceable, write_output
from s2rctl.core.depth_picture import grey
from s2rctl.core.errors import UsageError
from s2rctl.env.keys import make_key
from s2rctl.schema.profile import Profile
from s2rctl.schema.simulation import Appearance
from s2rctl.schema.tensors import depth_name, rgb_name
from s2rctl.systems import system_named

LONG_SIDE = 168  # px, each frame is enlarged to about this (whole factors, nearest neighbour)
_GAP = 6  # px between frames


def contact_sheet(profile: Profile, path: Path, worlds: int) -> tuple[str, ...]:
    """Write the sheet and return its row names.

    Each camera has a row of colour frames where the policy sees colour, and one of depth where it sees depth. The first
    column is the scene without randomisation, the others are ``worlds`` worlds as training sees them. UsageError if
    ``path`` may not be written or the profile has no policy camera.
    """
    _check(path)
    if not profile.vision.cameras:
        raise UsageError(f"profile '{profile.name}' has no policy camera", "add one under vision.cameras")
    clean_vision = profile.vision.model_copy(update={"appearance": Appearance(colour=0.0), "depth_noise": None})
    clean = _frames(profile.model_copy(update={"vision": clean_vision}), 1)
    random = _frames(profile, worlds)
    rows = {name: [clean[name][0], *random[name]] for name in clean}
    sheet = np.concatenate([_row(frames) for frames in rows.values()], axis=0)
    _write_png(path, sheet)
    return tuple(rows)


def _frames(profile: Profile, worlds: int) -> dict[str, list[np.ndarray]]:
    """Return enlarged RGB frames (H, W, 3) uint8 by input name, one per world."""
    from s2rctl.env import stepping
    from s2rctl.env.build import make_env

    env = make_env(profile, system_named(profile.system).deployed.task, worlds, seed=profile.seed)
    inputs = stepping.reset(env, make_key(profile.seed)).observation.inputs  # in parts: these are cached
    frames: dict[str, list[np.ndarray]] = {}
    for camera in profile.vision.cameras:
        factor = max(1, LONG_SIDE // max(camera.width, camera.height))
        if camera.colour:
            colour = np.asarray(inputs[rgb_name(camera.name)])
            frames[rgb_name(camera.name)] = [_enlarge(image, factor) for image in colour]
        if camera.depth:
            far = camera.depth_range_m[1] / camera.depth_unit_m
            depth = grey(np.asarray(inputs[depth_name(camera.name)]), far)
            frames[depth_name(camera.name)] = [_enlarge(image, factor) for image in depth]
    return frames


def _enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """Return the image with every pixel repeated ``factor`` times in both directions."""
    return np.kron(image, np.ones((factor, factor, 1), np.uint8))


def _row(frames: list[np.ndarray]) -> np.ndarray:
    """Return frames side by side on white; a wider gap sets the nominal one apart."""
    height = frames[0].shape[0]
    parts = []
    for number, frame in enumerate(frames):
        gap = _GAP * (3 if number == 1 else 1)
        parts += [np.full((height, gap, 3), 255, np.uint8), frame] if number else [frame]
    row = np.concatenate(parts, axis=1)
    return np.concatenate([row, np.full((_GAP, row.shape[1], 3), 255, np.uint8)], axis=0)


def _check(path: Path) -> None:
    if path.suffix.lower() != ".png" and not is_stdout(path):
        raise UsageError(f"{path} is not a .png file", "give --output NAME.png")
    require_replaceable(path, "--output")


def _write_png(path: Path, image: np.ndarray) -> None:
    from matplotlib.image import imsave

    content = io.BytesIO()
    imsave(content, image, format="png")
    write_output(path, content.getvalue(), "--output")
