"""A calibration's folder that somebody else made: its result, its pictures, and the report that shows them.

An input is the text of ``calibration.json``, a line with three zeros, and the bytes of a picture.
"""

import json
from functools import cache
from typing import Any
from zlib import crc32

import numpy as np
from pydantic import ValidationError

from s2rctl.calibration.board import BoardDetector, board_image
from s2rctl.calibration.intrinsics import calibrate_intrinsics, project
from s2rctl.schema.calibration import Calibration, CameraPose, Intrinsics, PoseResidual, randomisation
from s2rctl.schema.deployment import Board
from s2rctl.schema.simulation import Appearance
from tests.fuzz.box import Box
from tests.fuzz.harness import Target
from tests.fuzz.mutate import Chooser, edit_tree, mutate_bytes

CUT = b"\n000\n"
HEIGHT, WIDTH = 176, 232


@cache
def seeds() -> list[bytes]:
    board = Board()
    result = Calibration(
        camera="side_cam",
        robot="xarm7",
        mode="rehearse",
        mounting="eye-to-hand",
        method="m",
        board=board,
        intrinsics=Intrinsics(width=640, height=480, fx=600.0, fy=600.0, cx=319.5, cy=239.5),
        pose=CameraPose(
            parent="base", position_m=(1, 0, 1), quaternion_opencv=(1, 0, 0, 0), quaternion_mujoco=(0, 1, 0, 0)
        ),
        covariance=tuple(tuple(1e-6 * float(i == j) for j in range(6)) for i in range(6)),
        spread_position_m=0.001,
        spread_rotation_deg=0.01,
        poses=3,
        train_px=0.2,
        held_out_px=0.3,
        held_out_position_m=0.001,
        held_out_rotation_deg=0.01,
        residuals=(
            PoseResidual(corners=9, train_px=0.2, held_out_px=0.3, held_out_position_m=0.1, held_out_rotation_deg=0.1),
        ),
    )
    picture = np.full((HEIGHT, WIDTH), 255, np.uint8)
    drawn = board_image(board, 1000)
    picture[12 : 12 + drawn.shape[0], 12 : 12 + drawn.shape[1]] = drawn
    return [result.model_dump_json().encode() + CUT + picture.tobytes()]


def shape(choose: Chooser, data: bytes) -> bytes:
    """Change the result as a tree, or the picture."""
    text, _, picture = data.partition(CUT)
    try:
        if choose.below(3):
            return json.dumps(edit_tree(choose, json.loads(text))).encode() + CUT + picture
    except (ValueError, RecursionError):
        pass
    return text + CUT + mutate_bytes(choose, picture)


def run(data: bytes, box: Box) -> Any:
    text, _, picture = data.partition(CUT)
    try:
        result = Calibration.model_validate_json(text)
    except ValidationError:
        result = Calibration.model_validate_json(seeds()[0].partition(CUT)[0])
    ranges = randomisation(result, Appearance())
    Appearance.model_validate(ranges.model_dump())  # what the next training is told is a valid profile
    camera = result.intrinsics
    with np.errstate(all="ignore"):
        project(camera, np.ones((2, 3)))
    chance = crc32(data)  # the detector takes longer than everything else
    if picture == seeds()[0].partition(CUT)[2] and chance % 4:
        return None
    pixels = np.frombuffer(picture[: HEIGHT * WIDTH].ljust(HEIGHT * WIDTH, b"\0"), np.uint8)
    view = BoardDetector(result.board).detect(pixels.reshape(HEIGHT, WIDTH).copy())
    if view is not None and chance % 16 == 0:
        calibrate_intrinsics([view] * 5, WIDTH, HEIGHT)
    return view is not None


TARGET = Target("calibration", run, seeds, shape, pure=True)
