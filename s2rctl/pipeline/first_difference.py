"""Where two files differ first: by tensor, by field, by line, else by byte."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s2rctl.pipeline.plan import flat

_CLOCK = re.compile(r"(.*\.)?(minutes|seconds|duration_s|compile_s|wall_s|\w+_ms(_p\d+)?|\w+_per_s)")
"""Fields that say how long something took: no run repeats them."""
_SHOWN = 60
_LARGEST = 1 << 28
"""Bytes of a file that is compared by its content; larger ones byte by byte."""


@dataclass(frozen=True)
class Place:
    """Where two files differ first, and by what."""

    where: str
    left: str
    right: str
    more: str = ""  # about the whole of the difference


def first_difference(left: Path, right: Path) -> Place | None:
    """Return where two files differ first; None if they do not, apart from how long something took.

    ``left`` and ``right`` are named alike. Files that cannot be read as what their name says are compared by bytes.
    """
    one, two = left.stat().st_size, right.stat().st_size
    compare = _BY_SUFFIX.get(right.suffix) if max(one, two) <= _LARGEST else None
    if compare is not None:
        try:
            return compare(left, right)
        except Exception:  # whatever a damaged file does to its reader
            return _bytes(left, right)
    return _bytes(left, right)


def _bytes(left: Path, right: Path) -> Place | None:
    offset = 0
    with left.open("rb") as one, right.open("rb") as two:
        while True:
            a, b = one.read(1 << 16), two.read(1 << 16)
            if a != b:
                short = min(len(a), len(b))
                index = next((i for i in range(short) if a[i] != b[i]), short)
                return Place(f"byte {offset + index}", _byte(a, index), _byte(b, index))
            if not a:
                return None
            offset += len(a)


def _byte(block: bytes, index: int) -> str:
    return f"0x{block[index]:02x}" if index < len(block) else "the end"


def _json(left: Path, right: Path) -> Place | None:
    return _trees(json.loads(left.read_bytes()), json.loads(right.read_bytes()), "")


def _json_lines(left: Path, right: Path) -> Place | None:
    one, two = (path.read_text(encoding="utf-8").splitlines() for path in (left, right))
    for number, (a, b) in enumerate(zip(one, two, strict=False), 1):
        found = _trees(json.loads(a), json.loads(b), f"line {number}")
        if found is not None:
            return found
    if len(one) != len(two):
        return Place(f"line {min(len(one), len(two)) + 1}", f"{len(one)} lines", f"{len(two)} lines")
    return None


def _trees(left: Any, right: Any, place: str) -> Place | None:
    one, two = ({"": tree} if not isinstance(tree, Mapping) else flat(tree) for tree in (left, right))
    for path in (*one, *(path for path in two if path not in one)):
        if one.get(path) != two.get(path) and not _CLOCK.fullmatch(path):
            where = ", ".join(part for part in (place, path) if part) or "the value"
            return Place(where, _text(one.get(path)), _text(two.get(path)))
    return None


def _text(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _tensors(left: Path, right: Path) -> Place | None:
    from safetensors.numpy import load_file

    return _arrays(load_file(left), load_file(right))


def _zipped(left: Path, right: Path) -> Place | None:
    with np.load(left, allow_pickle=False) as one, np.load(right, allow_pickle=False) as two:
        return _arrays(dict(one), dict(two))


def _arrays(left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> Place | None:
    differing = 0
    first = None
    for name in sorted({*left, *right}):
        a, b = left.get(name), right.get(name)
        if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
            return Place(f"tensor {name}", _form(a), _form(b))
        unequal = ~((a == b) | (_nan(a) & _nan(b)))
        count = int(unequal.sum())
        differing += count
        if count and first is None:
            index = tuple(int(i) for i in np.argwhere(unequal)[0])
            where = f"tensor {name}{list(index)}" if index else f"tensor {name}"
            first = (name, where, repr(a[index].item()), repr(b[index].item()), _largest(a, b))
    if first is None:
        return None
    return Place(first[1], first[2], first[3], f"{differing} numbers differ, in {first[0]} by at most {first[4]:.2g}")


def _nan(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    return found


def _largest(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.nanmax(np.abs(a.astype(np.float64) - b.astype(np.float64))))


def _form(values: np.ndarray | None) -> str:
    return "not there" if values is None else f"{values.dtype} {'x'.join(map(str, values.shape)) or 'scalar'}"


_BY_SUFFIX = {".json": _json, ".jsonl": _json_lines, ".safetensors": _tensors, ".npz": _zipped}
