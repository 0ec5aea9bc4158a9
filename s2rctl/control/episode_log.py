"""The log of one episode on a robot."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from s2rctl.control.timing import Timings

Outcome = Literal["finished", "time", "safety_stop", "interrupted"]


@dataclass
class EpisodeLog:
    """What happened."""

    outcome: Outcome = "time"
    reason: str = ""
    steps: int = 0
    missed: int = 0
    interventions: Counter[str] = field(default_factory=Counter)
    timings: Timings = field(default_factory=Timings)


def describe(log: EpisodeLog) -> dict[str, Any]:
    """Return a log as plain data."""
    return {
        "outcome": log.outcome,
        "reason": log.reason,
        "steps": log.steps,
        "missed_deadlines": log.missed,
        "interventions": dict(log.interventions),
        "timing_ms": log.timings.summary(),
        "rate_hz": round(log.timings.rate_hz(), 3),
    }
