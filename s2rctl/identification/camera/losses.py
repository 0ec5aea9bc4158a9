"""Depth that is lost or wrong away from edges: whole frames, single pixels, patches, lines.

Patches are two by two pixels and come last (``env/depth_camera.py:lose_patches``), so four losses at once are a patch;
lines of wrong depth (``render/depth_noise.py:scratch``) lie over lost pixels, and those out of the camera's range read
as lost.
"""

import math
from dataclasses import dataclass

import numpy as np

from s2rctl.identification.camera.interval import figure, mean_interval, share_interval, unknown
from s2rctl.identification.camera.levels import MM, Levels
from s2rctl.identification.camera.steps import BORDER, far_from_edges, slopes
from s2rctl.schema.camera_faults import CameraFigure

LINE_LENGTH, LINE_DEPTH, LINE_HALF_WIDTH = (2.0, 10.0), (0.2, 0.85), 0.6
"""As training draws lines (``render/depth_noise.py``): px, of the range, px."""
ELSEWHERE = 0.1
"""Share of the loss in patches outside the worst part (``env/depth_camera.py``)."""
PART_RADIUS = (0.04, 0.07, 0.1, 0.13, 0.16)
"""Radius of that part, of the height (the same place has their range)."""
_RIM = 2.0  # px, around it
MOST_LINES = 64
_QUIET, _LEAST_CALM = 0.6, 80
"""The part of the smooth ground with the smallest steps around it, which is taken for free of edges."""
_LEAST_PIXELS = 40
_LEAST_BLOCKS = 8
_ODD = 4.5  # deviations from the others' loss that make a block one of the worst part
_AROUND = 3
_LINES_TRIED = 4000


@dataclass(frozen=True)
class Losses:
    """What is lost away from edges."""

    figures: tuple[CameraFigure, ...]
    told: bool  # whether there is ground that is free of edges
    single: float  # share of pixels lost each by itself, lines included
    patches: float  # share of patches lost
    worst: np.ndarray  # (H, W) bool, the round part in which most patches are lost
    wrong: float  # share of pixels under lines whose depth the camera can report, whether they were lost or not


def blackout_of(depth: np.ndarray) -> CameraFigure:
    """Return the share of frames (N, H, W) without any depth."""
    dark = int((~depth.reshape(len(depth), -1).any(axis=1)).sum())
    return figure("blackout", *share_interval(dark, len(depth)))


def change_of(levels: Levels) -> np.ndarray:
    """Return how much depth changes from each pixel to the next (H, W), m; NaN where depth is not known."""
    _, smooth = slopes(levels.middle)
    depth = levels.constant / MM / np.where(smooth, levels.middle, levels.nearest)
    rows = np.diff(depth, axis=0, append=depth[-1:])
    columns = np.diff(depth, axis=1, append=depth[:, -1:])
    return np.asarray(np.hypot(rows, columns))


def worst_near(change: np.ndarray, around: int = _AROUND) -> np.ndarray:
    """Return the largest change within ``around`` px (H, W); NaN where one is not known, and at the border."""
    size = 2 * around + 1
    worst = np.full(change.shape, np.nan)
    if min(change.shape) < size:
        return worst
    worst[around:-around, around:-around] = np.lib.stride_tricks.sliding_window_view(change, (size, size)).max(
        axis=(2, 3)
    )
    worst[:BORDER] = worst[-BORDER:] = worst[:, :BORDER] = worst[:, -BORDER:] = np.nan
    return worst


def losses_of(levels: Levels, limits: tuple[float, float]) -> Losses:
    """Return loss of pixels, holes and lines; ``limits`` are the camera's range, m."""
    quiet = _without_edges(levels)
    if quiet.sum() < _LEAST_PIXELS or _blocks(quiet).sum() < _LEAST_BLOCKS:
        why = "there is hardly a place without edges"
        nothing = tuple(unknown(name, why) for name in ("loss", "scratches", "depth_holes"))
        return Losses(nothing, False, 0.0, 0.0, np.zeros_like(quiet), 0.0)
    single, patches, holes, part = _patches(levels.lost, quiet)
    lines, covered = _lines(levels, quiet, limits, patches)
    out = 1.0 - _within(limits)  # of the lines' depths
    loss = [(share - covered * out) / (1.0 - covered) for share in single]
    value, low, high = (min(max(share, 0.0), 1.0) for share in loss)
    return Losses(
        (figure("loss", value, low, high), lines, holes), True, single[0], patches, part, covered * (1.0 - out)
    )


def _without_edges(levels: Levels) -> np.ndarray:
    """Return the pixels (H, W) that are free of edges: smooth ground, its flattest part where that is enough."""
    worst = worst_near(change_of(levels))
    known = np.isfinite(worst)
    calm = known & far_from_edges(slopes(levels.middle)[1])
    calm = calm if calm.sum() >= _LEAST_CALM else known
    quiet = calm & (worst <= np.quantile(worst[calm], _QUIET)) if calm.any() else calm
    return np.asarray(quiet if _blocks(quiet).sum() >= _LEAST_BLOCKS else calm)


def _blocks(quiet: np.ndarray) -> np.ndarray:
    """Return which squares of two by two pixels (H // 2, W // 2) are quiet throughout."""
    height, width = (size - size % 2 for size in quiet.shape)
    return np.asarray(quiet[:height, :width].reshape(height // 2, 2, width // 2, 2).all(axis=(1, 3)))


def _patches(lost: np.ndarray, quiet: np.ndarray) -> tuple[tuple[float, float, float], float, CameraFigure, np.ndarray]:
    """Return the share of single pixels lost with its interval, that of patches, the holes' figure and worst part."""
    height, width = (size - size % 2 for size in quiet.shape)
    shape = (height // 2, 2, width // 2, 2)
    whole = _blocks(quiet)
    together = lost[:, :height, :width].reshape(len(lost), *shape).sum(axis=(2, 4))[:, whole]  # (N, blocks)
    kept = np.ones(together.shape[1], bool)
    for _ in range(4):
        usual, spread = together[:, kept].mean(), together[:, kept].std() / math.sqrt(len(lost))
        kept = together.mean(axis=0) <= max(usual, float(np.median(together.mean(axis=0)))) + _ODD * max(spread, 1e-9)
    normal = together[:, kept]
    four = normal == 4
    frames, blocks = normal.shape
    rest = frames * blocks - int(four.sum())
    singles = float(normal[~four].sum())
    share = share_interval(singles, 4.0 * rest, _overdispersion(np.where(four, 0, normal)))
    by_chance = share[0] ** 4 * rest
    patches = share_interval(int(four.sum()) - by_chance, frames * blocks, _overdispersion(four))
    value, low, high = (min(part / ELSEWHERE, 1.0) for part in patches)
    why = "" if kept.all() else f"more in {(~kept).mean():.0%} of the places"
    part = _round_part(2.0 * np.argwhere(whole) + 0.5, ~kept, quiet.shape)
    return share, patches[0], figure("depth_holes", value, low, high, why), part


def _round_part(places: np.ndarray, odd: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the disc (H, W) with most of the odd places (K, 2) px and fewest others; nothing without odd ones."""
    rows, columns = np.indices(shape)
    if not odd.any():
        return np.zeros(shape, bool)
    sign = np.where(odd, 1.0, -1.0)
    best, disc = 0.0, (0.0, 0.0, 0.0)
    for row in range(0, shape[0], 2):
        for column in range(0, shape[1], 2):
            apart = np.hypot(places[:, 0] - row, places[:, 1] - column)
            for radius in PART_RADIUS:
                score = float(sign[apart < radius * shape[0]].sum())
                if score > best:
                    best, disc = score, (row, column, radius * shape[0])
    return np.asarray(np.hypot(rows - disc[0], columns - disc[1]) < disc[2] + _RIM)


def _overdispersion(events: np.ndarray) -> float:
    """Return the variance of the places' counts (frames, places) over that of independent events; 1 at least."""
    total = events.sum(axis=0).astype(np.float64)
    mean = total.mean()
    if mean < 1.0 or len(total) < 3:
        return 1.0
    ratio = total.var(ddof=1) / mean
    return float(ratio) if ratio > 1.0 + 3.0 * math.sqrt(2.0 / (len(total) - 1)) else 1.0


def _within(limits: tuple[float, float]) -> float:
    """Return the share of the lines' depths that lie in the camera's range, whose end they are drawn from."""
    low, high = (share * limits[1] for share in LINE_DEPTH)
    return float(np.clip((high - max(low, limits[0])) / (high - low), 0.0, 1.0))


def _lines(
    levels: Levels, quiet: np.ndarray, limits: tuple[float, float], patches: float
) -> tuple[CameraFigure, float]:
    """Return the most lines in a frame, and the share of pixels under lines: from wrong depths away from edges."""
    wrong = ~levels.own & ~levels.lost
    each = wrong[:, quiet].mean(axis=1)
    seen, low, high = mean_interval(each)
    middle, reach = levels.middle[quiet], levels.reach[quiet]
    scale = levels.constant / MM
    ends = [scale / np.maximum(middle + reach, 1e-6), scale / np.maximum(middle - reach, 1e-6)]
    first, last = max(LINE_DEPTH[0] * limits[1], limits[0]), LINE_DEPTH[1] * limits[1]
    hidden = np.clip(np.minimum(ends[1], last) - np.maximum(ends[0], first), 0.0, None).mean()
    width = (LINE_DEPTH[1] - LINE_DEPTH[0]) * limits[1]
    shown = max((_within(limits) - hidden / width) * (1.0 - patches), 1e-3)
    one = _covering(quiet)
    most = np.arange(MOST_LINES + 1)
    covered = np.array([_covered(one, int(count)) for count in most])
    value, least, largest = (float(np.interp(share / shown, covered, most)) for share in (seen, low, high))
    number = figure("scratches", round(value), math.floor(least), math.ceil(largest))
    return number, float(np.interp(value, most, covered))


def _covered(one: float, most: int) -> float:
    """Return the mean share of pixels under 1 to ``most`` lines, each over one with the probability ``one``."""
    if most == 0:
        return 0.0
    return float(np.mean(1.0 - (1.0 - one) ** np.arange(1, most + 1)))


def _covering(quiet: np.ndarray) -> float:
    """Return the probability that a line covers one of the quiet pixels: the mean of lines drawn as training does."""
    height, width = quiet.shape
    rng = np.random.default_rng(0)
    rows, columns = np.nonzero(quiet)
    hits = 0
    for _ in range(_LINES_TRIED // 200):
        y, x = rng.uniform(0, height, 200), rng.uniform(0, width, 200)
        angle, length = rng.uniform(0, np.pi, 200), rng.uniform(*LINE_LENGTH, 200)
        down, across = rows[:, None] - y, columns[:, None] - x
        beside = np.abs(down * np.cos(angle) - across * np.sin(angle))
        along = np.abs(down * np.sin(angle) + across * np.cos(angle))
        hits += int(((beside < LINE_HALF_WIDTH) & (along < length / 2)).sum())
    return hits / (_LINES_TRIED * len(rows))
