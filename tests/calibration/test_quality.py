"""Pictures of the board that a person must take again, or must not take at all."""

import cv2
import numpy as np
import pytest

from s2rctl.calibration.quality import Judge, coverage
from s2rctl.calibration.rehearse import Printer
from s2rctl.core.errors import UsageError
from s2rctl.core.spatial import from_rotation_vector, transform
from s2rctl.schema.cameras import Intrinsics
from s2rctl.schema.deployment import Calibration

SETTINGS = Calibration(camera="side", pixel_noise=2.0)
LENS = Intrinsics(width=640, height=480, fx=600, fy=600, cx=330, cy=230)
POSE = transform((-0.1, -0.07, 0.5), from_rotation_vector([0.3, -0.2, 0.1]))
GREY = np.full((480, 640, 3), 110, np.uint8)


def picture(pose=POSE, **changes) -> np.ndarray:
    printer = Printer(SETTINGS.model_copy(update=changes), LENS)
    return printer.photograph(GREY, pose, np.random.default_rng(0))


def test_a_good_picture_is_taken_and_its_pose_is_right() -> None:
    judged = Judge(SETTINGS.board, LENS).judge(picture())
    assert judged.good and judged.pose is not None and judged.seen is not None
    assert judged.pose == pytest.approx(POSE, abs=2e-3)
    assert judged.residual_px < 0.3 and judged.edge_px < 2.5
    assert coverage([judged.seen], 640, 480).sum() == len(judged.seen.ids)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (picture(blur_px=1.25), "blurred: edges"),
        (picture(blur_px=2.5), "too blurred"),
        (picture(exposure=0.12), "contrast"),
        (GREY, "not in sight"),
        (cv2.blur(picture(), (1, 15)), "blurred"),
    ],
)
def test_pictures_to_take_again(image, reason) -> None:
    judged = Judge(SETTINGS.board, LENS).judge(image)
    assert not judged.good and reason in judged.reason


def test_a_slight_blur_passes() -> None:
    assert Judge(SETTINGS.board, LENS).judge(picture(blur_px=0.7)).good


def test_the_same_view_again_tells_nothing_new() -> None:
    judge = Judge(SETTINGS.board, LENS)
    first = judge.judge(picture())
    again = judge.judge(picture(), [first.pose])
    assert "as in an earlier picture" in again.reason


def test_a_mirrored_picture_is_refused() -> None:
    with pytest.raises(UsageError, match="mirrored"):
        Judge(SETTINGS.board, LENS).judge(np.ascontiguousarray(picture()[:, ::-1]))


def test_swapped_rows_and_columns_are_told() -> None:
    board = SETTINGS.board.model_copy(update={"columns": 5, "rows": 7})
    with pytest.raises(UsageError, match="7 columns and 5 rows") as caught:
        Judge(board, LENS).judge(picture())
    assert "calibration.board.columns=7" in caught.value.hint


def test_pictures_of_another_size_are_refused() -> None:
    with pytest.raises(UsageError, match="is 320 x 240") as caught:
        Judge(SETTINGS.board, LENS).judge(cv2.resize(picture(), (320, 240)))
    assert "one size" in caught.value.hint
