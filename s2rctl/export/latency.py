"""How long one inference takes on one thread of this computer."""

import time
from collections.abc import Mapping

import numpy as np
import onnxruntime

from s2rctl.export.session import run


def measure(
    session: onnxruntime.InferenceSession, inputs: Mapping[str, np.ndarray], repetitions: int = 400
) -> dict[str, float]:
    """Return ``inference_ms_p50`` and ``inference_ms_p99`` of single observations taken from ``inputs`` (N, ...)."""
    count = len(next(iter(inputs.values())))
    single = [{name: value[i % count : i % count + 1] for name, value in inputs.items()} for i in range(16)]
    for one in single:
        run(session, one)
    times = np.empty(repetitions)
    for index in range(repetitions):
        one = single[index % len(single)]
        begun = time.perf_counter_ns()
        run(session, one)
        times[index] = (time.perf_counter_ns() - begun) / 1e6
    p50, p99 = np.percentile(times, [50, 99])
    return {"inference_ms_p50": round(float(p50), 4), "inference_ms_p99": round(float(p99), 4)}
