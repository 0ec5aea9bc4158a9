"""Procedural materials and pictures: float images (n, n, 3) in [0, 1] from a random generator."""

import colorsys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from s2rctl.core.errors import UsageError
from s2rctl.core.pillow import load_image

Make = Callable[[np.random.Generator, int], np.ndarray]
MOST_PICTURES = 64


def cloud(rng: np.random.Generator, n: int, slope: float = 1.0) -> np.ndarray:
    """Return noise (n, n) in [0, 1] whose amplitude falls as 1 / frequency ** slope, as that of photographs does.

    Field, "Relations between the statistics of natural images", JOSA A 4, 1987: slope 1.
    """
    x, y = np.fft.rfftfreq(n), np.fft.fftfreq(n)[:, None]
    radius = np.hypot(x, y)
    radius[0, 0] = 1.0
    spectrum = (rng.normal(size=radius.shape) + 1j * rng.normal(size=radius.shape)) / radius**slope
    spectrum[0, 0] = 0.0
    image = np.fft.irfft2(spectrum, (n, n))
    # a normal distribution has 1 % beyond 2.3 standard deviations on each side
    return np.clip(0.5 + image / max(4.6 * float(image.std()), 1e-9), 0.0, 1.0)


def hue(rng: np.random.Generator, saturation: float, value: float) -> np.ndarray:
    """Return a colour (3,) of a random hue."""
    return np.array(colorsys.hsv_to_rgb(rng.random(), saturation, value))


def _between(share: np.ndarray, dark: np.ndarray, bright: np.ndarray) -> np.ndarray:
    return dark + share[..., None] * (bright - dark)


def _grid(n: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.arange(n) / n, np.arange(n) / n)
    return x, y


def wood(rng: np.random.Generator, n: int) -> np.ndarray:
    """Growth rings cut lengthwise."""
    x, y = _grid(n)
    rings = np.sin(2 * np.pi * (rng.uniform(4, 10) * y + 1.5 * cloud(rng, n, 1.6) + 0.4 * x))
    fibre = np.repeat(rng.random((n, n // 16)), 16, axis=1)[:, :n]
    bright = np.array([0.78, 0.6, 0.4]) * rng.uniform(0.5, 1.1) + rng.uniform(-0.05, 0.05, 3)
    return _between(0.35 + 0.25 * rings + 0.2 * fibre, 0.55 * bright, bright)


def planks(rng: np.random.Generator, n: int) -> np.ndarray:
    """Boards side by side."""
    boards = int(rng.integers(4, 9))
    image = wood(rng, n)
    _, y = _grid(n)
    row = np.minimum((y * boards).astype(int), boards - 1)
    shade = rng.uniform(0.7, 1.15, boards)[row]
    gap = np.abs(y * boards - np.round(y * boards)) < 0.04
    return image * (shade * np.where(gap, 0.4, 1.0))[..., None]


def checker(rng: np.random.Generator, n: int) -> np.ndarray:
    """Tiles of two colours."""
    x, y = _grid(n)
    tiles = int(rng.integers(4, 13))
    odd = ((x * tiles).astype(int) + (y * tiles).astype(int)) % 2
    return _between(odd.astype(float), hue(rng, 0.3, rng.uniform(0.1, 0.5)), hue(rng, 0.2, rng.uniform(0.5, 1.0)))


def cloth(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return a woven cloth with coloured stripes both ways."""
    x, y = _grid(n)
    weave = 0.5 + 0.25 * (np.sin(2 * np.pi * 32 * x) + np.sin(2 * np.pi * 32 * y))
    count = int(rng.integers(2, 7))
    stripes = (rng.random(n) < 0.1).astype(float) if rng.random() < 0.3 else (np.sin(2 * np.pi * count * x[0]) > 0.4)
    plaid = 0.5 * (np.asarray(stripes, float)[None] + np.asarray(stripes, float)[:, None])
    base, line = hue(rng, 0.5, rng.uniform(0.2, 0.9)), hue(rng, 0.6, rng.uniform(0.1, 0.9))
    return _between(plaid, base, line) * (0.85 + 0.3 * (weave - 0.5))[..., None]


def marble(rng: np.random.Generator, n: int) -> np.ndarray:
    """Veins in a bright or dark stone."""
    vein = np.abs(2 * cloud(rng, n, 1.5) - 1) ** 0.4
    stone = hue(rng, 0.08, rng.uniform(0.25, 0.95))
    return _between(vein, 0.45 * stone, stone)


def metal(rng: np.random.Generator, n: int) -> np.ndarray:
    """Brushed metal."""
    lines = np.repeat(rng.random((n, 1)), n, axis=1) * 0.7 + 0.3 * cloud(rng, n, 1.3)
    return _between(lines, hue(rng, 0.06, 0.45), hue(rng, 0.04, rng.uniform(0.6, 0.9)))


def terrazzo(rng: np.random.Generator, n: int) -> np.ndarray:
    """Chips in a plain ground."""
    patches = cloud(rng, n, 0.6)
    image = np.broadcast_to(hue(rng, 0.15, rng.uniform(0.3, 0.9)), (n, n, 3)).copy()
    for level in (0.75, 0.85, 0.93):
        image[patches > level] = hue(rng, 0.4, rng.random())
    return image


def carpet(rng: np.random.Generator, n: int) -> np.ndarray:
    """Pile of one colour."""
    pile = 0.6 * rng.random((n, n)) + 0.4 * cloud(rng, n, 0.8)
    colour = hue(rng, 0.4, rng.uniform(0.2, 0.8))
    return _between(pile, 0.6 * colour, colour)


def picture(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return what has the statistics of a photograph: 1/f colours, a bright side, objects with sharp edges."""
    tone = cloud(rng, n, 1.2)
    image = _between(tone, hue(rng, 0.5, rng.uniform(0.05, 0.4)), hue(rng, 0.35, rng.uniform(0.6, 1.0)))
    image += 0.25 * (np.stack([cloud(rng, n, 1.1) for _ in range(3)], -1) - 0.5)
    grain = 0.25 * (cloud(rng, n, 1.0) - 0.5)
    x, y = _grid(n)
    for _ in range(int(rng.integers(4, 14))):
        (u, v), (a, b) = rng.random(2), rng.uniform(0.04, 0.28, 2)
        angle = rng.uniform(0, np.pi) if rng.random() < 0.4 else 0.0
        s, t = (x - u) * np.cos(angle) + (y - v) * np.sin(angle), (y - v) * np.cos(angle) - (x - u) * np.sin(angle)
        inside = (np.abs(s) < a) & (np.abs(t) < b) if rng.random() < 0.6 else (s / a) ** 2 + (t / b) ** 2 < 1
        shade = 0.7 + 0.5 * (s / a) * rng.uniform(-1, 1) + np.roll(grain, int(rng.integers(n)), 1)
        image = np.where(
            inside[..., None], hue(rng, rng.uniform(0, 0.9), rng.uniform(0.1, 1.0)) * shade[..., None], image
        )
    return image * (0.7 + 0.5 * (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1)))[..., None]


def board(rng: np.random.Generator, n: int) -> np.ndarray:
    """Photographs, papers and shelves on a plain wall."""
    image = np.broadcast_to(hue(rng, 0.12, rng.uniform(0.5, 1.0)), (n, n, 3)).copy()
    for _ in range(int(rng.integers(2, 6))):
        part = picture(rng, n // 2)
        (row, column), (height, width) = rng.integers(0, n - n // 6, 2), rng.integers(n // 6, n // 2 + 1, 2)
        part = part[: min(height, n - row), : min(width, n - column)]
        image[row : row + part.shape[0], column : column + part.shape[1]] = part
    return image


TABLES: Mapping[str, Make] = {
    "wood": wood,
    "planks": planks,
    "checker": checker,
    "cloth": cloth,
    "marble": marble,
    "metal": metal,
    "terrazzo": terrazzo,
}
FLOORS: Mapping[str, Make] = {
    "planks": planks,
    "checker": checker,
    "carpet": carpet,
    "terrazzo": terrazzo,
    "marble": marble,
}
PICTURES: Mapping[str, Make] = {"picture": picture, "board": board}


def one_of(makers: Mapping[str, Make], rng: np.random.Generator, n: int) -> np.ndarray:
    """Return a material of a random kind."""
    names = sorted(makers)
    return np.clip(makers[names[int(rng.integers(len(names)))]](rng, n), 0.0, 1.0)


def read_pictures(folder: Path, n: int) -> Sequence[np.ndarray]:
    """Return the first photographs (n, n, 3) of a folder, by name.

    Raises UsageError for a folder without any, MissingEnvironmentError without Pillow.
    """
    pillow = load_image()
    images: list[np.ndarray] = []
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.suffix.lower() not in (".png", ".jpg", ".jpeg") or len(images) == MOST_PICTURES:
            continue
        try:
            with pillow.open(file) as image:
                images.append(np.asarray(image.convert("RGB").resize((n, n)), float) / 255)
        except (OSError, pillow.DecompressionBombError):
            continue
    if not images:
        raise UsageError(f"no photographs in {folder}", "put PNG or JPEG files there, or leave pictures empty")
    return images
