import numpy as np
import pytest

from s2rctl.core.number_types import number_type


@pytest.mark.parametrize("kind", ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">f4"])
def test_every_number_comes_back(kind):
    assert number_type(np.dtype(kind).str) == np.dtype(kind)


@pytest.mark.parametrize(
    "name",
    ["010", "S0", "|S0", "U3", "V8", "O", "c8", "M8[s]", "i1,i2", "(2,)f4", "f", "f16", "i3", "", "<f4 ", 4, None],
)
def test_everything_else_is_refused(name):
    with pytest.raises(ValueError, match="refused"):
        number_type(name)
