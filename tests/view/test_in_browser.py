"""The page in a real browser: it draws, its console stays silent, and its buttons do what they say."""

import threading

import pytest

pytest.importorskip("viser")

from s2rctl.core.interrupt import Interrupt
from s2rctl.view.page import Page
from s2rctl.view.recording import Playback
from s2rctl.view.run import run
from tests.view.chromium import CHROMIUM, tab
from tests.view.rigs import episodes, recording

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture
def serve():
    interrupt, threads, pages = Interrupt(), [], []

    def served(show) -> Page:
        pages.append(Page(show, port=0))
        threads.append(threading.Thread(target=run, args=(pages[-1], interrupt)))
        threads[-1].start()
        return pages[-1]

    yield served
    interrupt.requested = True
    for thread, page in zip(threads, pages, strict=True):
        thread.join(60)
        page.close()


def test_a_policy_is_watched_paused_stepped_and_disturbed(serve, tmp_path) -> None:
    page = serve(episodes())
    with tab(tmp_path) as browser:
        browser.open(page.url)
        browser.wait_for(r"successes: 0 of [1-9]")
        browser.press("Pause")
        browser.wait_for(r"\bPlay\n+Step")
        browser.press("Begin again")
        browser.wait_for(r"step 0 of 8")
        browser.press("Step")
        browser.wait_for(r"step 1 of 8")
        before = page.show.data.body("ball").xpos.copy()
        browser.press("Move it")
        browser.press("Other seed")
        browser.wait_for(r"seed: 4[\s\S]*")
        assert page.show.seed == 4 and page.show.data.body("ball").xpos == pytest.approx(before, abs=1e-3)
        browser.picture(tmp_path / "page.png")
        assert browser.errors == []


def test_a_recording_is_watched_to_its_end(serve, tmp_path) -> None:
    page = serve(Playback(recording(tmp_path / "a.mcap", 15)))
    with tab(tmp_path) as browser:
        browser.open(page.url)
        said = browser.wait_for(r"outcome: time: <b>over</b>")
        assert "step: 14 of 14" in said and "side" in said
        assert browser.errors == []
        assert browser.run("document.querySelector('img[alt=side]').naturalWidth") == 8
