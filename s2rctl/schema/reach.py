"""Profile section of the reach policy's training."""

from typing import Literal

from s2rctl.schema.base import (
    STEPS_LIMIT,
    WORLDS_LIMIT,
    CameraName,
    Layers,
    Model,
    quantity,
)
from s2rctl.schema.learning import dynamics_share

ReachVariant = Literal["best", "plain", "depth", "alexnet", "twin", "two_camera", "keypoint"]


class Reach(Model):
    """Asymmetric DDPG: image actor with a position bottleneck, state critic."""

    variant: ReachVariant = quantity(
        "best",
        "",
        "best: bottleneck and initialised extractor; plain: neither; depth: initialised extractor that sees depth, no "
        "bottleneck; as best, but alexnet: AlexNet-style extractor, twin: two critics, two_camera: a second view, "
        "keypoint: soft-argmax extractor",
    )
    second_camera: CameraName = quantity("front", "", "camera that the variant two_camera adds")
    hindsight: float = quantity(
        0.0,
        "",
        "share of sampled transitions whose goal is replaced by a place that the tool reached later",
        ge=0,
        le=1,
    )
    worlds: int = quantity(64, "", "parallel worlds", ge=1, le=WORLDS_LIMIT)
    steps: int = quantity(1_000_000, "step", "environment steps", ge=1, le=STEPS_LIMIT)
    replay: int = quantity(100_000, "", "transitions kept", ge=1, le=1_000_000_000)
    warmup: int = quantity(2_000, "step", "random environment steps before learning", ge=0, le=STEPS_LIMIT)
    batch: int = quantity(256, "", "transitions per optimiser step", ge=1, le=1_000_000)
    updates_per_step: float = quantity(0.25, "", "optimiser steps per vector step of all worlds", ge=1e-6, le=10_000)
    discount: float = quantity(0.98, "", "discount per step", ge=1e-3, lt=1)
    polyak: float = quantity(0.95, "", "share of the old target that each update keeps", ge=0, lt=1)
    actor_learning_rate: float = quantity(8e-4, "", "Adam learning rate", ge=1e-9, le=100)
    critic_learning_rate: float = quantity(8e-4, "", "Adam learning rate", ge=1e-9, le=100)
    extractor_rate: float = quantity(
        1.0, "", "share of the actor's learning rate for an initialised extractor and its position", ge=1e-9, le=1
    )
    freeze_extractor: bool = quantity(
        False,
        "",
        "an initialised extractor stays as it is: experience keeps what it sees instead of the images, which makes "
        "updates many times faster",
    )
    final_rate: float = quantity(1.0, "", "share of both learning rates that is left at the end", ge=1e-6, le=1)
    resample_appearance: float = quantity(
        0.0,
        "",
        "share of the worlds whose look (colours, lights, camera poses) is drawn again in every step, not only "
        "in every episode",
        ge=0,
        le=1,
    )
    dynamics: float = dynamics_share()
    bottleneck: float = quantity(1.0, "", "weight of MSE(position, predicted position)", ge=0, le=1e6)
    action_l2: float = quantity(0.3, "", "penalty on the squared action", ge=0, le=1e6)
    exploration_noise: float = quantity(
        0.2, "", "standard deviation of the action noise, of the action range", ge=0, le=10
    )
    random_action: float = quantity(0.3, "", "share of uniformly random actions while exploring", ge=0, le=1)
    hidden: Layers = quantity((256, 256, 256), "", "hidden layers of actor and critic")
    checkpoint_interval_s: float = quantity(30.0, "s", "longest time between checkpoints", gt=0, le=86_400)
