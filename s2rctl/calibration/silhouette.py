"""Does the camera still stand where it was calibrated? The robot's silhouette, rendered and seen, without a board.

The rendered silhouette is cast ray by ray with the camera's exact optics (principal point and distortion included), on
the CPU, with no OpenGL and no JAX: it works on a headless robot computer. In the photo the robot is cut out by GrabCut
(Rother, Kolmogorov and Blake 2004), which begins with the render and lets the picture decide at the border; the shift
is what the outline's edges say, searched along its normals.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import mujoco
import numpy as np

from s2rctl.calibration.overlay import silhouette_iou
from s2rctl.schema.cameras import Intrinsics

WIDTH = 320
"""Rays per row: more say no more about a border that is found to a pixel."""
SEARCH = 16
"""Pixels (of the small picture) along the normals in which an edge is looked for."""
_BAND = 9
_LEAST_EDGES = 30
_LEAST_SLOPE = 8.0
_FAR_M = 10.0
_UNDISTORTIONS = 30


@dataclass(frozen=True)
class Alignment:
    """How well a picture agrees with the render."""

    iou: float  # of the silhouettes
    shift_px: tuple[float, float]  # of the picture against the render, px of the full picture: right, down
    edges: int  # places of the outline at which the picture has an edge
    share: float  # part of the outline at which it has
    render: np.ndarray  # (h, w) bool
    seen: np.ndarray  # (h, w) bool

    @property
    def offset_px(self) -> float:
        """Length of the shift."""
        return float(np.hypot(*self.shift_px))


def robot_geoms(model: Any, body: int) -> np.ndarray:
    """Return which geoms (ngeom,) are drawn and part of the robot that a body belongs to."""
    drawn = (model.geom_group <= 2) & (model.geom_rgba[:, 3] > 0)
    return np.asarray(drawn & (model.body_rootid[model.geom_bodyid] == model.body_rootid[body]))


def small(lens: Intrinsics, width: int = WIDTH) -> Intrinsics:
    """Return the camera of the same picture at another size; pixel centres have whole coordinates at both."""
    scale = width / lens.width
    height = round(lens.height * scale)
    down = height / lens.height
    return Intrinsics(
        width=width,
        height=height,
        fx=lens.fx * scale,
        fy=lens.fy * down,
        cx=(lens.cx + 0.5) * scale - 0.5,
        cy=(lens.cy + 0.5) * down - 0.5,
        distortion=lens.distortion,
    )


def rays(lens: Intrinsics) -> np.ndarray:
    """Return the direction (h * w, 3) in camera axes that each pixel sees, of depth 1."""
    columns, rows = np.meshgrid(np.arange(lens.width, dtype=float), np.arange(lens.height, dtype=float))
    seen_x, seen_y = (columns.ravel() - lens.cx) / lens.fx, (rows.ravel() - lens.cy) / lens.fy
    k1, k2, p1, p2, k3 = lens.distortion
    x, y = seen_x, seen_y
    for _ in range(_UNDISTORTIONS if any(lens.distortion) else 0):
        square = x * x + y * y
        radial = 1 + square * (k1 + square * (k2 + square * k3))
        x = (seen_x - 2 * p1 * x * y - p2 * (square + 2 * x * x)) / radial
        y = (seen_y - p1 * (square + 2 * y * y) - 2 * p2 * x * y) / radial
    return np.stack([x, y, np.ones_like(x)], axis=1)


def cast(model: Any, data: Any, camera: np.ndarray, lens: Intrinsics) -> tuple[np.ndarray, np.ndarray]:
    """Return what each pixel sees: number of the geom (h, w), -1 for nothing, and depth (h, w) in m.

    ``camera`` (4, 4) is in the world, OpenCV axes; ``data`` has current kinematics.
    """
    ways = rays(lens)
    world = np.ascontiguousarray(ways @ camera[:3, :3].T)
    lengths = np.linalg.norm(world, axis=1)
    count = len(world)
    geoms, distances = np.full(count, -1, np.int32), np.full(count, -1.0)
    groups = np.array([1, 1, 1, 0, 0, 0], np.uint8)
    mujoco.mj_multiRay(
        model,
        data,
        np.ascontiguousarray(camera[:3, 3]),
        (world / lengths[:, None]).ravel(),
        groups,
        1,
        -1,
        geoms,
        distances,
        None,
        count,
        _FAR_M,
    )
    depth = np.where(geoms >= 0, distances / lengths, 0.0)
    return geoms.reshape(lens.height, lens.width), depth.reshape(lens.height, lens.width)


def align(photo: np.ndarray, render: np.ndarray) -> Alignment:
    """Return how a photo (H, W, 3) uint8 agrees with the robot's rendered silhouette (h, w) bool, maybe smaller."""
    height, width = render.shape
    shrunk = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
    seen = cut_out(shrunk, render)
    shift, edges, share = edge_shift(shrunk, render)
    scale = photo.shape[1] / width
    return Alignment(silhouette_iou(seen, render), (scale * shift[0], scale * shift[1]), edges, share, render, seen)


def cut_out(photo: np.ndarray, render: np.ndarray) -> np.ndarray:
    """Return the robot (h, w) bool in a photo (h, w, 3), near where the render has it."""
    mask = np.full(render.shape, cv2.GC_BGD, np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _BAND + 1, 2 * _BAND + 1))
    inner = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    near = cv2.dilate(render.astype(np.uint8), kernel)
    sure = cv2.erode(render.astype(np.uint8), inner)
    mask[near > 0] = cv2.GC_PR_BGD
    mask[render] = cv2.GC_PR_FGD
    mask[sure > 0] = cv2.GC_FGD
    if not sure.any() or near.all():
        return np.zeros_like(render)
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    whole = (0, 0, 1, 1)  # not used: the mask says where to begin
    cv2.grabCut(photo, mask, whole, background, foreground, 3, cv2.GC_INIT_WITH_MASK)
    return np.asarray((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD))


def edge_shift(photo: np.ndarray, render: np.ndarray) -> tuple[tuple[float, float], int, float]:
    """Return the shift (px: right, down) that brings the render's outline onto the photo's edges.

    Also at how many places of the outline an edge was found, and their share. Along each normal the steepest place is
    taken; the shift is a robust fit of these distances, begun with the best whole-pixel shift.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
    gx, gy = cv2.Sobel(grey, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(grey, cv2.CV_32F, 0, 1) / 8
    places, normals = outline(render)
    if len(places) < _LEAST_EDGES:
        return (0.0, 0.0), 0, 0.0
    steps = np.arange(-SEARCH, SEARCH + 0.5, 0.5)
    points = (places[:, None] + steps[None, :, None] * normals[:, None]).astype(np.float32)
    along = cv2.remap(gx, points[..., 0], points[..., 1], cv2.INTER_LINEAR) * normals[:, None, 0]
    along += cv2.remap(gy, points[..., 0], points[..., 1], cv2.INTER_LINEAR) * normals[:, None, 1]
    strength = np.minimum(np.abs(along), 40.0)
    shift = _coarse(strength, normals, steps)
    for reach in (6.0, 3.0, 2.0):
        expected = normals @ shift
        window = np.abs(steps[None] - expected[:, None]) <= reach
        masked = np.where(window, strength, 0.0)
        best = masked.argmax(axis=1)
        found = masked[np.arange(len(best)), best] > _LEAST_SLOPE
        if found.sum() < _LEAST_EDGES:
            return (float(shift[0]), float(shift[1])), int(found.sum()), float(found.mean())
        distance = _peak(masked, best, steps)[found]
        n = normals[found]
        for _ in range(10):
            weight = 1.0 / (1.0 + (distance - n @ shift) ** 2)
            shift = np.linalg.lstsq(n * weight[:, None], distance * weight, rcond=None)[0]
    return (float(shift[0]), float(shift[1])), int(found.sum()), float(found.mean())


def outline(render: np.ndarray, border: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return places (n, 2) px on a mask's outline and its unit normals (n, 2), the picture's own border left out."""
    contours, _ = cv2.findContours(render.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    smooth = cv2.GaussianBlur(render.astype(np.float32), (0, 0), 2.0)
    gx, gy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    points = np.concatenate([c[:, 0] for c in contours]) if contours else np.zeros((0, 2), int)
    h, w = render.shape
    inside = (points >= border).all(axis=1) & (points[:, 0] < w - border) & (points[:, 1] < h - border)
    points = points[inside]
    normals = np.stack([gx[points[:, 1], points[:, 0]], gy[points[:, 1], points[:, 0]]], axis=1)
    length = np.linalg.norm(normals, axis=1)
    good = length > 1e-3
    normals = -normals[good] / length[good, None]
    # findContours walks on the mask's own pixels: the border is half a pixel further out
    return points[good].astype(float) + 0.5 * normals, normals.astype(float)


def _coarse(strength: np.ndarray, normals: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the whole-pixel shift (2,) at which most of the outline lies on edges."""
    best, at = -1.0, np.zeros(2)
    rows = np.arange(len(normals))
    for dx in range(-SEARCH, SEARCH + 1, 2):
        for dy in range(-SEARCH, SEARCH + 1, 2):
            index = np.clip(np.rint((normals @ [dx, dy] - steps[0]) / 0.5).astype(int), 0, len(steps) - 1)
            value = float(strength[rows, index].mean()) - 0.02 * float(np.hypot(dx, dy))
            if value > best:
                best, at = value, np.array([dx, dy], float)
    return at


def _peak(masked: np.ndarray, best: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the place (n,) of each row's peak, by a parabola through it and its neighbours."""
    rows, middle = np.arange(len(best)), np.clip(best, 1, masked.shape[1] - 2)
    left, top, right = masked[rows, middle - 1], masked[rows, middle], masked[rows, middle + 1]
    bend = left - 2 * top + right
    part = np.where(np.abs(bend) > 1e-6, 0.5 * (left - right) / np.where(np.abs(bend) > 1e-6, bend, 1.0), 0.0)
    return np.asarray(steps[middle] + 0.5 * np.clip(part, -1, 1))
