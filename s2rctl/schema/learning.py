"""Profile sections that describe training."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

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


class Distill(Model):
    """DAgger from the teachers to the student that sees images."""

    worlds: int = quantity(1024, "", "parallel worlds", ge=1, le=WORLDS_LIMIT)
    collectors: int = quantity(
        0,
        "",
        "groups into which the worlds are divided; each can act and label on a core or machine of its own, where "
        "launcher says. 0: one, in the learner's process, and resumed to the bit",
        ge=0,
        le=4096,
    )
    iterations: int = quantity(400, "", "iterations of acting and learning", ge=1, le=10_000_000)
    steps: int = quantity(6, "step", "control steps per iteration", ge=1, le=1000)
    epochs: int = quantity(4, "", "passes over each iteration's samples", ge=1, le=100)
    batch: int = quantity(256, "", "samples per optimiser step", ge=1, le=1_000_000)
    optimiser: Optimiser = quantity("adam", "", OPTIMISER)
    learning_rate: float = quantity(4e-4, "", "learning rate; for muon that of the matrices", ge=1e-9, le=100)
    weight_decay: float = quantity(
        0.0, "", "share of the learning rate by which weights shrink; muon needs some", ge=0, le=100
    )
    final_rate: float = quantity(0.1, "", "share of the learning rate that is left at the end", ge=1e-6, le=1)
    averaging: float = quantity(
        0.0,
        "",
        "iterations over which the student that acts, and is kept, is averaged: without the noise of single optimiser "
        "steps; 0: the newest",
        ge=0,
        le=1e6,
    )
    network: Layers = quantity((256, 256, 256), "", "hidden layers of the student")
    hand_poses: bool = quantity(
        True, "", "the student also gets the hand poses that the commanded joints have by forward kinematics"
    )
    measured_hands: bool = quantity(
        False,
        "",
        "the student also gets the hand poses of the measured joints, which tell how far the arms sag; needs readings "
        "as good as encoders are (noise.joint_pos)",
    )
    encoder: Literal["random", "frozen", "finetuned"] = quantity(
        "finetuned", "", "random weights, or the pretrained ones kept fixed or trained further"
    )
    aggregate: int = quantity(
        0,
        "",
        "samples of earlier iterations that are kept, to learn from again",
        ge=0,
        le=1_000_000_000,
    )
    reuse: int = quantity(1, "", "earlier samples per new one in an iteration, where some are kept", ge=1, le=100)
    estimates: float = quantity(
        0.0,
        "",
        "weight of telling the objects' poses from the images, beside imitating the teacher; 0: the student tells none",
        ge=0,
        le=1000,
    )
    filters: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = quantity(
        (),
        "",
        "shares of the past per control step in running means of the told poses, which the student remembers; none: a "
        "student without memory",
        max_length=8,
    )
    filtered_errors: bool = quantity(
        False, "", "the student remembers such running means of how far its arms are from their commands, too"
    )
    filtered_hands: bool = quantity(
        False,
        "",
        "and of where its measured hands were to each other: what was seen then tells which joints read wrong",
    )
    recurrent: int = quantity(
        0, "", "size of a recurrent unit with which the student learns what to remember; 0: none", ge=0, le=8192
    )
    behaviour_cloning: bool = quantity(False, "", "the teacher drives throughout, instead of the student (DAgger)")
    teacher_prefix: float = quantity(
        0.0,
        "",
        "share of the worlds whose episodes the teacher begins, for a time that differs between them; falls to none by "
        "the middle of the distillation",
        ge=0,
        le=1,
    )
    resample_appearance: float = quantity(
        0.0,
        "",
        "share of the worlds whose look (colours, lights, camera poses) is drawn again in every step, not only in "
        "every episode",
        ge=0,
        le=1,
    )
    resample_cameras: bool = quantity(
        True,
        "",
        "with that look the cameras are drawn again: their places, optics and errors of depth; false for a student "
        "with memory, which would learn that means over time have no such errors",
    )
    dynamics: float = dynamics_share()
    mildest: float = quantity(
        1.0,
        "",
        "how far the worlds' physics goes at least, as a share of dynamics: each world draws its own between the two. "
        "1: all go equally far, and few are like the nominal one",
        ge=0,
        le=1,
    )
    from_switch: float = quantity(
        0.0, "", "share of the worlds whose episodes begin where the pick teacher hands over", ge=0, lt=1
    )
    hide_object: float = quantity(
        0.07, "", "share of episodes that hide the peg, and likewise the socket", ge=0, le=0.5
    )
    checkpoint_interval_s: float = quantity(30.0, "s", "longest time between checkpoints", gt=0, le=86_400)

    @model_validator(mode="after")
    def _consistent(self) -> "Distill":
        problems = too_many("steps", worlds=self.worlds, steps=self.steps)
        if self.collectors and self.worlds % self.collectors:
            problems.append(f"collectors: {self.worlds} worlds cannot be divided into {self.collectors} equal groups")
        if self.measured_hands and not self.hand_poses:
            problems.append(
                "measured_hands: there are none without those of the commanded joints; set hand_poses: true"
            )
        filtered = [name for name in ("filtered_errors", "filtered_hands") if getattr(self, name)]
        if self.filters and not self.estimates and not filtered:
            problems.append("filters: nothing to filter; give estimates a weight, or set filtered_errors: true")
        if not self.filters:
            problems += [f"{name}: say how slowly they are filtered, by filters" for name in filtered]
        if self.filtered_hands and not self.measured_hands:
            problems.append("filtered_hands: there are none without measured_hands: true")
        require(problems)
        return self
