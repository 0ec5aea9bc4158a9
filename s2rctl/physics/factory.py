"""The one place where a physics backend is chosen and built."""

import logging
from typing import Any

import mujoco

from s2rctl.physics import PHYSICS
from s2rctl.physics.protocol import ModelEdits, Physics
from s2rctl.scene.device import Choice, device_kind
from s2rctl.scene.libraries import WARP_HINT, has_warp

_LOG = logging.getLogger("s2rctl.physics")


def choose_physics(asked: str) -> Choice:
    """Return the backend that ``asked`` means on this computer: itself, or for "auto" the fastest that is installed.

    On a CPU that is MuJoCo's own batch (MJX is hundreds of times slower there), on NVIDIA Warp, elsewhere MJX in JAX.
    """
    if asked != "auto":
        return Choice(asked, "the profile asks for it")
    kind = device_kind()
    if kind == "cpu":
        return Choice("native", "JAX computes on the CPU, where this is the fastest")
    if kind != "nvidia":
        return Choice("mjx", "JAX has an accelerator that is not NVIDIA's")
    if not has_warp():
        return Choice("mjx", f"JAX has an NVIDIA GPU, but Warp is not installed: {WARP_HINT}")
    return Choice("warp", "JAX has an NVIDIA GPU, and Warp is installed")


def make_physics(
    asked: str,
    model: mujoco.MjModel,
    worlds: int,
    *,
    substeps: int,
    edits: ModelEdits | None = None,
    poses: bool = False,
    threads: int = 0,
    contacts: int = 0,
) -> Physics:
    """Return ``worlds`` copies of ``model`` in the backend that ``asked`` (a row of the table, or "auto") means.

    ``edits`` are each world's own model fields, ``poses`` adds those of geoms and cameras, ``threads`` is for the
    native backend and ``contacts`` the room for contacts per world where that is fixed (0: from the model). Raises
    UsageError for an unknown name and MissingEnvironmentError for a backend that is not installed.
    """
    choice = choose_physics(asked)
    make: Any = PHYSICS.load(choice.name)
    backend: Physics = make(
        model, worlds, substeps=substeps, edits=edits, poses=poses, threads=threads, contacts=contacts
    )
    if _LOG.isEnabledFor(logging.INFO):
        _LOG.info("%s (%s): %s", choice.name, choice.why, backend.memory.text(worlds))
    return backend
