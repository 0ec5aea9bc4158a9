"""The log of one episode on a robot."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from s2rctl.control.timing import Timings
from s2rctl.core.errors import PerceptionStop, SafetyStop

Outcome = Literal["finished", "time", "safety_stop", "interrupted"]


@dataclass
class EpisodeLog:
    """What happened."""

    outcome: Outcome = "time"
    reason: str = ""
    hint: str = ""  # what to do about a safety stop
    stop: Literal["", "safety", "perception"] = ""  # kind of a safety stop
    perception: dict[str, dict[str, Any]] = field(default_factory=dict)  # by estimate; empty: no check
    steps: int = 0
    missed: int = 0
    interventions: Counter[str] = field(default_factory=Counter)
    timings: Timings = field(default_factory=Timings)

    def stopped(self, stop: SafetyStop, reason: str = "") -> None:
        """Note a safety stop; ``reason`` stands for its own where that only follows from another."""
        self.outcome, self.reason, self.hint = "safety_stop", reason or stop.message, stop.hint
        self.stop = "perception" if isinstance(stop, PerceptionStop) else "safety"

    def error(self, hint: str) -> SafetyStop:
        """Return the safety stop that ended the episode, with one more hint."""
        kind = PerceptionStop if self.stop == "perception" else SafetyStop
        return kind(self.reason, "; ".join(text for text in (self.hint, hint) if text))


def describe(log: EpisodeLog) -> dict[str, Any]:
    """Return a log as plain data."""
    return {
        "outcome": log.outcome,
        "reason": log.reason,
        "hint": log.hint,
        "stop": log.stop,
        "perception": log.perception,
        "steps": log.steps,
        "missed_deadlines": log.missed,
        "interventions": dict(log.interventions),
        "timing_ms": log.timings.summary(),
        "rate_hz": round(log.timings.rate_hz(), 3),
    }
