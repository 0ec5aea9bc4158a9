import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.core.interrupt import Interrupt
from s2rctl.learning import student
from s2rctl.learning.checkpoint import Checkpoints
from s2rctl.learning.distill import Distiller
from s2rctl.schema.learning import Distill, Encoder
from tests.learning.test_student import CAMERAS
from tests.learning.toy_insertion import ToyInsertion, pilot, teacher

BUDGET = Distill(worlds=32, iterations=40, steps=4, epochs=2, batch=32, learning_rate=3e-3, network=(32,))


def make(budget):
    settings = student.student_settings(CAMERAS, Encoder(latent=16), budget)
    return Distiller(ToyInsertion(budget.worlds), settings, budget, teacher, pilot, seed=5)


def fresh(distiller):
    return distiller.start(student.init(jax.random.key(0), distiller.settings))


@pytest.fixture(scope="module")
def distiller():
    return make(BUDGET)


def test_labels_come_from_the_true_state_and_from_the_pilot_before_the_switch(distiller):
    state = fresh(distiller).env
    acting = jnp.arange(32) % 2 == 0
    label = distiller.label(state.observation, acting)
    clean = state.observation._replace(actor=state.observation.critic[:, :4])
    np.testing.assert_array_equal(label[::2], teacher(clean)[::2])
    np.testing.assert_array_equal(label[1::2], 0)
    assert not jnp.allclose(teacher(clean), teacher(state.observation))


def test_the_student_learns_what_only_images_tell(distiller):
    figures = []
    snapshot = distiller.run(fresh(distiller), lambda s: None, lambda n, m: figures.append(m), Interrupt())
    assert int(snapshot.iteration) == BUDGET.iterations
    first, last = figures[0]["action_error"], np.mean([f["action_error"] for f in figures[-5:]])
    assert last < 0.5 * first, (first, last)
    assert sum(f["episodes"] for f in figures) > 32
    assert 0.3 < np.mean([f["switched"] for f in figures]) < 0.8


def test_a_frozen_encoder_stays_as_it_was_while_the_head_learns():
    distiller = make(BUDGET.model_copy(update={"encoder": "frozen", "iterations": 2}))
    start = fresh(distiller)
    after, metrics = distiller.iterate(start)
    same = jax.tree.map(lambda a, b: bool(jnp.all(a == b)), start.params, after.params)
    assert all(jax.tree.leaves(same["encoder"])) and not any(jax.tree.leaves(same["head"]))
    assert np.isfinite(metrics["action_error"])


def test_a_resumed_distillation_equals_an_uninterrupted_one(distiller, tmp_path):
    checkpoints, flag = Checkpoints(tmp_path), Interrupt()

    def stop_after_three(iteration, metrics):
        flag.requested = iteration == 3

    distiller.run(fresh(distiller), lambda s: checkpoints.save(int(s.iteration), s), stop_after_three, flag)
    resumed = checkpoints.restore(fresh(distiller))
    assert int(resumed.iteration) == 3
    straight = fresh(distiller)
    for _ in range(5):
        straight, _ = distiller.iterate(straight)
    for _ in range(2):
        resumed, _ = distiller.iterate(resumed)
    for one, other in zip(jax.tree.leaves(resumed.params), jax.tree.leaves(straight.params), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
