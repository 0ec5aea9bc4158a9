"""How near identified parameters come to the truth: recordings of arms that were drawn at random.

    python -m benchmarks identification [--draws 20] [--scene pick --robot aloha] [--first 0]

Every arm has armatures, damping, dry friction and gains within ± 40 % of nominal, one joint zero up to 3° off, commands
and readings late by 0 to 80 ms together, readings with noise of 0.3 mrad in the ticks of a 12-bit encoder. What is
counted: how often the 95 % intervals hold the truth (of parameters that were drawn and that the recording tells), the
delay's error, and the error of simulating the held-out part, with the nominal, the found and the true parameters.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from s2rctl.identification.bench import Bench
from s2rctl.identification.check import errors_of
from s2rctl.identification.excitation import Excitation, all_rounds
from s2rctl.identification.rehearse import Truth, draw, record
from s2rctl.identification.solve import Solution, solve
from s2rctl.robots import ROBOTS
from s2rctl.scene import SCENES

EXCITATION = Excitation(amplitude=0.25, speed=1.0, low_hz=0.1, high_hz=3.0, seconds=6.0, rest=0.4, rounds=4)
PERIOD_S = 0.05
MARGIN_RAD = 0.05


def one(bench: Bench, seed: int) -> dict[str, Any]:
    """Return what is found of one arm."""
    rng = np.random.default_rng(seed)
    spec, columns = bench.specification, bench.columns
    home = spec.joints_from_targets(np.array(spec.home))
    low, high = np.array(spec.joint_low)[columns] + MARGIN_RAD, np.array(spec.joint_high)[columns] - MARGIN_RAD
    rounds = [
        np.clip(home[columns] + offsets, low, high) - home[columns]
        for offsets in all_rounds(EXCITATION, len(columns), PERIOD_S, seed)
    ]
    truth = draw(bench, rng)
    traces = record(bench, truth, rounds, home, PERIOD_S, rng)
    found = solve(bench, traces)
    errors = {
        name: errors_of(bench, values, traces)
        for name, values in (("before", bench.space.mean), ("after", found.values), ("true", truth.values))
    }
    held = counted(bench, found, truth)
    return {
        "seed": seed,
        "counted": len(held),
        "covered": int(sum(held.values())),
        "missed": [name for name, inside in held.items() if not inside],
        "not_told": [name for name, told in zip(bench.space.names, found.told, strict=True) if not told],
        "delay_error_ms": 1e3 * float(found.values[-1] - truth.values[-1]),
        **{f"open_loop_mrad_{name}": round(1e3 * error.total, 3) for name, error in errors.items()},
        **{
            f"one_step_mrad_{name}": round(1e3 * float(np.sqrt(np.mean(error.one_step**2))), 3)
            for name, error in errors.items()
        },
    }


def counted(bench: Bench, found: Solution, truth: Truth) -> dict[str, bool]:
    """Return whether the interval holds the truth, for parameters that were drawn and that the recording tells."""
    low, high = found.interval
    drawn = (bench.space.mean != 0.0) | np.array([bench.space.kind(n) == "zero" for n in range(len(bench.space))])
    return {
        name: bool(low[number] <= truth.values[number] <= high[number])
        for number, name in enumerate(bench.space.names)
        if found.told[number] and drawn[number]
    }


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures over all arms."""
    counts, covered = sum(row["counted"] for row in rows), sum(row["covered"] for row in rows)
    better = np.array([row["open_loop_mrad_after"] / row["open_loop_mrad_before"] for row in rows])
    worse = np.array([row["open_loop_mrad_after"] / row["open_loop_mrad_true"] for row in rows])
    delay = np.abs([row["delay_error_ms"] for row in rows])
    return {
        "arms": len(rows),
        "coverage of the 95 % intervals": f"{covered}/{counts} = {covered / max(counts, 1):.3f}",
        "delay error ms, median and largest": [round(float(np.median(delay)), 3), round(float(delay.max()), 3)],
        "open-loop error after over before, median and largest": [
            round(float(np.median(better)), 4),
            round(float(better.max()), 4),
        ],
        "open-loop error after over the true parameters' own, median and largest": [
            round(float(np.median(worse)), 4),
            round(float(worse.max()), 4),
        ],
    }


def main(arguments: Sequence[str] = ()) -> None:
    """Print each arm's figures and those over all as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--scene", default="pick")
    parser.add_argument("--robot", default="aloha")
    wanted = parser.parse_args(list(arguments))
    bench = Bench(SCENES.load(wanted.scene)(0.005), ROBOTS.load(wanted.robot))
    rows = []
    for seed in range(wanted.first, wanted.first + wanted.draws):
        rows.append(one(bench, seed))
        print(json.dumps(rows[-1]), flush=True)
    print(json.dumps(summary(rows), indent=1))


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
