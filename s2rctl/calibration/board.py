"""The ChArUco board: its picture for printing, and finding it in an image.

Board frame: origin at the outer corner of the first square, x along the columns, y along the rows as printed
downwards, z into the board. Boards of other programs may have another pattern: print this one, and measure a square.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from s2rctl.core.atomic import write_atomic
from s2rctl.schema.deployment import Board

MIN_CORNERS = 8
"""Fewer corners do not fix a pose well."""
_POINT = 72 / 25.4  # PDF points per mm
_MARGIN_MM = 20.0
_PRINT_PIXELS_PER_MM = 20


@dataclass(frozen=True)
class Detection:
    """Corners of the board found in one image."""

    ids: np.ndarray  # (n,)
    pixels: np.ndarray  # (n, 2)
    points: np.ndarray  # (n, 3) m, board frame


def make_board(board: Board) -> cv2.aruco.CharucoBoard:
    """Return OpenCV's board."""
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_100)
    return cv2.aruco.CharucoBoard((board.columns, board.rows), board.square_m, board.marker_m, dictionary)


def board_size(board: Board) -> tuple[float, float]:
    """Return width and height in m."""
    return board.columns * board.square_m, board.rows * board.square_m


def board_image(board: Board, pixels_per_metre: float) -> np.ndarray:
    """Return the picture (H, W) uint8 of the board without a margin."""
    side = max(8, round(board.square_m * pixels_per_metre))
    return np.asarray(make_board(board).generateImage((board.columns * side, board.rows * side)))


class BoardDetector:
    """Finds one kind of board."""

    def __init__(self, board: Board) -> None:
        made = make_board(board)
        self._corners = np.asarray(made.getChessboardCorners(), float)
        self._detector = cv2.aruco.CharucoDetector(made)

    def detect(self, image: np.ndarray) -> Detection | None:
        """Return the corners in a grey (H, W) or RGB (H, W, 3) uint8 image, None if fewer than 8 are seen."""
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
        pixels, ids, _, _ = self._detector.detectBoard(grey)
        if ids is None or len(ids) < MIN_CORNERS:
            return None
        numbers = np.asarray(ids).reshape(-1)
        return Detection(numbers, np.asarray(pixels, float).reshape(-1, 2), self._corners[numbers])


def draw_detection(image: np.ndarray, detection: Detection) -> np.ndarray:
    """Return an RGB copy of the image with the corners marked."""
    drawn = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image.copy()
    for u, v in detection.pixels:
        cv2.circle(drawn, (round(u * 16), round(v * 16)), 48, (0, 230, 0), 1, cv2.LINE_AA, 4)
    return drawn


def write_board(board: Board, folder: Path) -> tuple[Path, Path]:
    """Write ``board.png`` and ``board.pdf`` (to be printed at 100 %, with a ruler of 100 mm); return their paths."""
    image = board_image(board, _PRINT_PIXELS_PER_MM * 1000)
    _, png = cv2.imencode(".png", image)
    write_atomic(folder / "board.png", png.tobytes())
    write_atomic(folder / "board.pdf", _pdf(board, image))
    return folder / "board.png", folder / "board.pdf"


def _pdf(board: Board, image: np.ndarray) -> bytes:
    """Return a PDF of one page as large as the board with a margin."""
    width_mm, height_mm = (1000 * side for side in board_size(board))
    page = (width_mm + 2 * _MARGIN_MM) * _POINT, (height_mm + 2 * _MARGIN_MM) * _POINT
    left, low = _MARGIN_MM * _POINT, _MARGIN_MM * _POINT
    label = (
        f"{board.columns} x {board.rows} squares of {1000 * board.square_m:g} mm, "
        f"markers {1000 * board.marker_m:g} mm, DICT_5X5_100. Print at 100 %; the line is 100 mm long."
    )
    drawing = (
        f"q {width_mm * _POINT:.4f} 0 0 {height_mm * _POINT:.4f} {left:.4f} {low:.4f} cm /B Do Q\n"
        f"0.5 w {left:.4f} {low / 2:.4f} m {left + 100 * _POINT:.4f} {low / 2:.4f} l S\n"
        f"BT /F 8 Tf {left:.4f} {low / 2 - 12:.4f} Td ({label}) Tj ET\n"
    ).encode()
    packed = zlib.compress(image.tobytes(), 9)
    rows, columns = image.shape
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {page[0]:.4f} {page[1]:.4f}] /Contents 4 0 R "
            "/Resources << /XObject << /B 5 0 R >> /Font << /F 6 0 R >> >> >>"
        ).encode(),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawing), drawing),
        (
            f"<< /Type /XObject /Subtype /Image /Width {columns} /Height {rows} /ColorSpace /DeviceGray "
            f"/BitsPerComponent 8 /Filter /FlateDecode /Length {len(packed)} >>\nstream\n"
        ).encode()
        + packed
        + b"\nendstream",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    return _assemble(bodies)


def _assemble(bodies: list[bytes]) -> bytes:
    """Return a PDF file of numbered objects with its cross-reference table."""
    file, places = b"%PDF-1.4\n", []
    for number, body in enumerate(bodies, 1):
        places.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(bodies) + 1
    return (
        file
        + b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, table)
        + (b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(file)))
    )
