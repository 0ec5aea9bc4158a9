"""A sweep as a picture: every seed a dot, the mean with its interval over seeds, and the interval over episodes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_WIDEST = 40
"""Letters of a setting."""


def draw(path: Path, figures: Mapping[str, Any]) -> None:
    """Write the table of a sweep (``sweep.json``) as PNG, without a display; the same table gives the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = figures["settings"]
    figure = Figure(figsize=(7.5, 1.4 + 0.5 * len(rows)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    scale = 100.0 if any("episodes" in row for row in rows) else 1.0
    for place, row in enumerate(rows):
        _row(axes, place, row, figures["cells"], scale)
    axes.set_yticks(range(len(rows)), [_short(row["label"]) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(f"{figures['metric'].replace('_', ' ')}{', %' if scale == 100.0 else ''}")
    axes.grid(axis="x", alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    if unique:
        figure.legend(
            unique.values(), unique.keys(), loc="outside upper right", ncols=len(unique), fontsize=8, frameon=False
        )
    figure.savefig(path, format="png", metadata={"Software": None})


def _row(axes: Any, place: int, row: Mapping[str, Any], cells: Sequence[Mapping[str, Any]], scale: float) -> None:
    own = [cell["value"] for cell in cells if cell["changes"] == row["changes"]]
    values = [scale * value for value in own if value is not None]
    if row["mean"] is None:
        return
    axes.plot(values, [place] * len(values), "o", color="0.2", alpha=0.35, markersize=5, label="one seed")
    mean = scale * row["mean"]
    axes.plot([mean], [place], "|", color="C0", markersize=16, markeredgewidth=2, label="mean")
    if row["seeds_low"] is not None:
        ends = [scale * row["seeds_low"], scale * row["seeds_high"]]
        axes.plot(ends, [place - 0.15] * 2, color="C0", linewidth=2.5, label="95 % over seeds")
    if "interval_low" in row:
        ends = [scale * row["interval_low"], scale * row["interval_high"]]
        axes.plot(ends, [place + 0.15] * 2, color="C1", linewidth=2.5, label="95 % over episodes")


def _short(text: str) -> str:
    # Whatever is in a value: nothing of it is mathematics.
    return (text if len(text) <= _WIDEST else f"{text[:_WIDEST]}…").replace("$", r"\$")
