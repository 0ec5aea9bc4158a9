"""Sensitivity: how much success each single axis costs, all others nominal, and from which value on.

Every value is played from the same starts. Many values are cells of one environment, which compiles once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from s2rctl.evaluation.episodes import rate
from s2rctl.evaluation.statistics import paired

NEVER = "not within the values tried"
ALREADY = "at nominal already"


@dataclass(frozen=True)
class Axis:
    """One quantity of a world and how far it may go."""

    name: str
    unit: str
    text: str
    nominal: float
    low: float  # of the tier's range
    high: float
    lowest: float  # that makes sense
    highest: float
    look: bool = False  # whether only cameras see it
    whole: bool = False  # whether only whole numbers mean something

    def values(self, multiples: Sequence[float]) -> tuple[float, ...]:
        """Return the values to try, lowest first, without the nominal one."""
        ends = [end for end in (self.low, self.high) if abs(end - self.nominal) > 1e-12]
        found = [self.nominal + share * (end - self.nominal) for end in ends for share in multiples]
        kept = [min(max(value, self.lowest), self.highest) for value in found]
        kept = [float(round(value)) if self.whole else round(value, 9) for value in kept]
        return tuple(sorted({value for value in kept if abs(value - self.nominal) > 1e-9}))


class Cell(NamedTuple):
    """One value of one axis; without an axis everything is nominal."""

    axis: str | None
    value: float


def cells(axes: Sequence[Axis], multiples: Sequence[float]) -> list[Cell]:
    """Return all cells, the nominal one first."""
    return [Cell(None, 0.0), *(Cell(axis.name, value) for axis in axes for value in axis.values(multiples))]


def groups(wanted: Sequence[Cell], episodes: int, worlds: int) -> Iterator[Sequence[Cell]]:
    """Yield the cells of one environment after the other: as many as fit into ``worlds``, evenly."""
    fit = max(1, worlds // episodes)
    count = -(-len(wanted) // fit)
    size = -(-len(wanted) // count)
    for first in range(0, len(wanted), size):
        yield wanted[first : first + size]


def spread(group: Sequence[Cell], axes: Mapping[str, Axis], episodes: int) -> dict[str, np.ndarray]:
    """Return the value of every axis in the worlds (cells x episodes,) of a group: its cell's, else the nominal one."""
    return {
        name: np.repeat([cell.value if cell.axis == name else axis.nominal for cell in group], episodes)
        for name, axis in axes.items()
        if any(cell.axis == name for cell in group)
    }


def table(axes: Sequence[Axis], found: Mapping[Cell, Sequence[bool]], threshold: float) -> dict[str, dict[str, Any]]:
    """Return what each axis costs, the most costly first.

    ``found`` holds the successes of each cell, episode by episode from the same starts. ``cost`` is the largest loss of
    success against the nominal cell at a value inside the tier's range, with its paired 95 % interval and p-value.
    """
    nominal = list(found[Cell(None, 0.0)])
    rows = {axis.name: _row(axis, nominal, found, threshold) for axis in axes}
    return dict(sorted(rows.items(), key=lambda item: -item[1]["cost"]))


def _row(axis: Axis, nominal: list[bool], found: Mapping[Cell, Sequence[bool]], threshold: float) -> dict[str, Any]:
    values = []
    for value, successes in sorted((cell.value, found[cell]) for cell in found if cell.axis == axis.name):
        pairs = paired(nominal, list(successes))
        values.append(
            {
                "value": value,
                **_rate(successes),
                "loss": pairs.difference,
                "loss_low": pairs.difference_low,
                "loss_high": pairs.difference_high,
                "p_value": pairs.p_value,
                "inside": bool(axis.low - 1e-9 <= value <= axis.high + 1e-9),
            }
        )
    worst = max((row for row in values if row["inside"]), key=lambda row: row["loss"], default=None)
    curve = [(axis.nominal, float(np.mean(nominal))), *((row["value"], row["success_rate"]) for row in values)]
    return {
        "unit": axis.unit,
        "text": axis.text,
        "look": axis.look,
        "nominal": axis.nominal,
        "range": [axis.low, axis.high],
        "nominal_rate": _rate(nominal),
        "values": values,
        "cost": worst["loss"] if worst else 0.0,
        "cost_low": worst["loss_low"] if worst else 0.0,
        "cost_high": worst["loss_high"] if worst else 0.0,
        "cost_at": worst["value"] if worst else None,
        "cost_p_value": worst["p_value"] if worst else None,
        "below": {
            "low": crossing(sorted((p for p in curve if p[0] <= axis.nominal), reverse=True), threshold),
            "high": crossing(sorted(p for p in curve if p[0] >= axis.nominal), threshold),
        },
    }


def _rate(successes: Sequence[bool]) -> dict[str, Any]:
    names = ("episodes", "successes", "success_rate", "wilson_low", "wilson_high")
    figures = rate(sum(successes), len(successes))
    return {name: figures[name] for name in names}


def crossing(curve: Sequence[tuple[float, float]], threshold: float) -> float | str | None:
    """Return the value at which success falls below ``threshold``, going away from nominal; None: nothing was tried.

    ``curve`` holds (value, rate), the nominal one first. Success is taken to only fall on the way (pool adjacent
    violators: Ayer et al., Ann. Math. Statist. 26, 1955), so that chance does not find a crossing twice; between two
    values it is a straight line.
    """
    if len(curve) < 2:
        return None
    if curve[0][1] < threshold:
        return ALREADY
    values, rates = [value for value, _ in curve], falling([share for _, share in curve])
    for number in range(1, len(rates)):
        if rates[number] < threshold:
            part = (rates[number - 1] - threshold) / (rates[number - 1] - rates[number])
            return float(values[number - 1] + part * (values[number] - values[number - 1]))
    return NEVER


def falling(rates: Sequence[float]) -> list[float]:
    """Return the closest sequence (least squares) that never rises."""
    blocks: list[tuple[float, int]] = []  # mean and length
    for share in rates:
        blocks.append((share, 1))
        while len(blocks) > 1 and blocks[-1][0] > blocks[-2][0]:
            (second, m), (first, n) = blocks.pop(), blocks.pop()
            blocks.append(((first * n + second * m) / (n + m), n + m))
    return [mean for mean, length in blocks for _ in range(length)]
