"""Groups of worlds collect what one collector would, wherever they are; a single one is the local loop, bit by bit."""

import jax
import numpy as np
import pytest

from s2rctl.core.interrupt import Interrupt
from s2rctl.learning.checkpoint import Checkpoints
from s2rctl.learning.student import network as student
from s2rctl.learning.student.collect import Group, Groups
from s2rctl.learning.student.distill import Distiller
from s2rctl.learning.student.fit import fixed_parts
from s2rctl.learning.student.settings import student_settings
from s2rctl.learning.student.snapshot import Snapshot
from s2rctl.schema.distillation import Distill
from s2rctl.schema.learning import Encoder
from tests.learning.test_distill import READY
from tests.learning.test_student import CAMERAS
from tests.learning.toy_insertion import ToyInsertion, pilot, teacher

BUDGET = Distill(worlds=16, iterations=4, steps=3, epochs=2, batch=16, learning_rate=3e-3, network=(16,), filters=())
WHOLE, HALF = ToyInsertion(16), ToyInsertion(8)


def distiller(budget: Distill, env: ToyInsertion, seed: int = 5, collector: Groups | None = None) -> Distiller:
    settings = student_settings(CAMERAS, Encoder(latent=16), budget, "aloha", ready=READY, switched=True)
    return Distiller(env, settings, budget, teacher, pilot, seed, collector=collector)


def params_of(made: Distiller) -> student.Params:
    return student.init(jax.random.key(0), made.settings)


def groups(budget: Distill, count: int, params: student.Params) -> Groups:
    own = budget.model_copy(update={"worlds": budget.worlds // count})
    env = WHOLE if count == 1 else HALF
    members = [Group(distiller(own, env, 5 + 100 * number), params) for number in range(count)]
    return Groups(members, fixed_parts(budget.encoder))


def trained(made: Distiller, params: student.Params) -> tuple[Snapshot, list[dict[str, float]]]:
    figures: list[dict[str, float]] = []
    end = made.run(made.start(params), lambda s: None, lambda n, m: figures.append(m), Interrupt())
    return end, figures


@pytest.mark.parametrize("encoder", ["random", "frozen"])
def test_one_group_is_the_local_loop(encoder):
    budget = BUDGET.model_copy(update={"encoder": encoder})
    alone = distiller(budget, WHOLE)
    params = params_of(alone)
    local, local_figures = trained(alone, params)
    apart, figures = trained(distiller(budget, WHOLE, collector=groups(budget, 1, params)), params)
    jax.tree.map(np.testing.assert_array_equal, apart.params, local.params)
    assert figures == local_figures


def test_two_groups_are_as_many_worlds_that_do_not_begin_alike():
    params = params_of(distiller(BUDGET, WHOLE))
    made = distiller(BUDGET, WHOLE, collector=groups(BUDGET, 2, params))
    begun = made.start(params)
    samples = made.collector.collect(begun)
    assert samples.rows["label"].shape == (BUDGET.steps, 16, 14)
    assert not np.array_equal(samples.rows["label"][:, :8], samples.rows["label"][:, 8:])
    assert samples.env == {} and samples.memory == {} and 0 <= samples.counts["switched"] <= 1
    one, _ = trained(distiller(BUDGET, WHOLE, collector=groups(BUDGET, 2, params)), params)
    other, _ = trained(distiller(BUDGET, WHOLE, collector=groups(BUDGET, 2, params)), params)
    jax.tree.map(np.testing.assert_array_equal, one.params, other.params)


class Listening:
    """Notes what it is asked with."""

    def __init__(self, inner: Group) -> None:
        self.inner, self.sent = inner, []

    def ask(self, iteration, acting):
        self.sent.append(set(acting))
        self.inner.ask(iteration, acting)

    def take(self):
        return self.inner.take()


def test_what_learning_does_not_change_is_not_sent():
    budget = BUDGET.model_copy(update={"encoder": "frozen", "iterations": 2})
    params = params_of(distiller(budget, WHOLE))
    member = Listening(Group(distiller(budget, WHOLE), params))
    trained(distiller(budget, WHOLE, collector=Groups([member], fixed_parts("frozen"))), params)
    assert member.sent == [{"head"}] * 2


def test_a_distillation_with_groups_goes_on_from_a_checkpoint(tmp_path):
    params = params_of(distiller(BUDGET, WHOLE))
    made = distiller(BUDGET, WHOLE, collector=groups(BUDGET, 2, params))
    checkpoints, flag = Checkpoints(tmp_path), Interrupt()

    def stop(iteration, metrics):
        flag.requested = iteration == 2

    made.run(made.start(params), lambda s: checkpoints.save(int(s.iteration), s), stop, flag)
    again = distiller(BUDGET, WHOLE, collector=groups(BUDGET, 2, params))
    resumed = checkpoints.restore(again.start(params))
    assert int(resumed.iteration) == 2
    end = again.run(resumed, lambda s: None, lambda n, m: None, Interrupt())
    assert int(end.iteration) == BUDGET.iterations


def test_groups_are_equally_large():
    with pytest.raises(ValueError, match="16 worlds cannot be divided into 3 equal groups"):
        Distill(worlds=16, collectors=3)
