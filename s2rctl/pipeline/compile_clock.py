"""How long JAX compiled, apart from what ran: a short run is mostly compilation, a long one hardly any."""

import sys
import threading
from collections.abc import Callable
from types import TracebackType

_LOWERED = "/jax/core/compile/jaxpr_to_mlir_module_duration"
_COMPILED = "/jax/core/compile/backend_compile_duration"
"""What JAX reports of lowering a program and of compiling it, or loading it from its cache. Tracing is left out: what
is traced within another program would count twice."""
SLOW_S = 3.0
"""A program that takes longer to compile is worth a word."""


class CompileClock:
    """Adds up, from ``__enter__`` to ``__exit__``, the seconds that JAX spent on compiling in all threads.

    Programs that compile side by side count each, so it can be more than the time by the clock. Where JAX has not been
    imported when it starts, nothing is listened to: importing it takes longer than most stages without it. ``slow`` is
    called once, from another thread, while the first program compiles that takes longer than ``patience_s``.
    """

    def __init__(self, slow: Callable[[], None] | None = None, patience_s: float = SLOW_S) -> None:
        self.seconds: float | None = None
        self._lock = threading.Lock()
        self._slow, self._patience_s = slow, patience_s
        self._timers: dict[int, threading.Timer] = {}  # by the thread that compiles

    def __enter__(self) -> "CompileClock":
        if "jax" in sys.modules:
            from jax import monitoring

            self.seconds = 0.0
            monitoring.register_event_duration_secs_listener(self._add)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.seconds is not None:
            from jax import monitoring

            monitoring.unregister_event_duration_listener(self._add)
        with self._lock:
            self._slow = None
            for timer in self._timers.values():
                timer.cancel()

    @property
    def metrics(self) -> dict[str, float]:
        """Return ``compile_s``, s; nothing where nothing was listened to."""
        return {} if self.seconds is None else {"compile_s": round(self.seconds, 3)}

    def _add(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event not in (_LOWERED, _COMPILED):
            return
        with self._lock:
            self.seconds = (self.seconds or 0.0) + duration_secs
            timer = self._timers.pop(threading.get_ident(), None)
            if timer is not None:
                timer.cancel()
            if event == _LOWERED and self._slow is not None:  # the next thing that this thread does is to compile it
                timer = threading.Timer(self._patience_s, self._say)
                timer.daemon = True
                self._timers[threading.get_ident()] = timer
                timer.start()

    def _say(self) -> None:
        with self._lock:
            slow, self._slow = self._slow, None
        if slow is not None:
            slow()
