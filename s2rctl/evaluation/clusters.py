"""Failure clusters by cause: what was different in the worlds in which a policy failed.

Every quantity that worlds were drawn is compared between failed and successful episodes. Only what chance hardly
explains is named as a cause: there are many quantities, and some always look guilty.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from s2rctl.evaluation.episodes import Episode
from s2rctl.evaluation.statistics import holm, wilson

SIGNIFICANT = 0.05
"""Largest corrected p-value of what is named as a cause."""
PARTS = 3
"""Equal parts of the episodes, by value, whose success is told."""


@dataclass(frozen=True)
class Quantity:
    """What a drawn quantity is, for people."""

    unit: str
    text: str
    nominal: float | None  # what the policy was trained around; None: nothing in particular


def causes(
    episodes: Sequence[Episode], drawn: Mapping[str, np.ndarray], known: Mapping[str, Quantity]
) -> list[dict[str, Any]]:
    """Return every drawn quantity (N,) with how much it explains of the failures, strongest effect first.

    Each is tried twice where its nominal value lies inside what was drawn: by its value, and by its distance from the
    nominal one, because worlds at both ends may fail. The rank test is Mann and Whitney's, corrected for all tests by
    Holm's method (Scand. J. Statist. 6, 1979). ``effect`` is the rank-biserial correlation: 1 when every failed
    episode's value is above every successful one's, -1 when below. Nothing is returned unless some failed and some did
    not.
    """
    success = np.array([episode.success for episode in episodes], bool)
    if success.all() or not success.any():
        return []
    rows = []
    for name, values in drawn.items():
        about = known.get(name, Quantity("", name.replace("_", " "), None))
        rows += [_tested(name, about, way, along, success) for way, along in _ways(values, about.nominal)]
    for row, corrected in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
        row["p_corrected"] = corrected
    best: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (row["p_corrected"], -abs(row["effect"]))):
        best.setdefault(row["axis"], row)
    found = [row | _parts(episodes, drawn[name]) for name, row in best.items()]
    for row in found:
        row["significant"] = bool(row["p_corrected"] <= SIGNIFICANT)
    return sorted(found, key=lambda row: (not row["significant"], -abs(row["effect"])))


def _ways(values: np.ndarray, nominal: float | None) -> list[tuple[str, np.ndarray]]:
    """Return what is compared; nothing for a quantity that is the same everywhere."""
    if np.ptp(values) <= 1e-12:
        return []
    found = [("value", values)]
    if nominal is not None and values.min() < nominal < values.max():
        found.append(("distance", np.abs(values - nominal)))
    return found


def _tested(axis: str, about: Quantity, way: str, along: np.ndarray, success: np.ndarray) -> dict[str, Any]:
    from scipy.stats import mannwhitneyu  # here: only evaluations need it

    failed, succeeded = along[~success], along[success]
    result = mannwhitneyu(failed, succeeded, alternative="two-sided")
    return {
        "axis": axis,
        "unit": about.unit,
        "text": about.text,
        "by": way,
        "effect": float(2 * result.statistic / (len(failed) * len(succeeded)) - 1),
        "p_value": float(result.pvalue),
        "failed_median": float(np.median(failed)),
        "succeeded_median": float(np.median(succeeded)),
    }


def _parts(episodes: Sequence[Episode], values: np.ndarray) -> dict[str, Any]:
    """Return success in equal parts of the episodes by value, and how episodes of the worst part failed."""
    parts, order = [], np.argsort(values, kind="stable")
    for rows in np.array_split(order, min(PARTS, len(order))):
        group = [episodes[row] for row in rows]
        successes = sum(episode.success for episode in group)
        low, high = wilson(successes, len(group))
        failures = Counter(episode.failure for episode in group if not episode.success)
        parts.append(
            {
                "low": float(values[rows].min()),
                "high": float(values[rows].max()),
                "episodes": len(group),
                "successes": successes,
                "wilson_low": low,
                "wilson_high": high,
                "failures": dict(failures.most_common()),
            }
        )
    return {"parts": parts}
