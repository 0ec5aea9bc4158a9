"""What a policy commands, as data: one entry for each number of a target.

A robot takes joints, slides and grippers, tool positions that its own controller solves for, or some of each. What acts
on commands (action, limits, filter, drivers, twin, exports) goes by these entries and asks no robot what it is.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np

Kind = Literal["joint", "slide", "gripper", "tool_translation"]
AXES = ("x", "y", "z")
"""The three entries of a tool's position, in the robot's base frame."""


@dataclass(frozen=True)
class Entry:
    """One number of a command. It drives a measured joint, or is one axis of a tool's position.

    Limits of the commanded value and the device's own largest speed are in ``unit`` and ``unit``/s. Tool positions have
    none by themselves: their box and speed are the profile's.
    """

    name: str
    kind: Kind
    unit: Literal["rad", "m"]
    low: float = -inf
    high: float = inf
    rate: float = inf
    joint: int | None = None  # index of the measured joint that it drives
    tool: int | None = None  # index of the arm whose tool it moves

    def __post_init__(self) -> None:
        moves_tool = self.kind == "tool_translation"
        if (self.tool is not None) != moves_tool or (self.joint is None) != moves_tool:
            raise ValueError(f"'{self.name}' is of kind {self.kind} and names the wrong one of joint and tool")
        if not self.low < self.high or not self.rate > 0:
            raise ValueError(f"'{self.name}' has limits that leave no room")


class CommandSpace:
    """The entries of a robot's command as arrays; ``m`` is their number."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        """Raise ValueError for entries that are none, name anything twice, or part of a tool's position."""
        self.entries = tuple(entries)
        self.names = tuple(entry.name for entry in entries)
        self.low = np.array([entry.low for entry in entries])  # (m,)
        self.high = np.array([entry.high for entry in entries])
        driven = [number for number, entry in enumerate(entries) if entry.joint is not None]
        self.driven = np.array(driven, int)  # entries that drive a joint
        self.joints = np.array([entries[number].joint for number in driven], int)  # the joints that they drive
        self.tools = {
            tool: np.array([number for number, entry in enumerate(entries) if entry.tool == tool])
            for tool in sorted({entry.tool for entry in entries if entry.tool is not None})
        }  # arm -> its entries x, y, z
        if not entries or len({*self.names}) < len(entries) or len({*self.joints}) < len(driven):
            raise ValueError("a command has entries, each with a name and, if any, a joint of its own")
        if any(len(numbers) != len(AXES) for numbers in self.tools.values()):
            raise ValueError(f"a tool is commanded by its {', '.join(AXES)}, in this order")

    def __len__(self) -> int:
        return len(self.entries)

    def values(self, joint_pos: np.ndarray, tool: np.ndarray) -> np.ndarray:
        """Return the command (m,) that stands where the joints (n,) and the arms' tools (arms, 3 or more) m are."""
        values = np.empty(len(self.entries))
        values[self.driven] = joint_pos[self.joints]
        for arm, numbers in self.tools.items():
            values[numbers] = tool[arm, : len(AXES)]
        return values

    def of_kind(self, *kinds: Kind) -> np.ndarray:
        """Return which entries (m,) are of these kinds."""
        return np.array([entry.kind in kinds for entry in self.entries])

    def takes(self, values: np.ndarray) -> bool:
        """Return whether values are as many finite numbers as the command has entries."""
        return values.shape == (len(self.entries),) and bool(np.isfinite(values).all())


def joint_entries(
    names: Sequence[str],
    joints: Sequence[int],
    low: Sequence[float],
    high: Sequence[float],
    joint_rate: Sequence[float],
    grippers: Collection[str] = (),
) -> tuple[Entry, ...]:
    """Return one entry per actuator; ``joint_rate`` is of all measured joints, ``grippers`` are some of ``names``."""
    return tuple(
        Entry(
            name=name,
            kind="gripper" if name in grippers else "joint",
            unit="m" if name in grippers else "rad",
            low=least,
            high=most,
            rate=joint_rate[joint],
            joint=joint,
        )
        for name, joint, least, most in zip(names, joints, low, high, strict=True)
    )


def tool_entries(arm: int = 0, prefix: str = "") -> tuple[Entry, ...]:
    """Return the entries of one arm's tool position."""
    return tuple(Entry(f"{prefix}{axis}", "tool_translation", "m", tool=arm) for axis in AXES)
