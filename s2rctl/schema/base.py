"""Base of every model, and the kinds of numbers and names that several of them have.

A model is immutable, a misspelt key is an error, and no number is infinite or missing.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Numbers = TypeVar("Numbers", bound=float | tuple[float, ...] | Mapping[str, float] | None)


class Model(BaseModel):
    """Frozen pydantic model that forbids unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, values: Any) -> Any:
        """Refuse ``true`` where a number is meant, which Python would take for 1."""
        if isinstance(values, dict):
            require(
                f"{name}: needs a number, not {str(values[name]).lower()}"
                for name, field in cls.model_fields.items()
                if field.annotation in _NUMBERS and isinstance(values.get(name), bool)
            )
        return values


_NUMBERS = (int, float, int | None, float | None)


def quantity(default: Any, unit: str, description: str, **limits: Any) -> Any:
    """Declare a field with a unit; ``...`` as default makes it required."""
    return Field(
        default,
        description=f"{description} [{unit}]" if unit else description,
        json_schema_extra={"unit": unit} if unit else None,
        **limits,
    )


def within(low: float, high: float) -> Callable[[Numbers], Numbers]:
    """Return a check that a number, or every number of a tuple or mapping, lies from ``low`` to ``high``."""

    def check(value: Numbers) -> Numbers:
        numbers: Iterable[float]
        if value is None:
            return value
        numbers = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else (value,)
        for number in numbers:
            if not low <= number <= high:
                raise ValueError(f"needs numbers from {low:g} to {high:g} (got {number:g})")
        return value

    return check


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"a range needs its lower end first (got {value[0]:g}, {value[1]:g})")
    return value


Range = Annotated[tuple[float, float], AfterValidator(_ascending)]
"""Two numbers, the lower one first."""
Layers = Annotated[tuple[Annotated[int, Field(ge=1, le=8192)], ...], Field(min_length=1, max_length=16)]
"""Sizes of the hidden layers of a network."""
CameraName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=64)]
"""A camera's name becomes part of the names of files and of a policy's inputs."""
Line = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\r\n\t]*$")]
"""Text of one line: a name or a place."""

SEED_LIMIT = 2**31 - 1
"""Largest seed: JAX's keys have 32 bits, and stages add an offset for episodes of their own."""
WORLDS_LIMIT = 65_536
"""Largest number of worlds side by side."""
STEPS_LIMIT = 2_000_000_000
"""Largest number of steps: what a counter of 32 bits holds."""
SAMPLES_LIMIT = 2**24
"""Largest number of samples that are in memory at once."""


def require(problems: Iterable[str]) -> None:
    """Raise ValueError with every problem on a line of its own, ``field: what is the matter``, if there are any."""
    told = "\n".join(problems)
    if told:
        raise ValueError(told)


def too_many(field: str, **factors: int) -> list[str]:
    """Return the problem of factors whose product is more samples than fit into memory at once."""
    product = 1
    for factor in factors.values():
        product *= factor
    if product <= SAMPLES_LIMIT:
        return []
    return [f"{field}: {' x '.join(factors)} is {product:,}; at most {SAMPLES_LIMIT:,} samples fit into memory at once"]
