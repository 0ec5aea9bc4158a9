"""Where and with what an artifact was made: information outside its digest."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from s2rctl import __version__
from s2rctl.schema.manifest import Origin
from s2rctl.store.canonical import plain

_PACKAGES = ("mujoco", "mujoco-mjx", "jax", "flax", "optax", "brax", "numpy", "onnx", "jax2onnx", "onnxruntime")


def make_origin(metrics: Mapping[str, Any], duration_s: float) -> Origin:
    """Return the origin of something made here and now; ``duration_s`` in seconds."""
    versions = {"s2rctl": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return Origin(
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        host=machine(),
        git=_git(),
        versions=versions,
        duration_s=round(duration_s, 3),
        metrics=plain(metrics),
    )


@cache
def machine() -> str:
    """Return what the machine is, not what it is called: artifacts are passed on."""
    return f"{platform.system()} {platform.machine()}, {_processor()}, {os.cpu_count()} cores"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


def _git() -> str:
    """Return the checkout's commit, with ``-dirty`` when files differ; empty outside a checkout."""
    top = Path(__file__).resolve().parents[2]
    if not (top / ".git").exists():
        return ""
    command = ["git", "-C", str(top), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
