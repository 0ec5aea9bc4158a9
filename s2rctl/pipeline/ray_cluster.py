"""A Ray cluster to run on: found, joined, and how many pieces of work fit on it."""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.schema.launcher import Launcher

PAGE = "docs/howto/scale-out.md"
_SLURM_VARIABLE = "SLURM_JOB_ID"


@contextlib.contextmanager
def connected(settings: Launcher) -> Iterator[Any]:
    """Join the cluster that ``settings.on`` names and yield the module ``ray``; leave it in the end.

    MissingEnvironmentError where Ray is not installed or there is no such cluster. A process that has joined one
    already stays in it. Nothing is reported to Ray's makers.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray >= 2.50: leave CUDA_VISIBLE_DEVICES alone
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise MissingEnvironmentError(
            f"--on {settings.on} needs the Python package 'ray'", "pip install 's2rctl[ray]'"
        ) from None
    if ray.is_initialized():
        yield ray
        return
    _join(ray, settings.on)
    try:
        yield ray
    finally:
        ray.shutdown()


def last_line(error: BaseException) -> str:
    """Return what went wrong at the end of Ray's long account of it."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1]}" if lines else type(cause).__name__


def _join(ray: Any, place: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if place == "slurm":
        if _SLURM_VARIABLE not in os.environ:
            raise MissingEnvironmentError(
                "this is no Slurm job", f"sbatch the script in {PAGE}, or use --on ray on a cluster of your own"
            )
        where: dict[str, Any] = {"address": "auto", **quiet}
    elif place == "ray":
        where = {"include_dashboard": False, **quiet}  # RAY_ADDRESS, a cluster that runs here, or one of this computer
    else:
        where = {"address": place, **quiet}
    try:
        ray.init(**where)
    except (ConnectionError, TimeoutError, ValueError, RuntimeError, ImportError, OSError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MissingEnvironmentError(f"there is no Ray cluster to join: {said}", _hint(place, said)) from error


def _hint(place: str, said: str) -> str:
    if "grpcio" in said or "ray[client]" in said:
        return "pip install 'ray[client]'   (ray:// addresses need it)"
    if place == "slurm":
        return f"start the command with ray symmetric-run, as the script in {PAGE} does"
    return f"start one: ray start --head   (and on each other machine: ray start --address HOST:6379; {PAGE})"


def room(ray: Any, settings: Launcher) -> tuple[float, int]:
    """Return how many cores a piece of work gets, and how many pieces fit on the nodes that live now, at least 1.

    MissingEnvironmentError where no node has what a piece needs.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    sizes = [float(node["CPU"]) for node in nodes if node.get("CPU", 0) > 0]
    cores = settings.cores if settings.cores is not None else min(sizes, default=1.0)
    places = 0
    for node in nodes:
        fits = int(node.get("CPU", 0) // cores)
        places += fits if not settings.gpus else min(fits, int(node.get("GPU", 0) // settings.gpus))
    if places:
        return cores, places
    asked = f"{cores:g} cores" + (f" and {settings.gpus:g} GPUs" if settings.gpus else "")
    raise MissingEnvironmentError(
        f"none of the cluster's {len(nodes)} nodes has {asked}",
        "set launcher.cores and launcher.gpus to what they have",
    )
