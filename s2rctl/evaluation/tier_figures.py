"""Figures of tiers, as ``evaluate --tiers --json``, the report and the contract card carry them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from s2rctl.evaluation.clusters import Quantity, causes
from s2rctl.evaluation.episodes import Episode, Episodes, summary
from s2rctl.evaluation.statistics import paired
from s2rctl.evaluation.tiers import Played, Tier
from s2rctl.schema.dynamics import KINDS
from s2rctl.schema.laboratory import LOOK_AXES

_OWN = {
    "own_brightness": ("", "brightness of the policy's pictures, the profile's own draw"),
    "own_shadows": ("", "whether there are shadows, the profile's own draw"),
    "own_light": ("", "brightness of the lights, the profile's own draw"),
    "own_camera_offset": ("m", "distance of the camera that is furthest from its place"),
    "own_camera_rotation": ("deg", "angle of the camera that is turned most"),
}
"""What the profile's own randomisation draws."""


def plain(tier: Tier, played: Played) -> dict[str, Any]:
    """Return what happened in a tier: rate with intervals, failures by kind, and what explains them."""
    result = Episodes(played.episodes, (), played.start)
    return {
        "title": tier.title,
        "changes": tier.changes,
        **summary(result),
        "paired": None,
        "clusters": causes(played.episodes, played.drawn, quantities()),
    }


def quantities() -> dict[str, Quantity]:
    """Return what is known of the quantities that worlds are drawn."""
    look = {name: Quantity(axis.unit, axis.text, axis.nominal) for name, axis in LOOK_AXES.items()}
    own = {name: Quantity(unit, text, None) for name, (unit, text) in _OWN.items()}
    return own | look | {name: Quantity(axis.unit, axis.text, axis.nominal) for name, axis in KINDS.items()}


def against(own: Sequence[bool], episodes: Sequence[Episode]) -> dict[str, Any]:
    """Return the paired comparison with T0: ``first`` is the tier, ``second`` T0, so a loss is negative."""
    return paired([episode.success for episode in episodes], list(own))._asdict()


def judged(checks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the controls of a tier, and whether it is void because one of them failed."""
    failed = [name for name, check in checks.items() if not check["passed"]]
    return {"controls": dict(checks), "void": bool(failed), "void_because": failed}


_SHORT = ("title", "episodes", "successes", "success_rate", "wilson_low", "wilson_high", "text", "failures", "void")


def short(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a manifest keeps of a tier."""
    return {name: figures[name] for name in _SHORT}


def lines(played: Played) -> Iterator[dict[str, Any]]:
    """Yield each episode with what its world was drawn."""
    for row, episode in enumerate(played.episodes):
        yield vars(episode) | {"drawn": {name: _number(values[row]) for name, values in played.drawn.items()}}


def _number(value: np.floating[Any] | float) -> float:
    return round(float(value), 9)
