"""Runs a show at the pace of the clock, or at the one that a person asks for, until somebody ends it."""

import time
from collections import deque
from typing import Any

from s2rctl.core.interrupt import Interrupt
from s2rctl.view.moment import Moment
from s2rctl.view.page import Page
from s2rctl.view.recording import Playback

_WAIT_S = 0.01
_LOOK_AGAIN_S = 0.5
_REMEMBERED = 40
"""Steps over which frame rate and load are told."""


class Pace:
    """When the next step is due, and what the last ones cost."""

    def __init__(self, period_s: float) -> None:
        self._period = period_s
        self._due = time.monotonic()
        self._began: deque[float] = deque(maxlen=_REMEMBERED)
        self._took: deque[float] = deque(maxlen=_REMEMBERED)
        self.frames = 0

    def is_due(self) -> bool:
        """Return whether the next step should be taken now."""
        return time.monotonic() >= self._due

    def took(self, begun: float, speed: float) -> None:
        """Note a step that began at ``begun`` (monotonic s) and is over; at most two late ones are caught up on."""
        now = time.monotonic()
        self.frames += 1
        self._began.append(begun)
        self._took.append(now - begun)
        period = self._period / speed
        self._due = max(self._due + period, now - 2 * period)

    @property
    def load(self) -> float:
        """Time that a step takes, as a part of the control period; above 1 real time is not kept."""
        return sum(self._took) / len(self._took) / self._period if self._took else 0.0

    @property
    def rate_hz(self) -> float:
        """Frames per second over the last steps."""
        if len(self._began) < 2:
            return 0.0
        return (len(self._began) - 1) / max(1e-9, self._began[-1] - self._began[0])

    def text(self) -> str:
        """Return rate and load in words."""
        return f"{self.rate_hz:.0f} frames per second, load {self.load:.2f}"


def run(page: Page, interrupt: Interrupt, seconds: float | None = None) -> dict[str, Any]:
    """Show until somebody asks to stop, or for so many seconds after the first moment; return what was shown."""
    show, controls = page.show, page.controls
    moment = show.begin()
    page.draw(moment)
    begun, looked = time.monotonic(), time.monotonic()
    cpu = time.process_time()
    pace = Pace(show.period_s)
    while not interrupt.requested and (seconds is None or time.monotonic() - begun < seconds):
        asked = controls.obey()
        if asked is not None:
            moment = asked
            page.draw(moment, pace.text())
        if isinstance(show, Playback) and time.monotonic() - looked > _LOOK_AGAIN_S:
            moment, looked = _newer(show, moment, page, pace), time.monotonic()
        if controls.paused or moment.last or not pace.is_due():
            time.sleep(_WAIT_S)
            continue
        start = time.monotonic()
        moment = show.advance()
        page.draw(moment, pace.text())
        pace.took(start, controls.speed)
    elapsed = time.monotonic() - begun
    return {
        "url": page.url,
        "seconds": round(elapsed, 3),
        "frames": pace.frames,
        "frames_per_s": round(pace.frames / elapsed, 2) if elapsed > 0 else 0.0,
        "load": round(pace.load, 3),
        "cpu_s_per_frame": round((time.process_time() - cpu) / max(1, pace.frames), 4),
    }


def _newer(show: Playback, moment: Moment, page: Page, pace: Pace) -> Moment:
    """Return the moment to go on from: of a recording that has grown since, the last one shown is not its last."""
    if not show.refresh() or not moment.last or page.controls.paused:
        return moment
    moment = show.advance()
    page.draw(moment, pace.text())
    return moment
