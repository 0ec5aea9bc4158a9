import os
import subprocess
import sys
from pathlib import Path

import pytest

from s2rctl.core.compile_cache import enable, hurry

PROGRAM = """
import os, sys, time
from s2rctl.core.compile_cache import enable
enable(os.environ)
import jax, jax.numpy as jnp
jax.monitoring.register_event_listener(lambda name, **_: print(name) if "cache_" in name else None)
jax.jit(lambda x: jnp.linalg.qr(jnp.sort(x @ x.T) + jnp.eye(5))[0])(jnp.ones((5, 5))).block_until_ready()
"""


def run(home: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment |= {"XDG_CACHE_HOME": str(home), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True).stdout


def test_what_one_process_compiled_the_next_one_loads(tmp_path: Path) -> None:
    assert "cache_hits" not in run(tmp_path)
    assert "cache_hits" in run(tmp_path)


@pytest.mark.parametrize("chosen", [{"JAX_COMPILATION_CACHE_DIR": "/mine"}, {"JAX_ENABLE_COMPILATION_CACHE": "0"}])
def test_what_the_user_chose_stands(chosen: dict[str, str], tmp_path: Path) -> None:
    environment = {"XDG_CACHE_HOME": str(tmp_path), **chosen}
    assert enable(environment) is None
    assert environment == {"XDG_CACHE_HOME": str(tmp_path), **chosen}


def test_without_a_place_to_write_everything_is_compiled_as_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environment = {"XDG_CACHE_HOME": str(tmp_path / "file")}
    assert enable(environment) is None and "JAX_COMPILATION_CACHE_DIR" not in environment


def test_each_kind_of_processor_has_a_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("processor : 0\nflags : sse avx\n")
    (tmp_path / "other").write_text("processor : 0\nflags : sse avx avx512\n")
    folders = {enable({"XDG_CACHE_HOME": str(tmp_path)}, tmp_path / name) for name in ("one", "other", "none")}
    assert len(folders) == 3


def test_hurrying_keeps_the_flags_that_are_there() -> None:
    environment = {"XLA_FLAGS": "--xla_dump_to=/tmp/x --xla_backend_optimization_level=2"}
    hurry(environment)
    flags = environment["XLA_FLAGS"].split()
    assert flags[:2] == ["--xla_dump_to=/tmp/x", "--xla_backend_optimization_level=2"]
    assert sum(flag.startswith("--xla_backend_optimization_level") for flag in flags) == 1
    hurry(environment)
    assert environment["XLA_FLAGS"].split() == flags


def test_xla_takes_the_flags_of_a_hurry_although_jax_has_been_imported() -> None:
    """XLA ends the process for a flag that it does not know, so what it reads can be told from how it ends."""
    program = """
import os, sys, jax
from s2rctl.core import compile_cache
compile_cache.QUICK += tuple(sys.argv[1:])
compile_cache.hurry(os.environ)
print(jax.jit(lambda x: x + 1)(1.0))
"""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}

    def run(*flags: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", program, *flags]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    assert run().stdout.strip() == "2.0"
    assert run("--xla_of_nobody=1").returncode != 0


def test_a_lost_entry_is_not_worth_a_word_but_other_warnings_are(tmp_path: Path) -> None:
    program = """
import os, warnings
from s2rctl.core.compile_cache import enable
enable(os.environ)
for word in ("Error writing persistent compilation cache entry for 'jit_f': FileNotFoundError", "something else"):
    warnings.warn_explicit(word, UserWarning, "compiler.py", 1, module="jax._src.compiler")
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment["XDG_CACHE_HOME"] = str(tmp_path)
    said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True).stderr
    assert "something else" in said
    assert "persistent" not in said
