"""What a missed gate says, and who has none."""

from types import SimpleNamespace

import pytest

from s2rctl.core.errors import GateError
from s2rctl.pipeline.run import check_gates


def outcome(**metrics):
    artifact = SimpleNamespace(id="0123456789abcdef", manifest=SimpleNamespace(origin=SimpleNamespace(metrics=metrics)))
    return SimpleNamespace(stage=SimpleNamespace(name="evaluate"), artifact=artifact)


def test_a_missed_gate_says_by_how_much_and_never_that_it_was_met():
    with pytest.raises(GateError) as caught:
        check_gates([outcome(gate_passed=False, wilson_low=0.949996, gate_success_low=0.95)])
    assert caught.value.message == (
        "the gate is not met: evaluate (0123456789ab): Wilson's lower bound is 94.99 %, the gate 95 %"
    )


def test_a_gate_about_something_else_is_named_without_figures():
    with pytest.raises(GateError, match=r"not met: evaluate \(0123456789ab\)$"):
        check_gates([outcome(gate_passed=False)])


def test_perturbed_episodes_have_no_gate():
    check_gates([outcome(gate_passed=False, wilson_low=0.1, gate_success_low=0.8, perturb={"brightness": 0.3})])
    check_gates([outcome(wilson_low=0.1), outcome(gate_passed=True)])
