"""Training curves as a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One set of axes."""

    x_label: str
    y_label: str
    lines: Mapping[str, Points]
    bars: Mapping[str, Sequence[tuple[float, float, float, float]]] = field(default_factory=dict)
    """Points with an interval: x, y, low, high. The line of the same name with ``_`` before it has the same colour."""
    limits: tuple[float, float] | None = None  # of y


def series(records: Sequence[Mapping[str, Any]], x: str, names: Sequence[str]) -> dict[str, list[tuple[float, float]]]:
    """Return the points of each named figure in the records that have it."""
    return {name: [(float(r[x]), float(r[name])) for r in records if name in r and x in r] for name in names}


def smoothed(points: Points, share: float = 0.02) -> list[tuple[float, float]]:
    """Return the points with y averaged over a window of this share of all points."""
    width = max(1, round(len(points) * share))
    result = []
    for index in range(len(points)):
        window = points[max(0, index - width + 1) : index + 1]
        result.append((points[index][0], sum(y for _, y in window) / len(window)))
    return result


def draw(path: Path, rows: Sequence[Sequence[Panel]]) -> None:
    """Write a grid of panels as PNG, without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = len(rows), max(len(row) for row in rows)
    figure = Figure(figsize=(5.0 * width, 3.2 * height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(height, width, squeeze=False)
    for axes_row, row in zip(axes, rows, strict=True):
        for place, panel in zip(axes_row, row, strict=False):
            _draw_panel(place, panel)
        for unused in axes_row[len(row) :]:
            unused.set_axis_off()
    figure.savefig(path, format="png", metadata={"Software": None})


def _draw_panel(axes: Any, panel: Panel) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    colours = {}
    for name, points in panel.lines.items():
        if points:
            x, y = zip(*points, strict=True)
            alone = "o" if len(points) == 1 else None  # a line of one point is not seen
            colours[name] = axes.plot(x, y, label=name, linewidth=1.2, marker=alone)[0].get_color()
    for name, entries in panel.bars.items():
        if entries:
            x, y, low, high = zip(*entries, strict=True)
            spread = [[b - a for a, b in zip(low, y, strict=True)], [b - a for a, b in zip(y, high, strict=True)]]
            colour = colours.get(f"_{name}")
            axes.errorbar(x, y, yerr=spread, fmt="o", markersize=4, capsize=2, linewidth=1, label=name, color=colour)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    if "minutes" not in panel.x_label:  # 0.2 min is not 200 milli-minutes
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    if panel.limits is not None:
        axes.set_ylim(*panel.limits)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)
