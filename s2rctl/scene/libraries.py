"""MJX and Warp, imported without a word on standard output, which is for data."""

import contextlib
import sys
from importlib.util import find_spec
from typing import Any

from s2rctl.core.errors import MissingEnvironmentError

WARP_HINT = "pip install 's2rctl[warp]'"


def has_warp() -> bool:
    """Return whether Warp is installed."""
    return find_spec("warp") is not None


def load_mjx(user: str = "") -> Any:
    """Import and return ``mujoco.mjx``.

    ``user`` says what needs Warp, as in "the renderer 'warp'": MissingEnvironmentError where that is not installed.
    Without Warp the import prints a line about it; with it, every kernel that is compiled is reported.
    """
    if user and not has_warp():
        raise MissingEnvironmentError(f"{user} needs warp-lang", WARP_HINT)
    with contextlib.redirect_stdout(sys.stderr):
        if user:
            import warp

            warp.config.log_level = warp.LOG_WARNING
        from mujoco import mjx
    return mjx
