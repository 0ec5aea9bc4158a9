"""The page beside a calibration: it tells what is known by then, and draws it where it is."""

import numpy as np
import pytest

pytest.importorskip("viser")

from s2rctl.calibration.hand_eye import solve
from s2rctl.calibration.quality import Judge
from s2rctl.calibration.rehearse import Printer
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.core.spatial import inverse
from s2rctl.operations.calibration.arm import Watched
from s2rctl.operations.calibration.collect import Live
from s2rctl.operations.calibration.work import Work
from s2rctl.robots.cameras.stream import Shot
from s2rctl.schema.load import load_profile
from s2rctl.store.store import Store
from s2rctl.view.collecting import MAGNIFIED, CollectPage
from tests.calibration.helpers import bench

PROFILE = load_profile("xarm7-reach", ["calibration.pixel_noise=1"]).profile


class Camera:
    serial, lens = "77", None

    def __init__(self, picture) -> None:
        self.picture = picture

    def shot(self) -> Shot:
        return Shot(0.0, self.picture)

    def close(self) -> None:
        pass


@pytest.fixture
def page(tmp_path):
    opened = CollectPage(Work(PROFILE, Store(tmp_path / "store"), NullReporter(), Interrupt(), "rehearse"), port=0)
    yield opened
    opened.close()


def test_each_view_is_told_and_drawn(page) -> None:
    made = bench("xarm7-reach", 5)
    problem = made.problem(8, joint_deg=0.02)
    lens, reading = problem.lens, problem.views[0].reading
    board = inverse(made.truth.camera) @ made.stand.chain.motion(reading) @ made.truth.board
    grey = np.full((lens.height, lens.width, 3), 90, np.uint8)
    picture = Printer(PROFILE.calibration, lens).photograph(grey, board, made.rng)
    judged = Judge(PROFILE.calibration.board, lens).judge(picture)
    assert judged.good

    Watched(Camera(picture), page.see).shot()
    assert page._gallery.names == ("camera now",)
    page(Live(picture, judged, None, 0, 9, lens, reading))
    assert "1 of 9" in page._words.content and "where the scene has it" in page._words.content
    assert set(page._gallery.names) == {"camera now", "last picture", "coverage", "render over the picture"}

    solution = solve(problem)
    page(Live(grey, Judge(PROFILE.calibration.board, lens).judge(grey), solution, 8, 9, lens, reading))
    assert "8 of 9" in page._words.content and "not used" in page._words.content and "half axes" in page._words.content
    assert "error of the camera's place" in page._gallery.names
    # drawn where it was found, and as large as its uncertainty is, magnified
    assert page._ellipsoid.position == pytest.approx(made.truth.camera[:3, 3], abs=0.02), "the base is the world here"
    longest = np.linalg.norm(page._ellipsoid.vertices, axis=1).max()
    axes = np.linalg.eigvalsh(solution.covariance[:3, :3]) * solution.ellipsoid(3)
    assert longest == pytest.approx(MAGNIFIED * np.sqrt(axes[-1]), rel=0.03)
    assert page._plate.visible
