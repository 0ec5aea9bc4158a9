"""Shared set-up: no display is needed, and what one test process compiled another one loads."""

import os
from pathlib import Path

from s2rctl.core import compile_cache

os.environ.setdefault("MUJOCO_GL", "egl")

_settings = {"XDG_CACHE_HOME": str(Path(__file__).resolve().parents[1] / ".pytest_cache")}
compile_cache.enable(_settings)
for _name in _settings.keys() - {"XDG_CACHE_HOME"}:
    os.environ.setdefault(_name, _settings[_name])
