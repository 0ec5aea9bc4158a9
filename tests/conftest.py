"""Shared set-up: no display is needed, and JAX keeps what it compiled between test runs."""

import os

os.environ.setdefault("MUJOCO_GL", "egl")
