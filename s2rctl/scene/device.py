"""What JAX computes on, as far as a choice of physics or renderer depends on it."""

from typing import Literal, NamedTuple

Kind = Literal["cpu", "nvidia", "other"]


class Choice(NamedTuple):
    """What "auto" means here by name, and why."""

    name: str
    why: str


def device_kind() -> Kind:
    """Return the kind of JAX's first device; this starts JAX."""
    import jax

    device = jax.devices()[0]
    if device.platform == "cpu":
        return "cpu"
    # JAX calls AMD's cards "gpu", too; the version names the driver's interface: "cuda 12090", "rocm 60200".
    return "nvidia" if "cuda" in str(device.client.platform_version).lower() else "other"
