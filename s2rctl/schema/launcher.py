"""Where independent pieces of work run: cells of a sweep, shards of an evaluation, collectors of a student."""

from typing import Literal

from s2rctl.schema.base import Model, quantity

PLACES = r"^(local|ray|slurm|ray://[A-Za-z0-9._\[\]:-]+:[0-9]{1,5})$"
"""``local``, ``ray``, ``slurm``, or the address of a Ray cluster's client server."""


class Launcher(Model):
    """Where pieces of work run, and with how much of a machine. It changes no result and is part of none."""

    on: str = quantity(
        "local",
        "",
        "local: this computer; ray: the cluster that it belongs to, else one on it alone; ray://HOST:PORT: a cluster "
        "elsewhere; slurm: the cluster that ray symmetric-run has started in this allocation",
        pattern=PLACES,
        max_length=300,
    )
    at_once: int = quantity(1, "", "local: pieces at once, each in a process of its own if more than 1", ge=1, le=1024)
    cores: float | None = quantity(
        None,
        "cores",
        "Ray: reserved for each piece; null: as many as the smallest node has, for a collector one",
        ge=0.01,
        le=4096,
    )
    gpus: float = quantity(0.0, "", "Ray: GPUs reserved for each piece", ge=0, le=64)
    attempts: int = quantity(3, "", "Ray: how often a piece is begun if its node or process dies", ge=1, le=100)
    store: Literal["probe", "sent"] = quantity(
        "probe",
        "",
        "Ray: how nodes get artifacts; probe: from the store's folder where they see it, else sent by content hash; "
        "sent: always sent",
    )
