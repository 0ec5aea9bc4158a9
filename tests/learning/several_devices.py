"""A little of every training on as many devices as JAX has; writes what came out. Run as a program by its test."""

import sys

import jax
import numpy as np

from s2rctl.learning.reach import asym_ddpg
from s2rctl.learning.reach.loop import Loop, Parts, make_replay
from s2rctl.learning.student import network as student
from s2rctl.learning.student.distill import Distiller
from s2rctl.learning.student.settings import student_settings
from s2rctl.learning.teacher import networks
from s2rctl.learning.teacher.ppo import PpoTrainer
from s2rctl.learning.teacher.warm_start import WarmStarter
from s2rctl.schema.distillation import Distill
from s2rctl.schema.learning import Encoder, Network, Ppo, WarmStart
from tests.learning import test_asym_ddpg as reach
from tests.learning import test_distill
from tests.learning.point_mass import PointWorlds, linear_expert
from tests.learning.toy_insertion import ToyInsertion, pilot, teacher
from tests.learning.toy_reach import ToyReach

SMALL = Network(policy=(16, 16), value=(16,))


def teachers():
    env = PointWorlds(32, noise=0.05, diverge=0.01)
    settings = networks.teacher_settings(env.actor_size, env.action_size, SMALL)
    warm = WarmStart(rounds=2, worlds=32, steps=20, batch=64, learning_rate=1e-3)
    starter = WarmStarter(env, settings, warm, linear_expert, jax.random.key(0))
    state = starter.start()
    for _ in range(2):
        state, _ = starter.advance(state, lambda share: True)
    ppo = Ppo(steps=10_000, worlds=32, unroll=8, minibatches=4, updates=2, learning_rate=1e-3, entropy=1e-2)
    trainer = PpoTrainer(env, settings, SMALL.value, ppo, warm_started=False)
    going = trainer.start(jax.random.key(1))
    for _ in range(2):
        going, figures = trainer.iterate(going)
    return {"warm": state.actor, "actor": going.learner.actor, "value": going.learner.value, "figures": figures}


def students():
    budget = Distill(worlds=32, iterations=4, steps=2, epochs=2, batch=32, learning_rate=1e-3, network=(16,))
    settings = student_settings(
        test_distill.CAMERAS, Encoder(latent=8), budget, "aloha", ready=test_distill.READY, switched=True, estimates=2
    )
    distiller = Distiller(ToyInsertion(budget.worlds), settings, budget, teacher, pilot, seed=5)
    snapshot = distiller.start(student.init(jax.random.key(0), settings))
    for _ in range(2):
        snapshot, metrics = distiller.iterate(snapshot)
    return {"params": snapshot.params, "metrics": metrics}


def reaching():
    settings = reach.SETTINGS
    budget = reach.REACH.model_copy(update={"warmup": 64, "batch": 32, "updates_per_step": 0.5})
    env = ToyReach(16)
    parts = Parts(env, settings, budget, reach.tool_position, reach.motion, make_replay(env, settings, budget), seed=3)
    loop = Loop(parts)
    snapshot = loop.start(asym_ddpg.init(jax.random.key(0), settings, budget))
    for _ in range(2):
        snapshot, metrics = loop.chunk(snapshot)
    assert int(snapshot.updates) > 0
    return {"actor": snapshot.learner.actor, "critic": snapshot.learner.critic, "metrics": metrics}


if __name__ == "__main__":
    assert len(jax.devices()) == int(sys.argv[1])
    found = {"teachers": teachers(), "students": students(), "reaching": reaching()}
    flat = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(found)}
    np.savez(sys.argv[2], **flat)
