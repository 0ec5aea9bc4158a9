"""Shared set-up: no display, programs that compile quickly, and what one test process compiled another one loads."""

import gc
import os
import signal
from pathlib import Path

import pytest

from s2rctl.core import compile_cache

os.environ.setdefault("MUJOCO_GL", "egl")

# Tests signal processes of their own and look at how these end, which must not depend on how pytest was started: a
# shell ignores SIGINT in what it puts into the background, nohup SIGHUP, and unbuffered streams have nothing to flush.
for _number, _action in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _action)
os.environ.pop("PYTHONUNBUFFERED", None)

# Most tests compile a program to run it once, which takes a quarter of the time without XLA's optimisations.
if "XLA_FLAGS" not in os.environ:
    compile_cache.hurry(os.environ)

gc.set_threshold(50_000)  # as the command line does: tracing allocates millions of objects and leaves few cycles

# Only what takes long: two processes that keep every small program spend more time on files than they save.
_settings = {"XDG_CACHE_HOME": str(Path(__file__).resolve().parents[1] / ".pytest_cache")}
_folder = compile_cache.enable(_settings)
if _folder is not None:
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_folder))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

# `make test` gives each of two processes whole files, in this order: what takes longest first, so that none of it is
# left to one process while the other one has nothing to do.
_LONGEST = (
    "systems/test_extension.py",
    "stages/test_recordings.py",
    "env/test_finish.py",
    "cli/test_foreign.py",
    "env/test_laboratory.py",
    "stages/test_evaluate_tiers.py",
    "learning/test_devices.py",
    "learning/test_asym_ddpg.py",
    "physics/test_no_deadlock.py",
    "env/test_dynamics.py",
    "experts/test_scripted_experts.py",
    "env/test_real_tasks.py",
    "stages/test_train_teacher.py",
    "export/test_conversion.py",
    "stages/test_wire.py",
    "stages/test_live.py",
    "stages/test_hang_up.py",
    "env/test_visibility.py",
    "render/test_raycast.py",
    "calibration/test_stage.py",
    "evaluation/test_perturb.py",
    "calibration/test_folder.py",
    "calibration/test_solver.py",
    "render/test_finish.py",
    "learning/test_ppo.py",
    "learning/test_distill.py",
    "learning/test_encoder.py",
    "export/test_parity.py",
    "robots/test_driver_wire.py",
    "physics/test_protocol.py",
    "control/test_damaged_recordings.py",
    "schema/test_mutations.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first and leave the order within each file."""
    folder = Path(__file__).parent
    rank = {folder / name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture(scope="module", autouse=True)
def _heap_set_aside() -> None:
    """Set aside what earlier files left: each episode of the loop collects garbage first, and would look through it."""
    gc.collect()
    gc.freeze()
