"""Timing statistics of a run: distributions, not means."""

from collections.abc import Mapping

import numpy as np

QUANTILES = (0.5, 0.95, 0.99, 1.0)
"""p50, p95, p99 and the largest."""


class Timings:
    """Collects durations by name; cheap enough for the loop."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def add(self, name: str, seconds: float) -> None:
        """Keep one duration."""
        self._values.setdefault(name, []).append(seconds)

    def merge(self, other: "Timings") -> None:
        """Take over the durations of another run."""
        for name, values in other._values.items():
            self._values.setdefault(name, []).extend(values)

    def summary(self) -> dict[str, dict[str, float]]:
        """Return p50, p95, p99 and max in ms for each name."""
        result = {}
        for name, values in sorted(self._values.items()):
            p50, p95, p99, top = np.quantile(np.array(values) * 1e3, QUANTILES)
            result[name] = {"p50": round(p50, 4), "p95": round(p95, 4), "p99": round(p99, 4), "max": round(top, 4)}
        return result

    def rate_hz(self) -> float:
        """Return the achieved rate: one over the mean period; 0 before two steps."""
        periods = self._values.get("period", [])
        return 1.0 / float(np.mean(periods)) if periods else 0.0


def quantile_ms(summary: Mapping[str, Mapping[str, float]], name: str, quantile: str) -> float:
    """Return one figure of a summary in ms, 0 where nothing was measured."""
    return float(summary.get(name, {}).get(quantile, 0.0))
