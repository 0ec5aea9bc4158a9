"""The cells of a sweep: every combination of settings, for every seed."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from s2rctl.core.errors import UsageError
from s2rctl.schema.base import SEED_LIMIT

MOST_CELLS = 10_000
_PART = re.compile(r"(\d{1,10})(?:\.\.(\d{1,10}))?")
_CLOSING = {"[": "]", "{": "}"}


@dataclass(frozen=True)
class Axis:
    """A profile value that the sweep varies, or sets: its dotted path and its values as YAML text."""

    path: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One pipeline run of a sweep."""

    seed: int
    changes: tuple[str, ...]  # ``a.b=value``, one for each axis in order

    @property
    def name(self) -> str:
        """The seed and the values, as people read them."""
        return " ".join([f"seed {self.seed}", *self.changes])


@dataclass(frozen=True)
class Grid:
    """Seeds and axes; the settings are all combinations of the axes' values."""

    seeds: tuple[int, ...]
    axes: tuple[Axis, ...]

    @property
    def settings(self) -> list[tuple[str, ...]]:
        """Every combination of values, the last axis fastest: ``a.b=value`` for each axis."""
        return list(itertools.product(*([f"{axis.path}={value}" for value in axis.values] for axis in self.axes)))

    @property
    def cells(self) -> list[Cell]:
        """All cells, seed by seed: what settings share for one seed is made once and then found."""
        return [Cell(seed, setting) for seed in self.seeds for setting in self.settings]

    def label(self, setting: Sequence[str]) -> str:
        """Return a setting without what does not vary; ``all`` where nothing does."""
        varied = [text for text, axis in zip(setting, self.axes, strict=True) if len(axis.values) > 1]
        return " ".join(varied) or "all"


COMPILATION = "simulation.compilation"
"""Read once in a process, by XLA (core.compile_cache)."""


def grid_of(seeds: str, sets: Sequence[str]) -> Grid:
    """Return the grid of ``--seeds`` and ``--set`` options; UsageError for one that cannot be read."""
    axes = tuple(_axis(text) for text in sets)
    paths = [axis.path for axis in axes]
    for path in paths:
        if paths.count(path) > 1:
            raise UsageError(f"--set {path} is given twice", f"give all its values at once: --set {path}=1,2,3")
        if path == "seed":
            raise UsageError("--set seed: seeds have an option of their own", "use --seeds, e.g. --seeds 0..7")
    for axis in axes:
        if axis.path == COMPILATION and len(axis.values) > 1:
            raise UsageError(
                f"--set {axis.path}: a process compiles in one way only, and cells share processes",
                "give one value, and sweep a second time for the other",
            )
    grid = Grid(parse_seeds(seeds), axes)
    count = len(grid.seeds)
    for axis in axes:
        count *= len(axis.values)
    if count > MOST_CELLS:
        raise UsageError(f"the sweep has {count} cells, more than {MOST_CELLS}", "give fewer values, or several sweeps")
    return grid


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds of ``0..7`` (both ends included), ``3``, ``0,2,8..11``; UsageError for anything else."""
    seeds: list[int] = []
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise UsageError(f"--seeds {text}: '{part}' is no seed and no range", "e.g. --seeds 0..7, or --seeds 0,3,5")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last > SEED_LIMIT or last - first >= MOST_CELLS:
            raise UsageError(
                f"--seeds {text}: '{part}' is no range of seeds", f"seeds go up to {SEED_LIMIT}, the smaller one first"
            )
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {text}: the same seed comes twice", "give every seed once")
    return tuple(seeds)


def _axis(text: str) -> Axis:
    path, equals, values = text.partition("=")
    if not equals or not path.strip():
        raise UsageError(f"--set {text}: needs the form path=value,value", "e.g. --set distill.iterations=100,200")
    found = tuple(part.strip() for part in _split(values))
    if len(set(found)) < len(found):
        raise UsageError(f"--set {text}: the same value comes twice", "give every value once")
    return Axis(path.strip(), found)


def _split(text: str) -> Iterator[str]:
    """Yield the parts between commas that stand neither in brackets nor in quotes."""
    part, inside = "", ""
    for character in text:
        if inside and character == inside[-1]:
            inside = inside[:-1]
        elif not inside.endswith(('"', "'")):
            inside += _CLOSING.get(character, character if character in "\"'" else "")
        if character == "," and not inside:
            yield part
            part = ""
        else:
            part += character
    yield part
