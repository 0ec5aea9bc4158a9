"""Profile sections that describe training."""

from typing import Any, Literal

from pydantic import model_validator

from s2rctl.schema.base import (
    STEPS_LIMIT,
    WORLDS_LIMIT,
    Layers,
    Line,
    Model,
    quantity,
    require,
    too_many,
)

Optimiser = Literal["adam", "muon"]
OPTIMISER = "adam, or muon: orthogonal updates of matrices, and Adam at a tenth of the rate for the rest"


class Network(Model):
    """A multi-layer perceptron."""

    policy: Layers = quantity((256, 256, 256), "", "hidden layers of the policy")
    value: Layers = quantity((256, 256), "", "hidden layers of the value function")


class WarmStart(Model):
    """Imitation of the scripted expert (DAgger) before reinforcement learning."""

    rounds: int = quantity(14, "", "rounds of acting and learning; 0 switches the warm start off", ge=0, le=10_000)
    worlds: int = quantity(512, "", "parallel worlds per round", ge=1, le=WORLDS_LIMIT)
    steps: int = quantity(2500, "", "optimiser steps per round", ge=1, le=10_000_000)
    batch: int = quantity(1024, "", "samples per optimiser step", ge=1, le=1_000_000)
    learning_rate: float = quantity(1e-3, "", "Adam learning rate", ge=1e-9, le=100)


class Ppo(Model):
    """Proximal policy optimisation."""

    steps: int = quantity(20_000_000, "step", "environment steps; 0 skips PPO", ge=0, le=STEPS_LIMIT)
    worlds: int = quantity(2048, "", "parallel worlds", ge=1, le=WORLDS_LIMIT)
    unroll: int = quantity(10, "step", "steps per world between updates", ge=1, le=1000)
    minibatches: int = quantity(32, "", "minibatches per pass", ge=1, le=1_000_000)
    updates: int = quantity(8, "", "passes over each batch of rollouts", ge=1, le=100)
    reward_scale: float = quantity(
        1.0,
        "",
        "factor on rewards, so that the value function's numbers are of the order of 1 to 10",
        ge=1e-6,
        le=1e6,
    )
    discount: float = quantity(0.97, "", "discount per step", ge=1e-3, lt=1)
    gae_lambda: float = quantity(0.95, "", "generalised advantage estimation", ge=0, le=1)
    clip: float = quantity(0.3, "", "clipping of the probability ratio", ge=1e-6, le=100)
    learning_rate: float = quantity(1e-3, "", "Adam learning rate of the policy, at most", ge=1e-9, le=100)
    value_learning_rate: float | None = quantity(
        None, "", "Adam learning rate of the value function; null: the policy's largest", ge=1e-9, le=100
    )
    desired_kl: float | None = quantity(
        0.06,
        "",
        "divergence from the acting policy that the learning rate aims at; null: a constant rate",
        ge=1e-9,
        le=100,
    )
    final_rate: float = quantity(1.0, "", "share of the learning rate that is left at the end", ge=1e-6, le=1)
    averaging: float = quantity(
        0.0, "", "iterations over which the published policy is averaged; 0: the newest", ge=0, le=1e6
    )
    entropy: float = quantity(2e-2, "", "entropy bonus", ge=0, le=1000)
    imitation: float = quantity(
        0.0, "", "weight of staying close to the warm start, decays to 0 over training", ge=0, le=1e6
    )
    max_grad_norm: float = quantity(1.0, "", "gradient clipping", ge=1e-6, le=1e6)
    exploration: float = quantity(
        0.2,
        "",
        "standard deviation before tanh with which a warm-started policy begins to explore",
        ge=1e-4,
        le=10,
    )

    @model_validator(mode="after")
    def _fits_memory(self) -> "Ppo":
        require(too_many("unroll", worlds=self.worlds, unroll=self.unroll))
        return self


class Gate(Model):
    """When a result is good enough."""

    success_low: float = quantity(0.0, "", "the Wilson lower bound of the success rate must reach this", ge=0, le=1)
    episodes: int = quantity(512, "", "episodes that decide it", ge=1, le=1_000_000)


def dynamics_share() -> Any:
    """Return the field that says how far the worlds' physics is drawn."""
    return quantity(
        0.0,
        "",
        "how far from nominal the worlds' physics is drawn, as a share of tasks.<task>.dynamics; 0: every world is "
        "nominal",
        ge=0,
        le=1,
    )


class TeacherPhase(Model):
    """How one teacher learns: warm start and PPO."""

    network: Network = Network()
    warm_start: WarmStart = WarmStart()
    ppo: Ppo = Ppo()
    emphasis: float = quantity(
        0.0,
        "",
        "power with which training draws hard worlds more often; judging and evaluation draw uniformly",
        ge=0,
        le=10,
    )
    dynamics: float = dynamics_share()
    bank_probability: float = quantity(0.0, "", "share of episodes that start from the state bank", ge=0, le=1)
    gate: Gate = quantity(Gate(success_low=0.95), "", "when the teacher is good enough, judged from the task's start")
    stop_early: bool = quantity(True, "", "end when the gate is met with confidence")
    checkpoint_interval_s: float = quantity(30.0, "s", "longest time between checkpoints", gt=0, le=86_400)


class Teacher(Model):
    """The two phases."""

    pick: TeacherPhase = TeacherPhase()
    insert: TeacherPhase = TeacherPhase()


class Encoder(Model):
    """Pretraining of the image encoder."""

    source: Literal["states", "cifar10"] = quantity(
        "states", "", "what is learned: the simulator's state from randomised renders, or the classes of CIFAR-10"
    )
    cifar10: Line | None = quantity(None, "", "binary archive or folder of CIFAR-10 on disk")
    images: int = quantity(100_000, "", "rendered training images; 0 keeps random weights", ge=0, le=10_000_000)
    batch: int = quantity(256, "", "images per optimiser step", ge=1, le=1_000_000)
    passes: int = quantity(2, "", "passes over the images", ge=1, le=1000)
    latent: int = quantity(64, "", "size of the latent", ge=1, le=8192)
    stem: Literal["coarse", "fine"] = quantity(
        "coarse",
        "",
        "first layers of images from 64 pixels on: cells of 6 pixels, or of 4 that overlap, at a quarter of the rate",
    )
    optimiser: Optimiser = quantity("muon", "", OPTIMISER)
    learning_rate: float = quantity(0.03, "", "learning rate; for muon that of the matrices", ge=1e-9, le=100)

    @model_validator(mode="after")
    def _consistent(self) -> "Encoder":
        problems = []
        if self.passes * self.images > 1_000_000_000:
            problems.append("passes: passes x images is more than 1,000,000,000")
        if self.source == "cifar10" and not self.cifar10:
            problems.append("cifar10: the source cifar10 needs the archive, e.g. cifar-10-binary.tar.gz")
        require(problems)
        return self
