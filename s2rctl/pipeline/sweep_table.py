"""What the cells of a sweep gave, as one table: over episodes, over seeds, and against the first setting."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from s2rctl.core.errors import RunError, UsageError
from s2rctl.core.tables import suggestion
from s2rctl.evaluation.seeds import over_seeds, paired_over_seeds
from s2rctl.evaluation.statistics import rate
from s2rctl.pipeline.compare import rates
from s2rctl.pipeline.grid import Cell, Grid
from s2rctl.pipeline.plan import flat

RATE = "success_rate"


@dataclass(frozen=True)
class CellFigures:
    """What one cell gave."""

    cell: Cell
    artifact: str  # id; empty if it failed
    metrics: Mapping[str, Any]
    error: str = ""
    code: int = 0

    def value(self, metric: str) -> float | None:
        """Return a figure by its dotted path; None where there is no such number."""
        value = flat(self.metrics).get(metric)
        return float(value) if isinstance(value, int | float) else None

    def counts(self, metric: str) -> tuple[int, int] | None:
        """Return (successes, episodes) if the figure is a success rate."""
        above, _, last = metric.rpartition(".")
        return dict(rates(self.metrics)).get(above) if last == RATE else None


def chosen_metric(cells: Sequence[CellFigures], metric: str | None) -> str:
    """Return the figure to compare: the one asked for, else the success rate, else the first number that all have.

    UsageError for one that a cell does not have, RunError if there is no number at all.
    """
    done = [cell for cell in cells if cell.artifact]
    common = set.intersection(*({name for name in flat(cell.metrics) if cell.value(name) is not None} for cell in done))
    if metric is not None and metric not in common:
        raise UsageError(f"the results have no figure '{metric}'", suggestion(metric, common))
    if not common:
        raise RunError("the results have no figure to compare", "choose another stage with --stage")
    return metric or (RATE if RATE in common else min(common))


def table_of(grid: Grid, cells: Sequence[CellFigures], metric: str, profile: str) -> dict[str, Any]:
    """Return the whole table as plain data; nothing in it depends on when or where the cells ran."""
    rows = [_row(grid, setting, cells, metric) for setting in grid.settings]
    by_setting = [_values(setting, cells, metric) for setting in grid.settings]
    for row, values in zip(rows[1:], by_setting[1:], strict=True):
        against = paired_over_seeds(values, by_setting[0])
        row["against_first"] = None if against is None else against._asdict() | {"seeds": list(against.seeds)}
    return {
        "profile": profile,
        "metric": metric,
        "seeds": list(grid.seeds),
        "axes": [{"path": axis.path, "values": list(axis.values)} for axis in grid.axes],
        "settings": rows,
        "cells": [_cell(item, metric) for item in cells],
        "failed": [
            {"name": item.cell.name, "seed": item.cell.seed, "changes": list(item.cell.changes)}
            | {"error": item.error, "code": item.code}
            for item in cells
            if not item.artifact
        ],
    }


def _values(setting: tuple[str, ...], cells: Sequence[CellFigures], metric: str) -> dict[int, float]:
    """Return seed -> figure of the cells of a setting that did not fail."""
    found = {item.cell.seed: item.value(metric) for item in cells if item.cell.changes == setting and item.artifact}
    return {seed: value for seed, value in found.items() if value is not None}


def _row(grid: Grid, setting: tuple[str, ...], cells: Sequence[CellFigures], metric: str) -> dict[str, Any]:
    values = _values(setting, cells, metric)
    row: dict[str, Any] = {"label": grid.label(setting), "changes": list(setting), "seeds": sorted(values)}
    if not values:
        return row | {"mean": None}
    over = over_seeds([values[seed] for seed in sorted(values)])
    row |= {"mean": over.mean, "spread": over.spread, "seeds_low": over.low, "seeds_high": over.high}
    counts = [item.counts(metric) for item in cells if item.cell.changes == setting and item.artifact]
    known = [pair for pair in counts if pair is not None]
    if known and len(known) == len(counts):
        row |= rate(sum(pair[0] for pair in known), sum(pair[1] for pair in known))
    return row


def _cell(item: CellFigures, metric: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": item.cell.name,
        "seed": item.cell.seed,
        "changes": list(item.cell.changes),
        "artifact": item.artifact or None,
        "value": item.value(metric),
    }
    counts = item.counts(metric)
    if counts is not None:
        row |= {"successes": counts[0], "episodes": counts[1]}
    passed = item.metrics.get("gate_passed")
    return row | ({"gate_passed": passed} if isinstance(passed, bool) else {})


def csv_text(figures: Mapping[str, Any]) -> str:
    """Return one line per cell, for spreadsheets and notebooks."""
    paths = [axis["path"] for axis in figures["axes"]]
    errors = {item["name"]: item["error"] for item in figures["failed"]}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["seed", *paths, figures["metric"], "successes", "episodes", "artifact", "error"])
    for cell in figures["cells"]:
        values = [change.partition("=")[2] for change in cell["changes"]]
        counts = [cell.get(name, "") for name in ("successes", "episodes")]
        value = "" if cell["value"] is None else cell["value"]
        writer.writerow([cell["seed"], *values, value, *counts, cell["artifact"] or "", errors.get(cell["name"], "")])
    return text.getvalue()
