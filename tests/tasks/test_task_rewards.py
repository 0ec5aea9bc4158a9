import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2rctl.core.errors import ProfileError
from s2rctl.tasks import rewards
from s2rctl.tasks.protocol import Term
from s2rctl.tasks.weights import replace_weights


@settings(max_examples=30, deadline=None)
@given(value=st.floats(0, 1e3), more=st.floats(0, 10))
def test_shapes_fall_from_one_to_zero(value: float, more: float) -> None:
    shapes = (
        lambda x: rewards.closeness(x, 5.0),
        lambda x: rewards.within(x, 0.5, 2.0),
        lambda x: rewards.reciprocal(x, 0.5, 2.0),
    )
    for shape in shapes:
        here, further = float(shape(jnp.float32(value))), float(shape(jnp.float32(value + more)))
        assert 0 <= further <= here <= 1
        assert float(shape(jnp.float32(0))) == 1


def test_finite_cuts_what_is_broken() -> None:
    cut = rewards.finite(jnp.array([jnp.nan, jnp.inf, -1e9, 2.0]))
    np.testing.assert_array_equal(cut, [0.0, 1e3, -1e3, 2.0])


def test_weights_are_replaced_by_name_and_unknown_names_refused() -> None:
    terms = {"grip": Term(lambda world: jnp.ones(()), 4.0), "carry": Term(lambda world: jnp.ones(()), 1.0)}
    assert replace_weights(terms, {"grip": 0.5})["grip"].weight == 0.5
    assert replace_weights(terms, {"grip": 0.5})["carry"].weight == 1.0
    with pytest.raises(ProfileError, match="unknown reward term 'gripp'") as error:
        replace_weights(terms, {"gripp": 1.0})
    assert "grip" in error.value.hint
