"""Profile sections that describe an evaluation in worlds that nobody trained in."""

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from s2rctl.schema.base import WORLDS_LIMIT, Line, Model, quantity, require, within
from s2rctl.schema.learning import Gate
from s2rctl.schema.looks import HarshLook, MildLook
from s2rctl.schema.simulation import Appearance

TierName = Literal["T0", "T1", "T2", "T3", "T4", "T5"]
TIER_NAMES: tuple[str, ...] = get_args(TierName)
Multiples = tuple[Annotated[float, Field(gt=0, le=10)], ...]
Share = Annotated[float, AfterValidator(within(0, 1))]


class CameraEdge(Model):
    """How much further than it was trained for a camera stands, each episode in another direction.

    A camera is placed within the range of its contract as well as it can be measured. So at worst every axis is at the
    end of ``vision.appearance``'s range and, on top of that, as far off as a calibration may be that passes. The field
    of view is not placed but bought: it is as far off as one module may be from the next.
    """

    position_m: float | None = quantity(
        None, "m", "beyond the trained range on every axis; null: calibration.max_position_error_m", ge=0, le=0.5
    )
    rotation_deg: float | None = quantity(
        None, "deg", "beyond the trained range, about a random axis; null: calibration.max_rotation_error_deg",
        ge=0, le=90,
    )  # fmt: skip
    fovy_deg: float = quantity(
        3.0, "deg", "vertical field of view, wider or narrower than nominal; the trained range where that is larger. "
        "The data sheet of the D400 cameras lets it differ by 5 % from module to module, which is 2.9 of 58 degrees",
        ge=0, le=20,
    )  # fmt: skip


class Controls(Model):
    """What must succeed and what must fail in a tier's worlds, or the tier says nothing of a policy."""

    positive_low: float = quantity(
        0.5, "", "the scripted expert's Wilson lower bound must reach this where dynamics are the profile's own",
        ge=0, le=1,
    )  # fmt: skip
    positive_low_dynamics: float = quantity(
        0.5, "", "the same where dynamics are drawn; measured were 124 of 128 (picking) and 255 of 256 (insertion)",
        ge=0, le=1,
    )  # fmt: skip
    negative_high: float = quantity(
        0.02, "", "a policy that does nothing succeeds at most in this share: the Wilson lower bound of its rate must "
        "not be above", ge=0, le=1,
    )  # fmt: skip
    pictures: float = quantity(
        0.9, "", "share of the worlds whose first pictures must differ from those of T0, where a tier changes the look",
        ge=0, le=1,
    )  # fmt: skip


class Sensitivity(Model):
    """How single axes are tried, all others nominal."""

    episodes: int = quantity(32, "", "episodes at each value, on common starts", ge=1, le=100_000)
    multiples: Multiples = quantity(
        (0.5, 1.0, 1.5, 2.0), "", "values, in multiples of the way from nominal to each end of the axis's range",
        min_length=1, max_length=16,
    )  # fmt: skip
    look_multiples: Multiples = quantity(
        (0.5, 1.0), "", "the same for axes of the look, within the range of a harsh one: their pictures take longer",
        min_length=1, max_length=16,
    )  # fmt: skip
    axes: tuple[Line, ...] = quantity((), "", "axes to try; none: all that apply", max_length=256)
    worlds: int = quantity(
        1024, "", "worlds of one environment, which holds as many values as fit", ge=1, le=WORLDS_LIMIT
    )
    threshold: float = quantity(0.8, "", "success that a policy must keep", gt=0, lt=1)

    @model_validator(mode="after")
    def _consistent(self) -> "Sensitivity":
        problems = []
        for name in ("multiples", "look_multiples"):
            if 1.0 not in getattr(self, name):
                problems.append(f"{name}: needs 1, the end of the range")
        if self.worlds < self.episodes:
            problems.append("worlds: needs to hold the episodes of one value at least")
        require(problems)
        return self


class Tiers(Model):
    """Worlds that are a little different and entirely plausible, in tiers of rising difficulty."""

    names: tuple[TierName, ...] = quantity((), "", "tiers to play beside T0; none: all that apply", max_length=6)
    episodes: int = quantity(128, "", "episodes in each tier, on the same starts", ge=1, le=1_000_000)
    films: int = quantity(1, "", "successes and failures to film in each tier, and one of each kind of failure",
        ge=0, le=100)  # fmt: skip
    scene: Appearance | None = quantity(
        None, "", "what the laboratory of T1, T2 and T5 looks like before their own changes: policies that were "
        "trained in other looks meet the same worlds; null: vision.appearance",
    )  # fmt: skip
    look: MildLook = quantity(MildLook(), "", "looks of T1")
    harsh: HarshLook = quantity(HarshLook(), "", "looks of T2 and T5")
    camera: CameraEdge = CameraEdge()
    controls: Controls = Controls()
    sensitivity: Sensitivity = Sensitivity()


class EvaluationGate(Gate):
    """When a policy is good enough, in its own worlds and in others."""

    tiers: dict[str, Share] = quantity(
        {}, "", "Wilson lower bounds of tiers that evaluate --tiers and live runs ask for, e.g. {T3: 0.8}"
    )

    @model_validator(mode="after")
    def _known(self) -> "EvaluationGate":
        require(
            f"tiers: there is no {name}; use {', '.join(TIER_NAMES)}" for name in self.tiers if name not in TIER_NAMES
        )
        return self
