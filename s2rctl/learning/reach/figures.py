"""Pictures of a reach policy: how far episodes end from their goal, and where in the workspace; curves of variants."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_CELLS = 6
"""Cells of the error map along each axis."""
_PLANES = (("x (m)", 0, "z (m)", 2), ("x (m)", 0, "y (m)", 1))


def draw(path: Path, error_m: np.ndarray, goal_m: np.ndarray, threshold_m: float) -> None:
    """Write a PNG: histogram of final errors (N,) m and the median error by where the goals (N, 3) m lie."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.0, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    histogram, *maps = figure.subplots(1, 1 + len(_PLANES))
    millimetres = 1e3 * error_m
    histogram.hist(millimetres, bins=np.linspace(0, max(60.0, float(millimetres.max())), 40), color="0.45")
    for value, style, name in (
        (float(np.median(millimetres)), "-", "median"),
        (float(np.percentile(millimetres, 95)), "--", "95 %"),
        (1e3 * threshold_m, ":", "success"),
    ):
        histogram.axvline(value, linestyle=style, color="black", linewidth=1, label=f"{name} {value:.0f} mm")
    histogram.set_xlabel("final error (mm)")
    histogram.set_ylabel("episodes")
    histogram.legend(fontsize=8, frameon=False)
    for axes, (x_label, x, y_label, y) in zip(maps, _PLANES, strict=True):
        values, x_edges, y_edges = error_map(millimetres, goal_m[:, x], goal_m[:, y])
        picture = axes.pcolormesh(x_edges, y_edges, values.T, cmap="viridis_r", vmin=0)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.set_aspect("equal")
        figure.colorbar(picture, ax=axes, label="median error (mm)")
    figure.savefig(path, format="png", metadata={"Software": None})


def error_map(error: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the median error per cell (NaN where no goal was), and the cells' edges along both axes."""
    x_edges, y_edges = (np.linspace(v.min(), v.max() + 1e-9, _CELLS + 1) for v in (x, y))
    columns, rows = np.digitize(x, x_edges) - 1, np.digitize(y, y_edges) - 1
    values = np.full((_CELLS, _CELLS), np.nan)
    for column in range(_CELLS):
        for row in range(_CELLS):
            inside = error[(columns == column) & (rows == row)]
            if len(inside):
                values[column, row] = np.median(inside)
    return values, x_edges, y_edges


def compare(
    path: Path,
    runs: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    figure_name: str = "success",
    steps_name: str = "environment steps",
) -> None:
    """Write a PNG with one line per variant: mean over its runs (seeds) and the range of the mean's 95 % interval.

    ``runs`` gives for each variant the records of each run's metrics.jsonl; ``steps_name`` is what their steps count.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, each in runs.items():
        steps, mean, half = bands(each, figure_name)
        (line,) = axes.plot(
            steps, mean, label=f"{name} ({len(each)} seed{'s' if len(each) > 1 else ''})", linewidth=1.4
        )
        low, high = mean - half, mean + half
        if figure_name == "success":  # a share
            low, high = np.clip(low, 0, 1), np.clip(high, 0, 1)
        axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set_xlabel(steps_name)
    axes.set_ylabel(figure_name)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False)
    figure.savefig(path, format="png", metadata={"Software": None})


_T_975 = (0.0, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
"""Student's t for 95 % two-sided by degrees of freedom; beyond the table 1.96 is close enough."""


def bands(
    runs: Sequence[Sequence[Mapping[str, Any]]], name: str, points: int = 60
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return steps, mean over runs and half width of its 95 % interval (Student's t); NaN half width for one run.

    Each run is averaged over the equal stretches between the steps, so that runs with other record steps compare.
    """
    series = [np.array([(r["step"], r[name]) for r in records if name in r], float) for records in runs]
    series = [values for values in series if len(values)]
    if not series:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    last = min(values[-1, 0] for values in series)
    edges = np.linspace(0, last, points + 1)
    table = np.full((len(series), points), np.nan)
    for row, values in enumerate(series):
        cell = np.clip(np.digitize(values[:, 0], edges) - 1, 0, points - 1)
        for index in range(points):
            inside = values[cell == index, 1]
            if len(inside):
                table[row, index] = inside.mean()
    known = ~np.isnan(table).any(axis=0)
    table, steps = table[:, known], edges[1:][known]
    count = len(table)
    if count < 2:
        return steps, table.mean(axis=0), np.full(table.shape[1], np.nan)
    factor = _T_975[count - 1] if count - 1 < len(_T_975) else 1.96
    return steps, table.mean(axis=0), factor * table.std(axis=0, ddof=1) / np.sqrt(count)
