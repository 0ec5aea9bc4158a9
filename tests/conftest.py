"""Shared set-up: no display is needed."""

import os

os.environ.setdefault("MUJOCO_GL", "egl")
