"""What this installation is: version, commit, machine and the packages that results depend on.

Nothing here imports those packages: ``--version`` answers at once, also where one of them is broken.
"""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from s2rctl import __version__

PACKAGES = ("mujoco", "mujoco-mjx", "jax", "flax", "optax", "brax", "numpy", "onnx", "jax2onnx", "onnxruntime")
"""Packages whose versions every artifact records."""

_MORE = ("jaxlib", "typer", "pydantic", "xarm-python-sdk", "dynamixel-sdk", "pyrealsense2", "opencv-python-headless")
"""What else a bug may depend on."""


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Return the versions of s2rctl, Python and of those of the packages that are installed."""
    found = {"s2rctl": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@cache
def machine() -> str:
    """Return what the machine is, not what it is called: artifacts and reports are passed on."""
    return f"{platform.system()} {platform.machine()}, {_processor()}, {os.cpu_count()} cores"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


def commit() -> str:
    """Return the checkout's commit, with ``-dirty`` when files differ; empty outside a checkout."""
    top = Path(__file__).resolve().parents[2]
    command = ["git", "-C", str(top), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        if not (top / ".git").exists():
            return ""
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def about() -> list[str]:
    """Return what a bug report begins with; the first line is ``s2rctl VERSION``."""
    known = versions((*PACKAGES, *_MORE))
    origin = commit()
    lines = [f"s2rctl {known.pop('s2rctl')}", f"commit {origin}" if origin else "installed as a package"]
    lines.append(f"Python {known.pop('python')}, {platform.release()}, {machine()}")
    if known:
        lines.append(", ".join(f"{name} {version}" for name, version in known.items()))
    return lines
