"""Small square pictures for surfaces and backgrounds: made ones, and those of the user's folder.

Made ones follow the "dead leaves" model: shapes of all sizes thrown one over the other, which has the statistics of
photographs (A. Lee, D. Mumford and J. Huang, 2001) without being of anything.
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from s2rctl.core.errors import ProfileError
from s2rctl.core.pillow import load_image

SIDE = 64
"""Pixels of a picture's side: about what a policy camera has over its field of view."""
MADE = 24
MOST = 64
"""Pictures taken from a folder, evenly among its names."""
_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp")
_LEAVES = 160


class Pictures(NamedTuple):
    """What a renderer gets; the user's own are the last ``own``."""

    tiles: np.ndarray  # (T, SIDE, SIDE, 3) uint8
    own: int

    @property
    def mean(self) -> np.ndarray:
        """Mean colours (T, 3) in [0, 1]."""
        colours: np.ndarray = self.tiles.mean(axis=(1, 2), dtype=np.float64).astype(np.float32) / 255.0
        return colours


def load_pictures(folder: str | None) -> Pictures:
    """Return the made pictures and those of ``folder``; ProfileError when it cannot be read or holds none."""
    made = made_pictures()
    if folder is None:
        return Pictures(made, 0)
    own = _own(Path(folder).expanduser())
    return Pictures(np.concatenate([made, own]), len(own))


@lru_cache(maxsize=1)
def made_pictures() -> np.ndarray:
    """Return MADE pictures (MADE, SIDE, SIDE, 3) uint8, always the same."""
    rng = np.random.default_rng(20)
    return np.stack([_leaves(rng) for _ in range(MADE)])


def _leaves(rng: np.random.Generator) -> np.ndarray:
    """Return one picture: shaded ellipses and boxes, sizes by a power law, under one light and with some grain."""
    fine = 2 * SIDE
    y, x = np.mgrid[0:fine, 0:fine] / fine
    base = rng.uniform(0.1, 0.9, 3)
    image = np.broadcast_to(base, (fine, fine, 3)).copy()
    for number in range(_LEAVES):
        radius = 0.02 / max(rng.uniform(), 0.05 + 0.5 * number / _LEAVES) ** 0.9 * (3.0 if number < 12 else 1.0)
        angle, aspect = rng.uniform(0, np.pi), rng.uniform(0.25, 1.0)
        cx, cy = rng.uniform(-0.1, 1.1, 2)
        u = (np.cos(angle) * (x - cx) + np.sin(angle) * (y - cy)) / radius
        v = (-np.sin(angle) * (x - cx) + np.cos(angle) * (y - cy)) / (radius * aspect)
        inside = u * u + v * v < 1 if rng.uniform() < 0.5 else np.maximum(np.abs(u), np.abs(v)) < 0.8
        grey = rng.uniform(0.02, 1.0)
        colour = np.clip(grey + rng.normal(0, 0.18, 3) + 0.3 * (base - base.mean()), 0, 1)
        shade = 1.0 + rng.uniform(-0.4, 0.4) * u[inside] + rng.uniform(-0.2, 0.2) * v[inside]
        image[inside] = np.clip(colour * shade[:, None], 0, 1)
    slope = rng.uniform(-0.4, 0.4, 2)
    image *= (1.0 + slope[0] * (x - 0.5) + slope[1] * (y - 0.5))[..., None]
    image += rng.normal(0, 0.02, image.shape)
    small = image.reshape(SIDE, 2, SIDE, 2, 3).mean(axis=(1, 3))
    tile: np.ndarray = np.clip(255.0 * small, 0, 255).astype(np.uint8)
    return tile


def _own(folder: Path) -> np.ndarray:
    """Return the folder's pictures (n, SIDE, SIDE, 3) uint8, each the largest square in its middle."""
    pillow = load_image()
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix.lower() in _ENDINGS)
    except OSError as error:
        raise ProfileError(
            f"vision.backgrounds: cannot read the folder {folder}: {error}", "name one that exists"
        ) from error
    if not files:
        raise ProfileError(
            f"vision.backgrounds: {folder} contains no pictures", f"put {', '.join(_ENDINGS)} files into it"
        )
    chosen = [files[int(i)] for i in np.unique(np.linspace(0, len(files) - 1, min(MOST, len(files))).astype(int))]
    tiles = []
    for file in chosen:
        try:
            with pillow.open(file) as opened:
                picture = opened.convert("RGB")
        except (OSError, ValueError, SyntaxError, pillow.DecompressionBombError) as error:
            raise ProfileError(f"vision.backgrounds: {file} is not a readable picture: {error}", "remove it") from error
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        box = (left, top, left + side, top + side)
        tiles.append(np.asarray(picture.resize((SIDE, SIDE), pillow.Resampling.BOX, box), np.uint8))
    return np.stack(tiles)
