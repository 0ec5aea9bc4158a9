"""Success of several trainings against environment steps and against minutes, on one picture.

``python -m benchmarks.learning OUT.png NAME=LOG ...``, where LOG is the ``metrics.jsonl`` of a run or the folder of a
teacher's artifact (``s2rctl artifacts path teacher/pick``). Points are judgements from home, deterministic policy, with
95 % intervals.
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from s2rctl.core.errors import UsageError
from s2rctl.evaluation.statistics import format_rate, wilson
from s2rctl.learning.curves import Panel, draw
from s2rctl.learning.metrics_log import read

Points = list[tuple[float, float, float, float]]


def main() -> None:
    """Draw the logs named on the command line and print where each ended."""
    if len(sys.argv) < 3 or not all("=" in item for item in sys.argv[2:]):
        raise SystemExit(__doc__)
    named = dict(item.split("=", 1) for item in sys.argv[2:])
    try:
        logs = {name: judgements(Path(path)) for name, path in named.items()}
    except UsageError as error:
        raise SystemExit(f"error: {error}\nhint: {error.hint}") from None
    compare(Path(sys.argv[1]), logs)
    for name, records in logs.items():
        last = records[-1]
        rate = format_rate(last["successes"], last["episodes"])
        print(f"{name:<28} {rate:<24} after {last['step'] / 1e6:.2f} M steps, {last['minutes']:.1f} min")


def judgements(path: Path) -> list[dict[str, Any]]:
    """Return the records of a log that judge the policy from the start; UsageError if there are none."""
    records = judged(read(path / "metrics.jsonl" if path.is_dir() else path))
    if not records:
        raise UsageError(f"{path} holds no judgement", "give the metrics.jsonl of a teacher's training")
    return records


def judged(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the records of a log that judge the policy from the start."""
    return [dict(record) for record in records if record["kind"] == "evaluation"]


def compare(target: Path, logs: dict[str, list[dict[str, Any]]]) -> None:
    """Draw success against steps and against minutes."""
    row = []
    for x, label in (("step", "environment steps, warm start included"), ("minutes", "minutes, warm start included")):
        bars = {name: [_point(record, x) for record in records] for name, records in logs.items()}
        # A leading underscore keeps the connecting line out of the legend.
        lines = {f"_{name}": [(p[0], p[1]) for p in points] for name, points in bars.items()}
        row.append(Panel(label, "success from the start", lines, bars, (0.0, 1.0)))
    draw(target, [row])


def _point(record: dict[str, Any], x: str) -> tuple[float, float, float, float]:
    successes, episodes = int(record["successes"]), int(record["episodes"])
    return (float(record[x]), successes / episodes, *wilson(successes, episodes))


if __name__ == "__main__":
    main()
