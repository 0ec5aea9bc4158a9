"""The page beside a calibration: it tells what is known by then, and draws it where it is."""

import numpy as np
import pytest

pytest.importorskip("viser")

from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.operations.calibration.arm import Watched
from s2rctl.operations.calibration.session import Session
from s2rctl.operations.calibration.work import Work
from s2rctl.store.store import Store
from s2rctl.view.collecting import MAGNIFIED, CollectPage
from tests.calibration.test_collect import PROFILE, driven, go, made

__all__ = ["made"]  # a fixture


@pytest.fixture
def page(tmp_path):
    opened = CollectPage(Work(PROFILE, Store(tmp_path / "store"), NullReporter(), Interrupt(), "rehearse"), port=0)
    yield opened
    opened.close()


def test_each_view_is_told_and_drawn(made, page, tmp_path) -> None:
    _, eye, source = driven(made)
    source._eye = Watched(eye, page.see)
    told, shown = [], []

    def show(live) -> None:
        page(live)
        told.append(page._words.content)
        shown.append((live.solution, set(page._gallery.names)))

    found = go(made, Session(tmp_path / "session"), source, show=show)
    assert len(found.views) == 6
    assert all(f"{number} of 6" in words and "used" in words for number, words in enumerate(told, 1))
    assert {"camera now", "last picture", "coverage", "render over the picture"} <= shown[0][1]
    solution, names = shown[-1]
    assert solution is not None and "error of the camera's place" in names and "half axes" in told[-1]
    # drawn where it was found, and as large as its uncertainty is, magnified
    place = page._ellipsoid.position
    assert place == pytest.approx(made.truth.camera[:3, 3], abs=0.02), "the base is the world here"
    longest = np.linalg.norm(page._ellipsoid.vertices, axis=1).max()
    axes = np.linalg.eigvalsh(solution.covariance[:3, :3]) * solution.ellipsoid(3)
    assert longest == pytest.approx(MAGNIFIED * np.sqrt(axes[-1]), rel=0.03)
    assert page._plate.visible
