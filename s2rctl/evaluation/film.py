"""Videos of episodes: the scene large, what the policy saw in the corner, as H.264 that every browser plays."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from s2rctl.core.errors import MissingEnvironmentError, RunError

_MARGIN = 8  # px between insets and the border


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """Return the image (H, W, 3) with each pixel repeated ``factor`` times on both axes, without smoothing."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def compose(
    frame: np.ndarray, insets: Sequence[np.ndarray], border: tuple[int, int, int] = (255, 255, 255)
) -> np.ndarray:
    """Return the frame (H, W, 3) with framed insets side by side in the lower right corner.

    Each inset is enlarged by the whole factor that brings it closest to, and not above, 36 % of the frame's height.
    """
    result = frame.copy()
    height, width = frame.shape[:2]
    right = width - _MARGIN
    for inset in reversed(insets):
        big = enlarge(inset, max(1, int(0.36 * height) // inset.shape[0]))
        tall, wide = big.shape[:2]
        top, left = height - _MARGIN - tall, right - wide
        if top < 2 or left < 2:
            raise ValueError(f"an inset of {inset.shape[:2]} does not fit a frame of {frame.shape[:2]}")
        result[top - 2 : top + tall + 2, left - 2 : right + 2] = border
        result[top : top + tall, left:right] = big
        right = left - _MARGIN
    return result


def write_mp4(path: Path, frames: Iterable[np.ndarray], width: int, height: int, rate_hz: float) -> None:
    """Write uint8 frames (height, width, 3) as an MP4 file; width and height must be even.

    Raises MissingEnvironmentError without imageio-ffmpeg, RunError if the encoder fails.
    """
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise MissingEnvironmentError("videos need imageio-ffmpeg", "pip install 's2rctl[sim]'") from error
    writer = imageio_ffmpeg.write_frames(
        str(path), (width, height), fps=rate_hz, codec="libx264", quality=None,
        output_params=["-crf", "27", "-preset", "veryfast", "-movflags", "+faststart"], macro_block_size=2,
    )  # fmt: skip
    try:
        with warnings.catch_warnings():
            # JAX warns of every fork; this one only starts the encoder.
            warnings.filterwarnings("ignore", message=r"os\.fork\(\)", category=RuntimeWarning)
            writer.send(None)
        for frame in frames:
            if frame.shape != (height, width, 3) or frame.dtype != np.uint8:
                raise ValueError(f"expected uint8 {(height, width, 3)}, got {frame.dtype} {frame.shape}")
            writer.send(np.ascontiguousarray(frame))
    except OSError as error:
        raise RunError(f"the video {path.name} could not be written", "free disk space and run again") from error
    finally:
        writer.close()
