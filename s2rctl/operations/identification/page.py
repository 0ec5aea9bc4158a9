"""An identification as pictures and as a page: one file with everything in it."""

import base64
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from s2rctl.core.atomic import write_atomic
from s2rctl.evaluation.templates import render
from s2rctl.identification.bench import Bench
from s2rctl.identification.check import foreseen
from s2rctl.identification.trace import Trace
from s2rctl.schema.identification import Found, Identification

PAGE = "report.html"
PLOTS = ("held-out.png",)
_CAPTIONS = {
    "held-out.png": "held-out motion: read (black), foreseen from the commands alone with the figures before (orange) "
    "and after (blue)"
}
_MOST_JOINTS = 16
_SPAN_S = 6.0
"""The part of the held-out motion that is drawn."""


def draw_plots(
    folder: Path, bench: Bench, traces: Sequence[Trace], values: np.ndarray, nominal: np.ndarray | None = None
) -> dict[str, Path]:
    """Draw the held-out motion into a folder; return the files by name."""
    from matplotlib.figure import Figure

    trace = next(trace for trace in reversed(traces) if trace.judged.any())
    ways = [foreseen(bench, one, trace) for one in (bench.space.mean if nominal is None else nominal, values)]
    rows = np.flatnonzero(trace.judged)
    rows = rows[trace.seen[rows] <= trace.seen[rows[0]] + _SPAN_S]
    count = min(len(bench.joints), _MOST_JOINTS)
    columns = 2 if count > 3 else 1
    figure = Figure(figsize=(10.0, 1.9 * -(-count // columns)), layout="constrained")
    grid = figure.subplots(-(-count // columns), columns, sharex=True, squeeze=False)
    for number, axes in enumerate(grid.ravel()):
        if number >= count:
            axes.set_visible(False)
            continue
        for way, colour, width in (
            (ways[0], "tab:orange", 1.2),
            (ways[1], "tab:blue", 2.2),
            (trace.joints, "black", 0.8),
        ):
            axes.plot(trace.seen[rows], np.rad2deg(way[rows, number]), color=colour, linewidth=width)
        axes.set_title(f"{bench.joints[number]}, °", fontsize=9, loc="left")
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    for axes in grid[-1]:
        axes.set_xlabel("s", fontsize=9)
    path = folder / PLOTS[0]
    figure.savefig(path, dpi=110)
    return {PLOTS[0]: path}


def write_page(folder: Path, found: Identification, files: Mapping[str, Path]) -> Path:
    """Write ``report.html`` into a folder and return its path; ``files`` are the identification's pictures by name."""
    pictures = [
        (f"data:image/png;base64,{base64.b64encode(files[name].read_bytes()).decode()}", caption)
        for name, caption in _CAPTIONS.items()
        if name in files
    ]
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(found.made_at))
    how = {"rehearse": "rehearsed", "live": "measured", "recordings": "from recordings,"}[found.mode]
    delay = found.parameters[-1]
    page = render(
        "identification",
        title=f"Motion of the {found.robot}",
        about=f"{how} {when}, {found.seconds:.0f} s of motion, {found.readings} readings",
        verdict=found.verdict,
        figures=[
            ("delay of commands and readings together", f"{1e3 * delay.value:.1f} ± {1e3 * delay.sigma:.1f} ms"),
            ("from reading the sensors to the command", f"{1e3 * found.host_s:.1f} ms"),
            ("held-out motion, from the commands alone", f"{1e3 * found.before:.2f} → {1e3 * found.after:.2f} mrad"),
            ("method", found.method),
        ],
        pictures=pictures,
        parameters=[_row(one) for one in found.parameters],
        errors=[
            (
                error.joint,
                *(
                    round(1e3 * value, 3)
                    for value in (
                        error.open_loop_before, error.open_loop_after, error.one_step_before, error.one_step_after
                    )
                ),
            )
            for error in found.errors
        ],
        left=", ".join(one.name for one in found.parameters if not one.told),
        rehearsed=any(one.truth is not None for one in found.parameters),
    )  # fmt: skip
    write_atomic(folder / PAGE, page.encode())
    return folder / PAGE


def _row(one: Found) -> tuple[str, ...]:
    truth = "" if one.truth is None else f"{one.truth:.4g}"
    interval = f"{one.low:.4g} to {one.high:.4g}" if one.told else "left at its prior"
    return (one.name, f"{one.nominal:.4g}", f"{one.value:.4g}", interval, one.unit, truth)
