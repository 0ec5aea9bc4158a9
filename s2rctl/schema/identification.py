"""Profile section ``identification``, and what an identification found and how sure it is of it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from s2rctl.schema.base import Line, Model, Range, quantity, within
from s2rctl.schema.deployment import SLOW_AGE_PERIODS, SLOW_WATCHDOG_S, Safety


class Settings(Model):
    """How a robot's motion is identified."""

    amplitude_rad: float = quantity(0.25, "rad", "largest distance of a joint from home", ge=0.01, le=1.5)
    joint_speed: float = quantity(1.0, "rad/s", "largest joint speed; never above deploy.safety's", ge=0.01, le=3)
    chirp_hz: Annotated[Range, AfterValidator(within(0.01, 20))] = quantity(
        (0.1, 3.0), "Hz", "sweeps, slowest to fastest"
    )
    round_s: float = quantity(6.0, "s", "length of one round of sweeps or steps", ge=2, le=120)
    rounds: int = quantity(4, "", "rounds, sweeps and steps in turn; the last one is kept for the check", ge=3, le=40)
    rest_s: float = quantity(0.5, "s", "standing still at both ends of a round", ge=0.1, le=10)
    rehearsed_spread: float = quantity(
        0.4, "", "a rehearsal's robot differs from the simulated one by up to this part in every figure", ge=0, le=0.6
    )
    rehearsed_delay_s: Annotated[Range, AfterValidator(within(0, 0.2))] = quantity(
        (0.0, 0.08), "s", "a rehearsal's robot is this late"
    )
    rehearsed_zero_deg: float = quantity(
        3.0, "deg", "one joint's zero of a rehearsal's robot is up to this far off", ge=0, le=10
    )
    sigmas: float = quantity(2.0, "", "apply: randomisation covers this many standard deviations", ge=0.5, le=6)
    max_ratio: float = quantity(
        0.5, "", "gate of check: held-out open-loop error after, as a part of before", ge=0.01, le=2
    )
    max_error_rad: float = quantity(
        0.005, "rad", "gate of check: an open-loop error below this is good whatever it was before", ge=1e-4, le=1
    )

    def safety(self, deploy: Safety) -> Safety:
        """Return the limits while joints are excited; what holds nothing may be measured less often."""
        return deploy.model_copy(
            update={
                "joint_speed": min(self.joint_speed, deploy.joint_speed),
                "max_state_age_periods": max(deploy.max_state_age_periods, SLOW_AGE_PERIODS),
                "device_watchdog_s": max(deploy.device_watchdog_s, SLOW_WATCHDOG_S),
            }
        )


class Found(Model):
    """One parameter."""

    name: Line
    kind: Literal["armature", "damping", "friction_loss", "gain", "zero", "delay"]
    joint: str = ""
    unit: str
    nominal: float = quantity(..., "", "the prior's mean, in unit")
    value: float = quantity(..., "", "most probable value; the prior's where the recording does not tell")
    sigma: float = quantity(..., "", "standard deviation", ge=0)
    low: float = quantity(..., "", "95 % interval")
    high: float
    told: bool = quantity(..., "", "whether the recording tells it")
    truth: float | None = quantity(None, "", "what a rehearsal's robot was made with")


class JointErrors(Model):
    """How far a joint is foreseen on what was held out, root mean square."""

    joint: str
    open_loop_before: float = quantity(..., "rad", "from the commands alone, nominal parameters", ge=0)
    open_loop_after: float = quantity(..., "rad", "identified parameters", ge=0)
    one_step_before: float = quantity(..., "rad", "one control step ahead, nominal parameters", ge=0)
    one_step_after: float = quantity(..., "rad", "identified parameters", ge=0)


class Identification(Model):
    """Result of ``sysid solve``."""

    schema_version: Literal[1] = 1
    robot: str = quantity(..., "", "robot table name")
    mode: Literal["rehearse", "live", "recordings"]
    method: str
    parameters: tuple[Found, ...]
    covariance: tuple[tuple[float, ...], ...] = quantity(..., "", "of all parameters, in the product of their units")
    noise_rad: tuple[float, ...] = quantity(..., "rad", "what remains, joint by joint")
    readings: int = quantity(..., "", "numbers that were fitted", ge=1)
    seconds: float = quantity(..., "s", "motion that was fitted", ge=0)
    errors: tuple[JointErrors, ...]
    host_s: float = quantity(0.0, "s", "mean time from reading the sensors to the command, part of every delay", ge=0)
    observation_weights: Annotated[tuple[float, ...], Field(min_length=1)] = quantity(
        (1.0,), "", "probabilities of a reading that is 0, 1, 2 ... control steps old"
    )
    action_weights: Annotated[tuple[float, ...], Field(min_length=1)] = quantity(
        (1.0,), "", "probabilities of a command that is 0, 1, 2 ... control steps late"
    )
    made_at: float = quantity(0.0, "s", "when, since 1970")
    robot_serial: str = ""
    verdict: str = ""

    @model_validator(mode="after")
    def _square(self) -> "Identification":
        size = len(self.parameters)
        if len(self.covariance) != size or any(len(row) != size for row in self.covariance):
            raise ValueError(f"covariance: needs {size} rows and columns")
        return self

    @property
    def before(self) -> float:
        """Open-loop error of the nominal parameters over all joints, rad."""
        return _rms([error.open_loop_before for error in self.errors])

    @property
    def after(self) -> float:
        """Open-loop error of the identified parameters over all joints, rad."""
        return _rms([error.open_loop_after for error in self.errors])


def _rms(values: list[float]) -> float:
    return (sum(value**2 for value in values) / max(len(values), 1)) ** 0.5
