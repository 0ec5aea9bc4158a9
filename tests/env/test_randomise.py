import jax
import numpy as np
import pytest

from s2rctl.core.errors import RunError
from s2rctl.env.randomise import draw_params, model_edits, nominal_params
from s2rctl.tasks.protocol import Randomised
from tests.env import toy

WORLDS = 200


@pytest.fixture(scope="module")
def model():
    return toy.build()


def test_draws_fill_their_range():
    drawn = np.asarray(draw_params(toy.RANDOMISED, jax.random.key(0), WORLDS)["mass"])
    assert drawn.shape == (WORLDS,)
    assert drawn.min() >= 0.2
    assert drawn.max() <= 2.0
    assert drawn.min() < 0.25
    assert drawn.max() > 1.95


def test_only_the_named_entries_are_edited(model):
    several = (
        Randomised("size", 0.01, 0.05, "m", {"geom_size/cart/1": lambda p: p["size"]}),
        Randomised("mass", 0.2, 2.0, "kg", {"body_mass/cart/": lambda p: 2 * p["mass"]}),
        Randomised("place", 0.0, 1.0, "m", {"body_pos/jaw/": lambda p: jax.numpy.stack([p["place"]] * 3)}),
        Randomised("damping", 1.0, 2.0, "Ns/m", {"dof_damping/jaw/": lambda p: p["damping"]}),
    )
    params = draw_params(several, jax.random.key(1), WORLDS)
    edits = model_edits(model, several, params)
    assert set(edits) == {"geom_size", "body_mass", "body_pos", "dof_damping"}
    cart, jaw, body, place = model.geom("cart").id, model.body("jaw").id, model.body("cart").id, params["place"]
    np.testing.assert_allclose(edits["geom_size"][:, cart, 1], params["size"], rtol=1e-6)
    np.testing.assert_allclose(edits["body_mass"][:, body], 2 * params["mass"], rtol=1e-6)
    np.testing.assert_allclose(edits["body_pos"][:, jaw], np.stack([place] * 3, axis=1), rtol=1e-6)
    np.testing.assert_allclose(edits["dof_damping"][:, 1], params["damping"], rtol=1e-6)
    changed = edits["geom_size"] != model.geom_size
    changed[:, cart, 1] = False
    assert not changed.any()


def test_nominal_worlds_are_equal(model):
    edits = model_edits(model, toy.RANDOMISED, nominal_params(toy.RANDOMISED, 3))
    np.testing.assert_allclose(edits["body_mass"][:, model.body("cart").id], 1.1)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("body_maas/cart/", "body_maas"),
        ("body_mass/kart/", "cart"),
        ("geom_size/cart/7", "column"),
        ("colour/cart/", "colour"),
    ],
)
def test_wrong_paths_are_explained(model, path, words):
    wrong = (Randomised("x", 0, 1, "", {path: lambda p: p["x"]}),)
    with pytest.raises(RunError) as caught:
        model_edits(model, wrong, nominal_params(wrong, 2))
    assert words in caught.value.message + caught.value.hint
