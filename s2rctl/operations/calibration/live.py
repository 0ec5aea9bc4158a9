"""What a person sees while views are taken: one picture in the session's folder, written anew for each view."""

from pathlib import Path

import cv2
import numpy as np

from s2rctl.calibration.board import draw_detection
from s2rctl.calibration.overlay import coverage_plot, ellipsoid_plot
from s2rctl.operations.calibration.collect import Live
from s2rctl.operations.calibration.session import write_picture

PICTURE = "live.png"
_GOOD, _BAD = (20, 150, 60), (210, 40, 30)


class Board:
    """Writes ``live.png``: the last picture with its corners and verdict, the coverage so far, the ellipsoid."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / PICTURE

    def __call__(self, live: Live) -> None:
        """Draw what is known now."""
        image = live.image if live.judged.seen is None else draw_detection(live.image, live.judged.seen)
        words = "used" if live.judged.good else f"not used: {live.judged.reason}"
        shown = image.copy()
        cv2.rectangle(shown, (0, 0), (shown.shape[1], 26), (255, 255, 255), -1)
        text = f"{live.views + int(live.judged.good)} of {live.wanted}: {words}"
        colour = _GOOD if live.judged.good else _BAD
        cv2.putText(shown, text, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)
        rows = [shown]
        solution = live.solution
        if solution is not None:
            views = [view.seen for view in solution.problem.views]
            rows += [
                coverage_plot(views, solution.problem.lens),
                ellipsoid_plot(solution.covariance, solution.ellipsoid(3)),
            ]
        width = shown.shape[1]
        sized = [cv2.resize(row, (width, round(row.shape[0] * width / row.shape[1]))) for row in rows]
        write_picture(self._path, np.vstack(sized))
