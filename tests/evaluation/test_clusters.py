"""Causes are found where they are, and not where they are not."""

import numpy as np
import pytest

from s2rctl.evaluation.clusters import Quantity, causes
from s2rctl.evaluation.episodes import Episode
from s2rctl.evaluation.statistics import holm

KNOWN = {"friction": Quantity("", "sliding friction", 1.0), "zero": Quantity("rad", "joint zero", 0.0)}
N = 120


def played(success) -> list[Episode]:
    return [
        Episode(i, 0, bool(good), bool(good), "none" if good else "dropped", 10, 0.0) for i, good in enumerate(success)
    ]


@pytest.fixture
def drawn():
    random = np.random.default_rng(0)
    axes = {name: random.uniform(0.7, 1.3, N) for name in ("friction", *(f"other_{i}" for i in range(20)))}
    return axes | {"zero": random.uniform(-0.02, 0.02, N), "fixed": np.ones(N)}


def test_the_quantity_behind_the_failures_comes_first_and_alone(drawn):
    found = causes(played(drawn["friction"] > 0.9), drawn, KNOWN)
    assert [row["axis"] for row in found if row["significant"]] == ["friction"]
    row = found[0]
    assert row["by"] == "value" and row["effect"] == -1 and row["text"] == "sliding friction"
    low, middle, high = row["parts"]
    assert low["successes"] < middle["successes"] == middle["episodes"] and high["successes"] == high["episodes"]
    assert low["failures"] == {"dropped": low["episodes"] - low["successes"]}
    assert low["low"] < low["high"] <= middle["low"]


def test_failures_at_both_ends_are_told_by_the_distance_from_nominal(drawn):
    found = causes(played(np.abs(drawn["zero"]) < 0.012), drawn, KNOWN)
    assert [(row["axis"], row["by"]) for row in found if row["significant"]] == [("zero", "distance")]


def test_chance_is_hardly_ever_named_as_a_cause(drawn):
    """Among twenty quantities that have nothing to do with it, one looks guilty at five per cent nearly always."""
    uncorrected = named = 0
    for seed in range(20):
        rows = causes(played(np.random.default_rng(100 + seed).random(N) < 0.7), drawn, KNOWN)
        uncorrected += any(row["p_value"] < 0.05 for row in rows)
        named += any(row["significant"] for row in rows)
    assert uncorrected >= 10 and named <= 3


def test_what_never_differs_or_never_fails_has_no_causes(drawn):
    assert "fixed" not in {row["axis"] for row in causes(played(drawn["friction"] > 0.9), drawn, KNOWN)}
    assert causes(played(np.ones(N)), drawn, KNOWN) == [] == causes(played(np.zeros(N)), drawn, KNOWN)


def test_holms_correction():
    assert holm([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]
