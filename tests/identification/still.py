"""A still scene seen by a camera with few faults, in numpy alone."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZE, FRAMES = 32, 60
CONSTANT_MM = 35130.0
NOISE, LOSS = 0.02, 0.01


def scene() -> np.ndarray:
    """Return the disparity (H, W) of ground that is flat on one side and slopes on the other, with a block, steps."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float64)
    disparity: np.ndarray = 110.0 + 0.43 * x + 0.21 * y + 2.0 * np.maximum(x - 14.0, 0.0)
    disparity[2:9, 4:12] += 60.0
    return disparity


def depth_frames(
    frames: int = FRAMES, seed: int = 0, sigma: float = 0.3, loss: float = LOSS, move: int = 0
) -> np.ndarray:
    """Return depth (N, H, W) uint16 in 0.1 mm; with ``move`` the scene moves by a pixel every so many frames."""
    rng = np.random.default_rng(seed)
    still = np.stack([np.roll(scene(), at // move if move else 0, axis=1) for at in range(frames)])
    steps = np.round(still + sigma * rng.normal(size=still.shape))
    counts = np.round(CONSTANT_MM / steps * 10.0).astype(np.uint16)
    return np.where(rng.uniform(size=counts.shape) < loss, 0, counts).astype(np.uint16)


def colour_frames(frames: int = FRAMES, seed: int = 0, drift: float = 0.05, move: int = 0) -> np.ndarray:
    """Return pictures (N, H, W, 3) uint8 with noise of ± NOISE, brightness ± ``drift``."""
    rng = np.random.default_rng(seed)
    picture = np.random.default_rng(7).uniform(50, 180, (SIZE, SIZE, 3))
    still = np.stack([np.roll(picture, at // move if move else 0, axis=1) for at in range(frames)])
    gains = rng.uniform(1 - drift, 1 + drift, (frames, 1, 1, 1))
    noise = 255.0 * NOISE * (rng.integers(0, 256, still.shape) / 127.5 - 1.0)  # as training draws it
    return np.clip(np.round(still * gains + noise), 0, 255).astype(np.uint8)


def flat_frame(vignette: float, seed: int = 0) -> np.ndarray:
    """Return a picture (H, W, 3) uint8 of an evenly lit wall."""
    y, x = np.meshgrid(np.linspace(-1, 1, SIZE), np.linspace(-1, 1, SIZE), indexing="ij")
    shade = 170.0 * (1.0 - vignette * 0.5 * (x * x + y * y))
    noise = 255.0 * NOISE * np.random.default_rng(seed).uniform(-1, 1, (SIZE, SIZE, 3))
    return np.clip(np.round(shade[..., None] + noise), 0, 255).astype(np.uint8)


def write_folder(folder: Path, rgb: np.ndarray | None, depth: np.ndarray | None, name: str = "") -> Path:
    """Write frames as PNG files: colour 8-bit, depth 16-bit."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, pictures in (("rgb", rgb), ("depth", depth)):
        for number, picture in enumerate(() if pictures is None else pictures):
            Image.fromarray(picture).save(folder / f"{kind}_{name}_{number:03d}.png")
    return folder
