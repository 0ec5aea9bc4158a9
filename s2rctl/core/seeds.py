"""Seeds from a seed: for what draws with integers instead of JAX keys."""

import hashlib


def derived_seed(seed: int, *purpose: str | int) -> int:
    """Return a seed in [0, 2**31) for one purpose, e.g. ``derived_seed(seed, "rehearse", 3)``.

    A digest, not a sum: the episodes of neighbouring seeds must not be the same ones in another order.
    """
    text = ":".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1
