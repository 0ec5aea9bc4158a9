import subprocess
from pathlib import Path

import numpy as np
import pytest

from s2rctl.evaluation.film import compose, enlarge, write_mp4


def test_enlarge_repeats_pixels() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    big = enlarge(image, 3)
    assert big.shape == (6, 6, 3)
    assert (big[:3, :3] == image[0, 0]).all()
    assert (big[3:, 3:] == image[1, 1]).all()


def test_insets_stand_in_the_corner_and_leave_the_rest_alone() -> None:
    frame = np.zeros((240, 320, 3), np.uint8)
    insets = [np.full((32, 32, 3), 100, np.uint8), np.full((32, 32, 3), 200, np.uint8)]
    result = compose(frame, insets)
    assert (result[:100] == 0).all()
    assert (result[-20, -20] == 200).all()  # the last inset is rightmost
    assert (result == 100).any()
    assert (frame == 0).all()


def test_inset_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        compose(np.zeros((40, 40, 3), np.uint8), [np.zeros((39, 39, 3), np.uint8)])


def test_mp4_has_the_frames(tmp_path: Path) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    frames = [np.full((64, 96, 3), 20 * i, np.uint8) for i in range(10)]
    path = tmp_path / "film.mp4"
    write_mp4(path, frames, 96, 64, 20.0)
    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert count == 10
    assert seconds == pytest.approx(0.5, abs=0.06)
    info = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path)], capture_output=True, text=True, check=False
    )
    assert "h264" in info.stderr


def test_wrong_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        write_mp4(tmp_path / "film.mp4", [np.zeros((64, 64, 3), np.uint8)], 96, 64, 20.0)
