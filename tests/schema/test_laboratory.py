import pytest
from pydantic import ValidationError

from s2rctl.schema.laboratory import LOOK_AXES, LookRanges
from s2rctl.schema.looks import HarshLook, MildLook


def test_ranges_without_a_tier_are_nominal():
    look = LookRanges()
    assert all(getattr(look, name) == (axis.nominal, axis.nominal) for name, axis in LOOK_AXES.items())
    assert len(LOOK_AXES) >= 20


@pytest.mark.parametrize("look", [MildLook(), HarshLook()])
def test_every_range_of_a_tier_holds_a_source(look):
    fields = type(look).model_fields
    for name in LOOK_AXES:
        low, high = getattr(look, name)
        if (low, high) != (LOOK_AXES[name].nominal,) * 2:
            assert "; " in (fields[name].description or ""), name


def test_the_harsh_look_is_nowhere_narrower_than_the_mild_one():
    mild, harsh = MildLook(), HarshLook()
    for name in LOOK_AXES:
        (low, high), (lowest, highest) = getattr(mild, name), getattr(harsh, name)
        assert lowest <= high, name
        assert highest >= high, name
        if name not in ("background",):
            assert lowest <= low, name


def test_part_of_a_tier_can_be_replaced():
    look = MildLook(exposure=(0.0, 1.0))
    assert look.exposure == (0.0, 1.0)
    assert look.meshes == (1, 1)


def test_one_axis_is_held_and_the_others_stay():
    held = LookRanges().at(exposure=1.5)
    assert held.exposure == (1.5, 1.5)
    assert held.gamma == LookRanges().gamma
    assert isinstance(HarshLook().at(gamma=1.0), HarshLook)


def test_a_value_outside_its_axis_is_refused():
    with pytest.raises(ValidationError, match=r"gamma: needs numbers from 0\.3 to 3"):
        LookRanges().at(gamma=10.0)
    with pytest.raises(ValidationError, match="lower end first"):
        LookRanges(blur=(1.0, 0.5))
