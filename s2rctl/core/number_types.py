"""Types of numbers as a peer names them on a wire."""

import re
from typing import Any

import numpy as np

KINDS = "biuf"
"""NumPy's kinds of numbers that are sent and taken: booleans, integers, floats."""
_NAME = re.compile(r"[<>=|]?(?:b1|[iu][1248]|f[248])")


def number_type(name: Any) -> np.dtype[Any]:
    """Return the type behind a name like ``<f4``; ValueError for everything else.

    ``np.dtype`` itself is no judge of names: it also reads structures of any size, and takes text for Python.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"type {name!r:.40} is refused")
    return np.dtype(name)
