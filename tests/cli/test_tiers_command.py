"""Options and tables of ``evaluate --tiers`` and ``--sensitivity``."""

import json

import pytest

from s2rctl.cli.main import main
from s2rctl.cli.tiers import against_gate, cause_text, changes, sensitivity_text, tier_text, with_all
from s2rctl.core.errors import UsageError
from s2rctl.schema.load import load_profile


@pytest.mark.parametrize(
    ("words", "read"),
    [
        (["R", "--tiers"], ["R", "--tiers", "all"]),
        (["R", "--tiers", "--json"], ["R", "--tiers", "all", "--json"]),
        (["R", "--tiers", "T0,T3", "--json"], ["R", "--tiers", "T0,T3", "--json"]),
        (["--tiers", "onnx/aloha-student"], ["--tiers", "all", "onnx/aloha-student"]),
        (["R", "--tiers=T3"], ["R", "--tiers=T3"]),
        (["R", "--json"], ["R", "--json"]),
    ],
)
def test_the_option_may_stand_alone(words, read):
    assert with_all(words) == read


def test_options_become_values_of_the_profile():
    assert changes("all", True, 64) == ["evaluate.tiers.episodes=64", "evaluate.tiers.names=[]"]
    assert changes("T3,T5", False, None) == ["evaluate.tiers.names=[T3, T5]"]
    assert changes(None, True, 64) == ["evaluate.tiers.sensitivity.episodes=64"]
    assert changes(None, False, 64) == changes(None, True, None) == []
    with pytest.raises(UsageError, match="no tier 'T9'"):
        changes("T3,T9", False, None)


@pytest.mark.parametrize("words", [("--perturb", "latency=0.05"), ("--against", "x")])
def test_tiers_are_a_thing_of_their_own(words, capsys, tmp_path):
    assert main(["evaluate", "x", "--tiers", *words, "--json", "--store", str(tmp_path)]) == 2
    assert words[0] in json.loads(capsys.readouterr().out)["error"]["message"]


def control(successes):
    return {"successes": successes, "episodes": 8, "passed": True}


CAUSE = {
    "axis": "friction", "unit": "", "by": "value", "effect": -0.8, "p_corrected": 0.001, "significant": True,
    "parts": [
        {"low": 0.7, "high": 0.9, "successes": 3, "episodes": 9},
        {"low": 0.9, "high": 1.3, "successes": 9, "episodes": 9},
    ],
}  # fmt: skip
ROW = {
    "title": "own worlds", "text": "8/8 [63.1, 100.0]", "paired": None, "failures": {}, "void": False,
    "void_because": [], "clusters": [], "controls": {"positive": control(8), "negative": control(0)},
}  # fmt: skip
WORSE = ROW | {
    "title": "another physics", "text": "4/8 [15.7, 84.3]", "failures": {"timed_out": 4}, "clusters": [CAUSE],
    "paired": {"difference": -0.5, "difference_low": -0.8, "difference_high": -0.1, "p_value": 0.125}, "void": True,
    "void_because": ["positive"],
}  # fmt: skip


def test_a_tier_that_misses_its_gate_is_the_fault():
    profile = load_profile("aloha-smoke", ["evaluate.gate.tiers={T0: 0.5, T3: 0.8, T5: 0.9}"]).profile
    good, bad = {"wilson_low": 0.7, "void": False}, {"wilson_low": 0.75, "void": False}
    rows, fault = against_gate(profile, "ab" * 32, {"T0": good, "T3": bad, "T4": bad})
    assert [row["passed"] for row in rows.values()] == [True, False]  # T5 was not played
    assert fault is not None and fault.exit_code == 5 and "T3 75.0 % (needs 80 %)" in fault.message
    assert against_gate(profile, "ab" * 32, {"T0": good})[1] is None
    rows, fault = against_gate(profile, "ab" * 32, {"T0": good | {"void": True}})
    assert fault is not None and "T0 is void" in fault.message
    assert against_gate(load_profile("aloha-smoke").profile, "ab" * 32, {"T3": bad}) == ({}, None)


def test_the_table_of_tiers_says_what_it_costs_and_why():
    text = tier_text({"tiers": {"T0": ROW, "T3": WORSE}, "left_out": {"T5": "all together"}})
    for part in ("-50.0 % [-80.0, -10.0], p = 0.12", "timed out (4)", "void (positive): 4/8", "T5", "8/8, 0/8"):
        assert part in text, text
    assert "T3: fails where friction is low (p = 0.001): 0.7 to 0.9: 3/9; 0.9 to 1.3: 9/9" in text
    assert "far from nominal" in cause_text(CAUSE | {"by": "distance"})


def test_the_table_of_axes():
    axis = {"unit": "rad", "nominal": 0.0, "range": [0.0, 0.015], "cost": 0.25, "below": {"low": None, "high": 0.0123}}
    text = sensitivity_text({"threshold": 0.8, "sensitivity": {"gravity_sag": axis}})
    for part in ("gravity sag", "25.0 %", "0.0123", "below 80 % over", "0 to 0.015"):
        assert part in text, text
