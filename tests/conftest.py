"""Shared set-up: no display, programs that compile quickly, and what one test process compiled another one loads."""

import gc
import os
from pathlib import Path

from s2rctl.core import compile_cache

os.environ.setdefault("MUJOCO_GL", "egl")

# Most tests compile a program to run it once. XLA without its optimisations and its own code for fused loops takes a
# quarter of the time; demo, benchmarks and everything that users run keep them.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false")

gc.set_threshold(50_000)  # as the command line does: tracing allocates millions of objects and leaves few cycles

# Only what takes long: two processes that keep every small program spend more time on files than they save.
_settings = {"XDG_CACHE_HOME": str(Path(__file__).resolve().parents[1] / ".pytest_cache")}
_folder = compile_cache.enable(_settings)
if _folder is not None:
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_folder))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
