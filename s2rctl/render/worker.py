"""One thread that owns something which only its own thread may touch, such as an OpenGL context."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any


class Worker:
    """Runs calls one after the other in its own thread.

    It is a daemon thread: unlike those of an executor it still works when Python runs its exit handlers.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = SimpleQueue()
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return ``function(*arguments)``, or raise what it raised."""
        future: Future[Any] = Future()
        self._calls.put((future, function, arguments))
        return future.result()

    def _serve(self) -> None:
        while True:
            future, function, arguments = self._calls.get()
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)
