"""Base of every model: immutable, and a misspelt key is an error."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """Frozen pydantic model that forbids unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def quantity(default: Any, unit: str, description: str, **limits: Any) -> Any:
    """Declare a field with a unit; ``...`` as default makes it required."""
    return Field(
        default,
        description=f"{description} [{unit}]" if unit else description,
        json_schema_extra={"unit": unit} if unit else None,
        **limits,
    )
