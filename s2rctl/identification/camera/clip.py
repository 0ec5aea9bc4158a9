"""Frames of a camera that looks at something that does not move, and whether they are that."""

from dataclasses import dataclass, replace

import numpy as np

from s2rctl.core.errors import UsageError

LEAST_FRAMES = 30
GOOD_FRAMES = 200
_MOVES = 0.02
"""Share of the pixels that may change as things that move do."""
_LEAST_MOVING = 6
_FOLLOWS = 1.0
"""Mean square of successive differences over the variance: 2 for noise, less for what changes slowly (von Neumann)."""
_LEVELS, _STEPS = 2.0, 1.0
"""Deviation from which a change counts, in grey levels and in levels of disparity."""
_ALIKE = 0.5


@dataclass(frozen=True)
class Clip:
    """Frames of one camera in the order in which they were taken."""

    camera: str
    rgb: np.ndarray | None  # (N, H, W, 3) uint8
    depth: np.ndarray | None  # (M, H, W) uint16, in counts of ``unit``; 0: no measurement
    unit: float = 1e-4  # m per count
    limits: tuple[float, float] = (0.0, 0.4)  # m, the camera's range
    repeated: int = 0  # frames that were omitted

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, px."""
        pictures = self.depth if self.rgb is None else self.rgb
        assert pictures is not None  # one of them is there
        return int(pictures.shape[1]), int(pictures.shape[2])


def distinct(clip: Clip) -> Clip:
    """Return a clip without frames that repeat the one before: a loop that is faster than its camera records those."""
    rgb, doubled = _distinct(clip.rgb)
    depth, again = _distinct(clip.depth)
    return replace(clip, rgb=rgb, depth=depth, repeated=clip.repeated + max(doubled, again))


def _distinct(pictures: np.ndarray | None) -> tuple[np.ndarray | None, int]:
    """Return the pictures that differ from the one before, or show nothing at all, and how many do not."""
    if pictures is None or len(pictures) < 2:
        return pictures, 0
    flat = pictures.reshape(len(pictures), -1)
    fresh = np.concatenate([[True], (flat[1:] != flat[:-1]).any(axis=1) | ~flat[1:].any(axis=1)])
    return pictures[fresh], int((~fresh).sum())


def require_enough(clip: Clip) -> None:
    """Raise UsageError for a clip of too few frames."""
    for name, pictures in (("colour", clip.rgb), ("depth", clip.depth)):
        if pictures is not None and len(pictures) < LEAST_FRAMES:
            again = f" ({clip.repeated} more repeat the one before)" if clip.repeated else ""
            raise UsageError(
                f"{clip.camera}: {len(pictures)} different {name} pictures{again} are too few to tell anything",
                f"record at least {LEAST_FRAMES}, better {GOOD_FRAMES}, no faster than the camera takes them",
            )


def require_still(clip: Clip) -> None:
    """Raise UsageError where something moves: pixels whose values follow one another, beyond the whole picture's."""
    moving = 0.0
    if clip.rgb is not None:
        moving = max(moving, _moving_colours(clip.rgb))
    if clip.depth is not None:
        moving = max(moving, _moving_depth(clip.depth))
    if moving > _MOVES:
        raise UsageError(
            f"{clip.camera}: {moving:.0%} of the picture changes as it does when something moves",
            "record a scene in which nothing moves, nor the camera, with lamps that do not flicker",
        )


def _moving_colours(rgb: np.ndarray) -> float:
    """Return the share of the pixels of (N, H, W, 3) that change steadily, the frames' brightness aside."""
    grey = rgb.astype(np.float32).mean(axis=3).reshape(len(rgb), -1)
    level = grey.mean(axis=0)
    gains = grey @ level / max(float(level @ level), 1e-9)
    return _steady(grey / np.maximum(gains, 1e-3)[:, None], _LEVELS / 3**0.5)


def _moving_depth(depth: np.ndarray) -> float:
    """Return the share of the pixels of (N, H, W) counts whose depth, or whether there is any, changes steadily."""
    flat = depth.reshape(len(depth), -1)
    flat = flat[flat.any(axis=1)].astype(np.float32)
    if len(flat) < LEAST_FRAMES:
        return 0.0
    seen = flat > 0
    usual = np.array(
        [np.median(column[there]) if there.any() else 0.0 for column, there in zip(flat.T, seen.T, strict=True)]
    )
    filled = np.where(seen, flat, usual)
    # Noise of the disparity grows with the square of depth; half of the pixels hold it.
    typical = np.median(np.abs(np.diff(filled, axis=0)), axis=0)
    return max(_steady(filled, _STEPS * np.maximum(3.0 * typical, 4.0)), _steady(seen.astype(np.float32), 0.1))


def _steady(values: np.ndarray, least: float | np.ndarray) -> float:
    """Return the share of columns of values (N, P) that vary by ``least`` (deviation) and follow one another."""
    around = values - values.mean(axis=0)
    variance = (around**2).mean(axis=0)
    successive = (np.diff(values, axis=0) ** 2).mean(axis=0)
    moves = (variance > np.square(least)) & (successive < _FOLLOWS * variance)
    return float(moves.mean()) if moves.sum() >= _LEAST_MOVING else 0.0
