"""Every fuzzing target with a short, always equal budget; ``make fuzz`` has the long one."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.box import Box, Finding
from tests.fuzz.harness import NAMES, Target, check, load


@st.composite
def changed(draw, target: Target) -> bytes:
    """A valid input with a few changes."""

    class Drawn:
        def below(self, count: int) -> int:
            return draw(st.integers(0, count - 1)) if count > 1 else 0

    return target.drawn(Drawn())


def loaded(name: str) -> Target:
    """Return a target, or skip where its extra is not installed."""
    try:
        return load(name)
    except ImportError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", NAMES)
def test_valid_inputs_hold(name, tmp_path):
    target, box = loaded(name), Box(tmp_path / "box")
    outcomes = [check(target, data, box, command=True) for data in target.seeds()]
    assert sum(outcome.startswith("fine") for outcome in outcomes) * 2 >= len(outcomes), outcomes


@pytest.mark.parametrize("name", NAMES)
def test_known_inputs_hold(name, tmp_path):
    target, box = loaded(name), Box(tmp_path / "box")
    broken = []
    for case, data in target.known().items():
        try:
            check(target, data, box, command=True)
        except Finding as finding:
            broken.append(f"{case}: {finding.key}: {finding}")
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("name", NAMES)
def test_no_input_breaks_it(name, tmp_path):
    target, box = loaded(name), Box(tmp_path / "box")

    @settings(
        max_examples=target.examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(changed(target))
    def holds(data: bytes) -> None:
        check(target, data, box)

    holds()
