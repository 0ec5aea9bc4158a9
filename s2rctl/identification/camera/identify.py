"""From a clip of a still scene to the figures of its camera."""

import numpy as np

from s2rctl.core.errors import UsageError
from s2rctl.identification.camera.clip import Clip, distinct, require_enough, require_still
from s2rctl.identification.camera.colour import brightness_of, noise_of, shades_of, vignette_of
from s2rctl.identification.camera.edges import edges_of
from s2rctl.identification.camera.interval import unknown
from s2rctl.identification.camera.levels import Levels, constant_of, levels_of
from s2rctl.identification.camera.losses import blackout_of, losses_of
from s2rctl.identification.camera.steps import noise_and_shift
from s2rctl.schema.camera_faults import CameraFaults, CameraFigure

DISPARITY_CONSTANT_MM, SHIFT_PX = 35130.0, 0.5
"""What is taken where the recording does not tell them: only to lay out depth, and for how far edges reach."""


def identify(clip: Clip, flat: np.ndarray | None = None) -> CameraFaults:
    """Return what a clip of a still scene tells of its camera; ``flat`` (K, H, W, 3) uint8 shows an even surface.

    UsageError for too few frames, and where something moves.
    """
    clip = distinct(clip)
    require_enough(clip)
    require_still(clip)
    if flat is not None and flat.shape[1:3] != clip.size:
        height, width = clip.size
        raise UsageError(
            f"the flat picture is {flat.shape[2]} x {flat.shape[1]}, the frames are {width} x {height}",
            "take it with the same camera at the same size",
        )
    figures: list[CameraFigure] = []
    if clip.rgb is not None:
        figures += colour_figures(clip.rgb, flat)
    never = 0.0
    if clip.depth is not None:
        found, levels = depth_figures(clip.depth, clip.unit, clip.limits)
        figures += found
        never = 0.0 if levels is None else float(np.isnan(levels.middle).mean())
    height, width = clip.size
    return CameraFaults(
        camera=clip.camera,
        width=width,
        height=height,
        colour_frames=0 if clip.rgb is None else len(clip.rgb),
        depth_frames=0 if clip.depth is None else len(clip.depth),
        repeated=clip.repeated,
        flat_frames=0 if flat is None else len(flat),
        never=never,
        figures=tuple(figures),
    )


def colour_figures(rgb: np.ndarray, flat: np.ndarray | None) -> list[CameraFigure]:
    """Return the figures of colour pictures (N, H, W, 3) uint8."""
    shades = shades_of(rgb)
    if shades is None:
        why = "the pictures are black or white nearly everywhere"
        return [unknown("pixel_noise", why), unknown("brightness", why), vignette_of(flat)]
    return [noise_of(shades), brightness_of(shades), vignette_of(flat)]


def depth_figures(
    depth: np.ndarray, unit: float, limits: tuple[float, float]
) -> tuple[list[CameraFigure], Levels | None]:
    """Return the figures of depth pictures (N, H, W) uint16 counts, and the pictures as levels."""
    constant = constant_of(depth, unit)
    levels = levels_of(depth, unit, constant.value if constant.told else DISPARITY_CONSTANT_MM, constant.told, limits)
    sigma, shift = noise_and_shift(levels)
    losses = losses_of(levels, limits)
    edges = edges_of(levels, losses, shift.value if shift.told else SHIFT_PX)
    return [*edges, constant, sigma, shift, *losses.figures, blackout_of(depth)], levels
