"""Grids, cells and what is read off them."""

import numpy as np
import pytest

from s2rctl.evaluation.sensitivity import ALREADY, NEVER, Axis, Cell, cells, crossing, falling, groups, spread, table

FRICTION = Axis("friction", "", "sliding friction", 1.0, 0.7, 1.3, 0.5, 20.0)
SAG = Axis("sag", "rad", "gravity sag", 0.0, 0.0, 0.015, 0.0, 0.1)
COUNT = Axis("count", "", "things", 0.0, 0.0, 3.0, 0.0, 4.0, look=True, whole=True)
MULTIPLES = (0.5, 1.0, 2.0)


def test_values_go_beyond_the_range_but_not_beyond_sense():
    assert FRICTION.values(MULTIPLES) == (0.5, 0.7, 0.85, 1.15, 1.3, 1.6)
    assert SAG.values(MULTIPLES) == (0.0075, 0.015, 0.03)
    assert COUNT.values(MULTIPLES) == (2.0, 3.0, 4.0)


def test_cells_are_packed_evenly_and_hold_all_other_axes_nominal():
    wanted = cells([FRICTION, SAG], MULTIPLES)
    assert wanted[0] == Cell(None, 0.0) and len(wanted) == 1 + 6 + 3
    packed = list(groups(wanted, 8, 40))
    assert [len(group) for group in packed] == [5, 5] and [cell for group in packed for cell in group] == wanted
    values = spread(packed[1], {"friction": FRICTION, "sag": SAG}, 2)
    assert values["friction"].tolist() == [1.3, 1.3, 1.6, 1.6, 1, 1, 1, 1, 1, 1]
    assert values["sag"].tolist() == [0, 0, 0, 0, 0.0075, 0.0075, 0.015, 0.015, 0.03, 0.03]
    assert set(spread(packed[0], {"friction": FRICTION, "sag": SAG}, 2)) == {"friction"}


def successes(count: int, of: int = 20) -> list[bool]:
    return [number < count for number in range(of)]


def test_the_table_tells_costs_inside_the_range_and_where_success_falls():
    found = {Cell(None, 0.0): successes(20)}
    found |= {
        Cell("friction", v): successes(n)
        for v, n in ((0.5, 0), (0.7, 12), (0.85, 20), (1.15, 20), (1.3, 19), (1.6, 18))
    }
    found |= {Cell("sag", v): successes(n) for v, n in ((0.0075, 20), (0.015, 20), (0.03, 2))}
    rows = table([SAG, FRICTION], found, 0.8)
    assert list(rows) == ["friction", "sag"]  # the most costly first
    friction, sag = rows.values()
    assert friction["cost"] == pytest.approx(0.4) and friction["cost_at"] == 0.7 and friction["cost_p_value"] < 0.01
    assert friction["cost_low"] < 0.4 < friction["cost_high"]
    assert friction["below"]["low"] == pytest.approx(0.775) and friction["below"]["high"] == NEVER
    assert [row["inside"] for row in friction["values"]] == [False, True, True, True, True, False]
    assert sag["cost"] == 0  # what happens beyond the range costs nothing in it, but is told
    assert sag["below"] == {"low": None, "high": pytest.approx(0.015 + 0.015 * 0.2 / 0.9)}
    assert friction["nominal_rate"]["successes"] == 20


def test_crossings():
    assert crossing([(1.0, 0.7), (2.0, 0.9)], 0.8) == ALREADY  # whatever helps
    assert crossing([(1.0, 0.9), (2.0, 0.7), (3.0, 0.95)], 0.8) == NEVER  # chance: it rises again
    assert crossing([(1.0, 1.0), (0.0, 0.6)], 0.8) == pytest.approx(0.5)
    assert crossing([(1.0, 1.0)], 0.8) is None


def test_a_falling_sequence():
    assert falling([1.0, 0.5, 0.7, 0.2]) == pytest.approx([1.0, 0.6, 0.6, 0.2])
    random = np.random.default_rng(0).random(30)
    found = np.array(falling(random))
    assert np.all(np.diff(found) <= 1e-12) and found.mean() == pytest.approx(random.mean())
