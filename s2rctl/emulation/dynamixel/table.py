"""The control table of the X series: which registers there are, what may be written to them and when.

Source: ROBOTIS e-Manual, control tables of XM540-W270, XM430-W350 and XL430-W250. Addresses below 64 are EEPROM, which
is locked while torque is on.
"""

import math
from dataclasses import dataclass

SIZE = 256
"""Bytes that are emulated: everything below the indirect registers' data."""
RAM = 64


@dataclass(frozen=True)
class Entry:
    """One register. ``low`` and ``high`` bound what may be written; None makes it read only."""

    address: int
    size: int
    low: int | None = None
    high: int | None = None
    initial: int = 0

    @property
    def signed(self) -> bool:
        """Whether negative values exist."""
        return self.low is not None and self.low < 0


@dataclass(frozen=True)
class Model:
    """What tells the models of the series apart."""

    number: int
    current_limit: int  # units of 2.69 mA; 0: it measures no current
    velocity_limit: int  # units of 0.229 rpm
    modes: tuple[int, ...]
    stall_torque: float  # N m at RATED_V, as the data sheet has it
    stall_current: float  # A, likewise
    no_load_rpm: float  # likewise

    @property
    def torque_per_ampere(self) -> float:
        """N m/A."""
        return self.stall_torque / self.stall_current

    @property
    def no_load(self) -> float:
        """Speed (rad/s) at which the motor's own voltage leaves nothing to push with."""
        return self.no_load_rpm * 2.0 * math.pi / 60.0


RATED_V = 12.0
"""Voltage of the data sheets' figures."""
MODELS = {
    1120: Model(1120, 2047, 128, (0, 1, 3, 4, 5, 16), 10.6, 4.4, 30.0),
    1020: Model(1020, 1193, 200, (0, 1, 3, 4, 5, 16), 4.1, 2.3, 46.0),
    1060: Model(1060, 0, 265, (1, 3, 4, 16), 1.5, 1.4, 61.0),
}
"""XM540-W270, XM430-W350, XL430-W250."""


def entries(model: Model, motor: int, firmware: int) -> dict[int, Entry]:
    """Return a motor's registers by address, with the values that it has after a factory reset."""
    gain = 16383
    with_current = (
        [
            Entry(38, 2, 0, model.current_limit, model.current_limit),
            Entry(102, 2, -model.current_limit, model.current_limit),
        ]
        if model.current_limit
        else []
    )
    rows = [
        Entry(0, 2, initial=model.number),
        Entry(2, 4),
        Entry(6, 1, initial=firmware),
        Entry(7, 1, 0, 252, motor),
        Entry(8, 1, 0, 7, 3),
        Entry(9, 1, 0, 254, 250),
        Entry(10, 1, 0, 13),
        Entry(11, 1, 0, 16, 3),
        Entry(12, 1, 0, 255, 255),
        Entry(13, 1, 2, 2, 2),
        Entry(20, 4, -1044479, 1044479),
        Entry(24, 4, 0, 1023, 10),
        Entry(31, 1, 0, 100, 80),
        Entry(32, 2, 95, 160, 160),
        Entry(34, 2, 95, 160, 95),
        Entry(36, 2, 0, 885, 885),
        Entry(44, 4, 0, 1023, model.velocity_limit),
        Entry(48, 4, 0, 4095, 4095),
        Entry(52, 4, 0, 4095, 0),
        Entry(63, 1, 0, 63, 52),
        Entry(64, 1, 0, 1),
        Entry(65, 1, 0, 1),
        Entry(68, 1, 0, 2, 2),
        Entry(69, 1),
        Entry(70, 1),
        *(Entry(address, 2, 0, gain) for address in (76, 78, 80, 82, 88, 90)),
        Entry(84, 2, 0, gain, 800),
        Entry(98, 1, 0, 127),
        Entry(100, 2, -885, 885),
        Entry(104, 4, -1023, 1023),
        Entry(108, 4, 0, 32767),
        Entry(112, 4, 0, 32767),
        Entry(116, 4, -1048575, 1048575),
        Entry(120, 2),
        Entry(122, 1),
        Entry(123, 1),
        Entry(124, 2),
        Entry(126, 2),
        Entry(128, 4),
        Entry(132, 4),
        Entry(136, 4),
        Entry(140, 4),
        Entry(144, 2, initial=120),
        Entry(146, 1, initial=35),
        *with_current,
    ]
    return {entry.address: entry for entry in rows}
