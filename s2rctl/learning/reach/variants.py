"""What the variants of the reach policy are made of: the published system's experiments and our additions."""

from collections.abc import Mapping
from dataclasses import dataclass

from s2rctl.learning.vision.encoder import Style
from s2rctl.schema.reach import Reach, ReachVariant


@dataclass(frozen=True)
class Variant:
    """One way to train. Cameras and depth follow from the profile's cameras, which the schema fits to the variant."""

    bottleneck: bool = True  # whether MSE(position, predicted position) is part of the loss
    initialised: bool = True  # whether the extractor starts from supervised regression
    style: Style = "plain"
    critics: int = 1


VARIANTS: Mapping[ReachVariant, Variant] = {
    "best": Variant(),
    "plain": Variant(bottleneck=False, initialised=False),
    "depth": Variant(bottleneck=False),
    "alexnet": Variant(style="alexnet"),
    "twin": Variant(critics=2),
    "two_camera": Variant(),
    "keypoint": Variant(style="keypoint"),
}


def variant_of(reach: Reach) -> Variant:
    """Return what the profile's variant is made of."""
    return VARIANTS[reach.variant]
