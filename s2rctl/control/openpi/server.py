"""The policy server of OpenPI's protocol: websocket, one msgpack map per frame.

On connection the server sends its metadata. Every binary frame is an observation and gets an answer with ``actions``
and ``server_timing``; an error is a text frame, after which the connection is closed with code 1011.
``GET /healthz`` answers ``OK``. Nobody is asked for a key, as in OpenPI: listen only where that is safe.

Each client has a thread of its own, and what one of them can take up is bounded: bytes and parts of a message, sockets,
the time in which it reads its answers and in which it says what it wants. A client that is refused harms no other.
"""

import http
import logging
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from s2rctl.control.openpi.session import Figures, Session
from s2rctl.control.openpi.wire import LARGEST_MESSAGE, pack, unpack
from s2rctl.core.errors import MissingEnvironmentError, S2rError
from s2rctl.core.listener import Listener

MOST_CLIENTS = 16
"""Clients that are served at one time; the next ones hear 503."""
MOST_SOCKETS = 64
"""Connections that may be open, those that have not yet said what they want among them; more are closed at once."""
OPEN_S, SEND_S, CLOSE_S = 10.0, 10.0, 1.0
"""Time for a client to ask, to take an answer, and to say good-bye when the server ends."""
_INTERNAL_ERROR = 1011
_LOG = logging.getLogger("s2rctl.openpi")


class PolicyServer:
    """Serves sessions on a port from its own threads, from ``__enter__`` to ``__exit__``; port 0 takes a free one."""

    def __init__(self, make_session: Callable[[], Session], metadata: Mapping[str, Any], host: str, port: int) -> None:
        try:
            from websockets.exceptions import ConnectionClosed
            from websockets.sync.server import serve
        except ImportError as error:
            raise MissingEnvironmentError(
                "the policy server needs websockets", "pip install 's2rctl[openpi]'"
            ) from error
        self._closed_error = ConnectionClosed
        self._make_session = make_session
        self._greeting = pack(dict(metadata))
        self._lock = threading.Lock()
        self._clients = 0
        self.figures = Figures()
        try:
            self._listener = Listener(host, port, MOST_SOCKETS)
        except OSError as error:
            raise MissingEnvironmentError(
                f"cannot listen on {host}:{port}: {error.strerror}", "choose another --port or --host"
            ) from error
        # The kernel's own time-out, which accepted sockets inherit: a send to a client that does not read would
        # otherwise hold that connection's lock for ever.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(SEND_S), 0))
        # images are not worth compressing, and several of them exceed the default limit of a message
        self._server = serve(
            self._talk,
            sock=self._listener,
            compression=None,
            max_size=LARGEST_MESSAGE,
            max_queue=1,
            open_timeout=OPEN_S,
            close_timeout=CLOSE_S,
            process_request=self._admit,
            logger=_LOG,
        )
        self.host, self.port = host, int(self._server.socket.getsockname()[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="openpi server", daemon=True)

    def __enter__(self) -> "PolicyServer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ending = threading.Thread(target=self._server.shutdown, name="openpi server's end", daemon=True)
        ending.start()
        ending.join(timeout=2 * CLOSE_S)
        self._listener.hang_up()  # on who has not even asked yet, or does not read what was sent
        ending.join(timeout=5.0)
        self._thread.join(timeout=5.0)

    def _admit(self, connection: Any, request: Any) -> Any:
        """Answer load balancers and refuse who is too many; let everything else become a websocket."""
        if request.path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        with self._lock:
            if self._clients >= MOST_CLIENTS:
                return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_CLIENTS} clients are served\n")
        return None

    def _talk(self, connection: Any) -> None:
        """Serve one connection until it closes."""
        with self._lock:
            self._clients += 1
            self.figures.connections += 1
        try:
            session = self._make_session()
            self._converse(connection, session)
        finally:
            with self._lock:
                self._clients -= 1

    def _converse(self, connection: Any, session: Session) -> None:
        try:
            connection.send(self._greeting)
            previous: float | None = None
            while True:
                data = connection.recv()
                begun = time.monotonic()
                connection.send(self._answer(session, data, previous))
                previous = time.monotonic() - begun
        except self._closed_error:
            pass
        except Exception as error:  # the client hears of everything, and nothing takes the server down
            with self._lock:
                self.figures.errors += 1
            self._refuse(connection, error)
        finally:
            with self._lock:
                done = session.figures
                self.figures.requests += done.requests
                self.figures.interventions.update(done.interventions)
                self.figures.timings.merge(done.timings)

    def _answer(self, session: Session, data: Any, previous: float | None) -> bytes:
        begun = time.monotonic()
        answer = session.infer(unpack(data if isinstance(data, bytes) else str(data).encode()))
        timing = {"infer_ms": (time.monotonic() - begun) * 1e3}
        if previous is not None:
            timing["prev_total_ms"] = previous * 1e3
        return pack({**answer, "server_timing": timing})

    def _refuse(self, connection: Any, error: Exception) -> None:
        """Tell the client what went wrong and close, as OpenPI's server does."""
        if not isinstance(error, S2rError):  # a bug: where it is concerns this side alone
            _LOG.error("%s", "".join(traceback.format_exception(error)))
            error = S2rError(f"internal error: {type(error).__name__}", "see the server's log")
        text = f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else "")
        try:
            connection.send(text)
            connection.close(_INTERNAL_ERROR, "Internal server error. Traceback included in previous frame.")
        except self._closed_error:
            pass
