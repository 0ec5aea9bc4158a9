"""The collecting side of the page beside a calibration: it tells, and never waits for, the process that draws."""

import socket
import subprocess
import threading
from collections import deque

import numpy as np

from s2rctl.core.channel import BadMessage, Message, as_error, receive, send
from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.core.interpreter import python
from s2rctl.operations.calibration.collect import Live
from s2rctl.operations.calibration.work import Work, board_of
from s2rctl.view.glance import glance, message
from s2rctl.view.page import LOCAL, PORT, require_viser

START_S = 180.0
"""A page that is not there by then hangs: imports and a dozen meshes take seconds, on a very busy computer a minute."""
END_S = 5.0
STDERR = 2  # the descriptor: sys.stderr may be anything
_SILENT = "see its error output above, or collect without --page"


class RemotePage:
    """Shows each view while a calibration is collected; called with what ``collect`` tells.

    A thread of its own hands over what there is. Pictures of what the camera sees now are left out while the page is
    busy; views are not. A page that dies ends nothing else.
    """

    def __init__(self, work: Work, host: str = LOCAL, port: int = PORT) -> None:
        require_viser()
        self._reporter = work.reporter
        self._connection, theirs = socket.socketpair()
        for end in (self._connection, theirs):
            end.settimeout(None)
        self._process = subprocess.Popen(
            python("-m", "s2rctl.view.collect_process", str(theirs.fileno())),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=STDERR,  # Viser greets; our own output is for results
            start_new_session=True,
        )
        theirs.close()
        self._views: deque[Message] = deque()
        self._picture: np.ndarray | None = None
        self._ended = False
        self._told = threading.Condition()
        try:
            self.url = self._begun(work, host, port)
        except BaseException:
            self._end()
            raise
        self._teller = threading.Thread(target=self._tell, name="page", daemon=True)
        self._teller.start()

    def __call__(self, live: Live) -> None:
        """Show a view."""
        with self._told:
            self._views.append(message(glance(live)))
            self._told.notify()

    def see(self, picture: np.ndarray) -> None:
        """Show what the camera sees now (H, W, 3), if the page has time for it."""
        with self._told:
            self._picture = picture
            self._told.notify()

    def close(self) -> None:
        """Show the views that are left, then stop serving."""
        with self._told:
            self._ended = True
            self._told.notify()
        self._teller.join(END_S)
        self._end()

    def _begun(self, work: Work, host: str, port: int) -> str:
        """Return the page's address once it is served; raises what went wrong there."""
        profile, board = work.profile.model_dump_json(), board_of(work).model_dump_json()
        try:
            values = {"profile": profile, "board": board, "host": host, "port": port}
            send(self._connection, Message("open", values))
            answer = receive(self._connection, START_S)
            self._connection.settimeout(None)  # what is told may wait for a page that is busy
            if answer is not None and answer.name == "ready":
                return answer.text("url")
            if answer is not None and answer.name == "error":
                raise as_error(answer)
        except (OSError, BadMessage) as error:
            raise MissingEnvironmentError(f"the page's process cannot be used: {error}", _SILENT) from error
        raise MissingEnvironmentError("the page's process ended at once", _SILENT)

    def _tell(self) -> None:
        try:
            while (following := self._next()) is not None:
                send(self._connection, following)
        except OSError:
            self._reporter.note("the page has closed; collecting goes on without it")

    def _next(self) -> Message | None:
        """Return what is to be told next, views first; None at the end."""
        with self._told:
            self._told.wait_for(lambda: self._ended or self._views or self._picture is not None)
            if self._views:
                return self._views.popleft()
            picture, self._picture = self._picture, None
            if self._ended or picture is None:
                return None
            return Message("picture", arrays={"picture": picture})

    def _end(self) -> None:
        self._connection.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
