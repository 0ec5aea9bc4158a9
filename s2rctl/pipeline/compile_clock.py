"""How long JAX compiled, apart from what ran: a short run is mostly compilation, a long one hardly any."""

import sys
import threading
from types import TracebackType

_EVENTS = ("/jax/core/compile/jaxpr_to_mlir_module_duration", "/jax/core/compile/backend_compile_duration")
"""What JAX reports of lowering a program and of compiling it, or loading it from its cache. Tracing is left out: what
is traced within another program would count twice."""


class CompileClock:
    """Adds up, from ``__enter__`` to ``__exit__``, the seconds that JAX spent on compiling in all threads.

    Programs that compile side by side count each, so it can be more than the time by the clock. Where JAX has not been
    imported when it starts, nothing is listened to: importing it takes longer than most stages without it.
    """

    def __init__(self) -> None:
        self.seconds: float | None = None
        self._lock = threading.Lock()

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

    @property
    def metrics(self) -> dict[str, float]:
        """Return ``compile_s``, s; nothing where nothing was listened to."""
        return {} if self.seconds is None else {"compile_s": round(self.seconds, 3)}

    def _add(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event in _EVENTS:
            with self._lock:
                self.seconds = (self.seconds or 0.0) + duration_secs
