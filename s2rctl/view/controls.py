"""What a person can ask for on the page. Viser calls back in threads of its own: they only note what was asked."""

import queue
from collections.abc import Callable
from typing import Any

import numpy as np

from s2rctl.view.episodes import Episodes
from s2rctl.view.moment import Moment, Show
from s2rctl.view.recording import Playback

SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Times the real one."""
_NUDGE_CM = (3.0, 0.0, 0.0)


class Controls:
    """Buttons beside a show. ``obey`` does what was asked since, in the caller's thread."""

    def __init__(self, server: Any, show: Show) -> None:
        self._asked: queue.SimpleQueue[Callable[[], Moment | None]] = queue.SimpleQueue()
        self._show, self._gui = show, server.gui
        self.paused, self.speed = False, 1.0
        self.scrub: Any = None
        with self._gui.add_folder("Play"):
            self._pause = self._button("Pause", self._toggle)
            self._button("Step", self._step)
            speed = self._gui.add_dropdown("Speed", [f"{value:g}" for value in SPEEDS], initial_value="1")
            speed.on_update(lambda _: self.ask(lambda: self._faster(float(speed.value))))
            if isinstance(show, Playback):
                self.scrub = self._gui.add_slider(
                    "Time step", min=0, max=max(1, show.length - 1), step=1, initial_value=0
                )
                self.scrub.on_update(lambda event: self._scrubbed(event, show))
        if isinstance(show, Episodes):
            self._of_episodes(show)

    def ask(self, wish: Callable[[], Moment | None]) -> None:
        """Note what is to be done; from any thread."""
        self._asked.put(wish)

    def obey(self) -> Moment | None:
        """Do what was asked; return the last moment that came of it."""
        moment = None
        while not self._asked.empty():
            found = self._asked.get()()
            moment = moment if found is None else found
        return moment

    def follow(self, moment: Moment) -> None:
        """Let the slider tell the step that is shown."""
        if isinstance(self._show, Playback) and self.scrub is not None:
            most = max(1, self._show.length - 1)
            if self.scrub.max != most:
                self.scrub.max = most
            if self.scrub.value != moment.step:
                self.scrub.value = moment.step

    def _of_episodes(self, show: Episodes) -> None:
        gui = self._gui
        with gui.add_folder("Episode"):
            seed = gui.add_number("Seed", initial_value=show.seed, min=0, step=1)

            @seed.on_update
            def typed(event: Any) -> None:
                if event.client is not None:  # a person, not this page itself
                    self.ask(lambda: show.restart(int(seed.value)))

            def other() -> Moment:
                moment = show.restart(show.seed + 1)
                seed.value = show.seed
                return moment

            self._button("Begin again", lambda: show.restart(show.seed))
            self._button("Other seed", other)
            if show.has_looks:
                self._button("Other look", show.look)
        if show.objects:
            with gui.add_folder("Perturb"):
                what = gui.add_dropdown("Object", list(show.objects), initial_value=show.objects[0])
                way = gui.add_vector3("Way in cm", initial_value=_NUDGE_CM, step=0.5)
                self._button("Move it", lambda: show.nudge(what.value, np.array(way.value) / 100))

    def _button(self, name: str, wish: Callable[[], Moment | None]) -> Any:
        button = self._gui.add_button(name)
        button.on_click(lambda _: self.ask(wish))
        return button

    def _toggle(self) -> None:
        self.paused = not self.paused
        self._pause.label = "Play" if self.paused else "Pause"

    def _step(self) -> Moment:
        if not self.paused:
            self._toggle()
        return self._show.advance()

    def _faster(self, speed: float) -> None:
        self.speed = speed

    def _scrubbed(self, event: Any, show: Playback) -> None:
        """Go where a person drags the slider; where the page itself moves it, nobody did."""
        if event.client is None:
            return
        step = int(self.scrub.value)

        def go() -> Moment:
            if not self.paused:
                self._toggle()
            return show.seek(step)

        self.ask(go)
