"""The policy server of OpenPI's protocol: websocket, one msgpack map per frame.

On connection the server sends its metadata. Every binary frame is an observation and gets an answer with ``actions``
and ``server_timing``; an error is a text frame, after which the connection is closed with code 1011.
``GET /healthz`` answers ``OK``. Nobody is asked for a key, as in OpenPI: listen only where that is safe.
"""

import http
import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from s2rctl.control.openpi.session import Figures, Session
from s2rctl.control.openpi.wire import pack, unpack
from s2rctl.core.errors import MissingEnvironmentError, S2rError

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
        self.figures = Figures()
        try:
            # images are not worth compressing, and several of them exceed the default limit of a message
            self._server = serve(
                self._talk, host, port, compression=None, max_size=None, process_request=_health, logger=_LOG
            )
        except OSError as error:
            raise MissingEnvironmentError(
                f"cannot listen on {host}:{port}: {error.strerror}", "choose another --port or --host"
            ) from error
        self.host, self.port = host, int(self._server.socket.getsockname()[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="openpi server", daemon=True)

    def __enter__(self) -> "PolicyServer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join(timeout=5.0)

    def _talk(self, connection: Any) -> None:
        """Serve one connection until it closes."""
        session = self._make_session()
        with self._lock:
            self.figures.connections += 1
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
        if isinstance(error, S2rError):
            text = f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else "")
        else:
            text = "".join(traceback.format_exception(error))
            _LOG.error("%s", text)
        try:
            connection.send(text)
            connection.close(_INTERNAL_ERROR, "Internal server error. Traceback included in previous frame.")
        except self._closed_error:
            pass


def _health(connection: Any, request: Any) -> Any:
    """Answer load balancers; let everything else become a websocket."""
    if request.path == "/healthz":
        return connection.respond(http.HTTPStatus.OK, "OK\n")
    return None
