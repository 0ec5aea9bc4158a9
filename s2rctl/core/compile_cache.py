"""Where JAX keeps what it compiled: the same environment is compiled in seconds, and loaded in a fraction of one.

Only what JAX reads when it is imported is set here, so that commands that need no JAX do not load it. What the user has
set already stands.
"""

import hashlib
import os
import platform
import warnings
from collections.abc import Mapping, MutableMapping
from pathlib import Path

LARGEST_BYTES = 1 << 28
"""What has not been used for longest is thrown away beyond this."""


VARIABLES = (
    "JAX_COMPILATION_CACHE_DIR",
    "JAX_COMPILATION_CACHE_MAX_SIZE",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES",
)
"""What ``enable`` sets."""


def enable(environment: MutableMapping[str, str], cpu_info: Path = Path("/proc/cpuinfo")) -> Path | None:
    """Set JAX's variables in ``environment`` and return the folder; None where the user chose, or none can be made.

    Programs of one processor may not run on another, and a home folder can be shared: each kind has its own folder.
    """
    if "JAX_COMPILATION_CACHE_DIR" in environment or environment.get("JAX_ENABLE_COMPILATION_CACHE", "1") == "0":
        return None
    base = _caches(environment)
    if base is None:
        return None
    folder = base / "s2rctl" / "jax" / _processor(cpu_info)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return None
    # Two commands at once can throw away what the other one is about to touch. Then JAX compiles, and need not say so.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache", module="jax")
    environment["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    environment.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(LARGEST_BYTES))
    environment.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.02")
    environment.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    return folder


QUICK = ("--xla_backend_optimization_level=0", "--xla_cpu_use_fusion_emitters=false")
"""XLA without its optimisations and its own code for fused loops."""


def hurry(environment: MutableMapping[str, str]) -> None:
    """Have XLA compile in a fraction of the time what then runs slower; flags that the user has set stand.

    XLA reads its flags once, when a process compiles its first program, and JAX files what it compiled under them: in
    the cache, quick and full programs do not meet.
    """
    flags = environment.get("XLA_FLAGS", "").split()
    known = {flag.partition("=")[0] for flag in flags}
    flags += [flag for flag in QUICK if flag.partition("=")[0] not in known]
    environment["XLA_FLAGS"] = " ".join(flags)


def _caches(environment: Mapping[str, str]) -> Path | None:
    """Return the user's folder of caches; None for a user without a home, and for what no absolute path names."""
    try:
        home = environment.get("HOME") or Path("~").expanduser()
    except RuntimeError:  # an unknown user id
        home = ""
    base = Path(environment.get("XDG_CACHE_HOME") or Path(home) / ".cache")
    return base if base.is_absolute() else None


def _processor(cpu_info: Path) -> str:
    """Return a name for this kind of processor: its architecture and a digest of its features."""
    try:
        lines = cpu_info.read_text(errors="replace").splitlines()
    except OSError:
        lines = [platform.processor()]
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), lines[0] if lines else "")
    return f"{platform.machine()}-{hashlib.sha256(flags.encode()).hexdigest()[:12]}"
