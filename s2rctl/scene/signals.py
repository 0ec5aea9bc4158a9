"""Typed view of MuJoCo's sensor vector.

A task declares a frozen dataclass; each field is a named quantity in the model. Field ``box_pos`` reads the sensor
``box_pos``; the field ``left_joint_pos`` reads the sensors ``left_joint_pos/waist``, ``left_joint_pos/shoulder``
… in model order when there is no sensor of exactly that name. ``real`` says that the deployed robot can measure it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from s2rctl.core.errors import RunError
from s2rctl.core.tables import suggestion

if TYPE_CHECKING:
    import mujoco

T = TypeVar("T")


@dataclass(frozen=True)
class Quantity:
    """Shape, unit and origin of one signal."""

    shape: tuple[int, ...]
    unit: str
    real: bool
    meaning: str


def real(*shape: int, unit: str, meaning: str) -> Any:
    """Declare a signal that sensors of the real robot provide."""
    return field(metadata={"quantity": Quantity(shape, unit, True, meaning)})


def sim_only(*shape: int, unit: str, meaning: str) -> Any:
    """Declare a signal that only the simulator knows: never an input of a deployed policy."""
    return field(metadata={"quantity": Quantity(shape, unit, False, meaning)})


def quantities(signals: type) -> dict[str, Quantity]:
    """Return the declared quantities of a signals dataclass by field name."""
    return {f.name: f.metadata["quantity"] for f in fields(signals)}


class SignalReader(Generic[T]):
    """Slices ``sensordata`` into a task's signals; checked once against the model.

    Raises RunError when a declared signal is not in the model or has another size.
    """

    def __init__(self, model: "mujoco.MjModel", signals: type[T]) -> None:
        self._signals = signals
        addresses = _addresses(model)
        self._slices: dict[str, tuple[int, int, tuple[int, ...]]] = {}
        for name, quantity in quantities(signals).items():
            if name not in addresses:
                raise RunError(f"the scene has no sensor '{name}'", suggestion(name, addresses))
            start, size = addresses[name]
            wanted = 1
            for extent in quantity.shape:
                wanted *= extent
            if size != wanted:
                raise RunError(f"signal '{name}' is declared with {wanted} numbers, the sensor has {size}")
            self._slices[name] = (start, size, quantity.shape)

    def read(self, sensordata: Any) -> T:
        """Return the signals of one world from ``sensordata`` (nsensordata,), a numpy or JAX array."""
        values = {
            name: sensordata[start : start + size].reshape(shape) if shape else sensordata[start]
            for name, (start, size, shape) in self._slices.items()
        }
        return self._signals(**values)


def _addresses(model: "mujoco.MjModel") -> Mapping[str, tuple[int, int]]:
    """Return (start, size) of each sensor and of each ``group/item`` run of sensors by the group's name."""
    found: dict[str, tuple[int, int]] = {}
    for index in range(model.nsensor):
        name = model.sensor(index).name
        start, size = int(model.sensor_adr[index]), int(model.sensor_dim[index])
        found[name] = (start, size)
        group = name.rpartition("/")[0]
        if not group:
            continue
        first, length = found.get(group, (start, 0))
        if first + length == start:
            found[group] = (first, length + size)
    return found
