"""The page beside a calibration: it tells what is known by then, and draws it where it is."""

import os
import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import numpy as np
import pytest

pytest.importorskip("viser")

from s2rctl.calibration.hand_eye import solve
from s2rctl.calibration.quality import Judge
from s2rctl.calibration.rehearse import Printer
from s2rctl.core.channel import receive, send
from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.core.spatial import inverse
from s2rctl.operations.calibration.arm import Watched
from s2rctl.operations.calibration.collect import Live
from s2rctl.operations.calibration.work import Work
from s2rctl.robots.cameras.stream import Shot
from s2rctl.schema.load import load_profile
from s2rctl.store.store import Store
from s2rctl.view import remote_page
from s2rctl.view.collecting import MAGNIFIED, CollectPage
from s2rctl.view.glance import glance, message, of_message
from s2rctl.view.remote_page import RemotePage
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
    opened = CollectPage(PROFILE, PROFILE.calibration.board, port=0)
    yield opened
    opened.close()


class Notes(NullReporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def work(tmp_path):
    return Work(PROFILE, Store(tmp_path / "store"), Notes(), Interrupt(), "rehearse")


def views():
    """Two views as ``collect`` tells them: one that is used, with nothing known yet; then an empty one, all known."""
    made = bench("xarm7-reach", 5)
    problem = made.problem(8, joint_deg=0.02)
    lens, reading = problem.lens, problem.views[0].reading
    board = inverse(made.truth.camera) @ made.stand.chain.motion(reading) @ made.truth.board
    grey = np.full((lens.height, lens.width, 3), 90, np.uint8)
    picture = Printer(PROFILE.calibration, lens).photograph(grey, board, made.rng)
    judge = Judge(PROFILE.calibration.board, lens)
    judged = judge.judge(picture)
    assert judged.good and judged.seen is not None
    first = Live(picture, judged, None, 0, 9, lens, reading)
    return made, first, Live(grey, judge.judge(grey), solve(problem), 8, 9, lens, reading, (judged.seen,))


def test_each_view_is_told_and_drawn(page) -> None:
    made, first, second = views()
    Watched(Camera(first.image), page.see).shot()
    assert page._gallery.names == ("camera now",)
    page(glance(first))
    assert "1 of 9" in page._words.content and "where the scene has it" in page._words.content
    assert set(page._gallery.names) == {"camera now", "last picture", "coverage", "render over the picture"}

    page(of_message(message(glance(second))))
    assert "8 of 9" in page._words.content and "not used" in page._words.content and "half axes" in page._words.content
    assert "error of the camera's place" in page._gallery.names
    # drawn where it was found, and as large as its uncertainty is, magnified
    assert page._ellipsoid.position == pytest.approx(made.truth.camera[:3, 3], abs=0.02), "the base is the world here"
    longest = np.linalg.norm(page._ellipsoid.vertices, axis=1).max()
    solution = second.solution
    axes = np.linalg.eigvalsh(solution.covariance[:3, :3]) * solution.ellipsoid(3)
    assert longest == pytest.approx(MAGNIFIED * np.sqrt(axes[-1]), rel=0.03)
    assert page._plate.visible


def test_a_glance_goes_to_another_process_and_is_the_same_there() -> None:
    _, *lives = views()
    for live in lives:
        told = glance(live)
        mine, theirs = socket.socketpair()
        with mine, theirs, ThreadPoolExecutor(1) as sender:
            sent = sender.submit(send, mine, message(told))
            heard = of_message(receive(theirs, 10.0))
            sent.result()
        np.testing.assert_equal(asdict(heard) | {"lens": None}, asdict(told) | {"lens": None})
        assert heard.lens == told.lens


def test_the_page_is_served_by_a_process_that_gives_way_and_ends_with_us(work, monkeypatch) -> None:
    monkeypatch.setattr(remote_page, "END_S", 120.0)  # it gives way to other tests, too
    _, first, second = views()
    page = RemotePage(work, port=0)
    try:
        with urllib.request.urlopen(page.url, timeout=30) as answer:
            assert answer.status == 200 and b"<html" in answer.read(4000).lower()
        process = page._process.pid
        assert os.getpriority(os.PRIO_PROCESS, process) > os.getpriority(os.PRIO_PROCESS, 0)
        for live in (first, second):
            page.see(live.image)
            page(live)
    finally:
        page.close()
    assert page._process.poll() == 0, "all was shown without a fault"
    assert work.reporter.notes == []


def test_a_page_that_dies_ends_nothing_else(work) -> None:
    _, first, _ = views()
    page = RemotePage(work, port=0)
    page._process.kill()
    page._process.wait()
    for _ in range(20):
        page.see(first.image)
        page(first)
    page.close()
    assert work.reporter.notes == ["the page has closed; collecting goes on without it"]


def test_an_address_nobody_can_listen_on_is_told_here(work) -> None:
    with pytest.raises(MissingEnvironmentError, match=r"cannot listen on 203\.0\.113\.7"):
        RemotePage(work, "203.0.113.7")
