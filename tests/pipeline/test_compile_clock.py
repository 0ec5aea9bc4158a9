"""Compilation is counted apart."""

import sys

import jax
import jax.numpy as jnp

from s2rctl.pipeline.compile_clock import CompileClock


def test_what_compiles_counts_and_what_is_compiled_does_not():
    program = jax.jit(lambda x: jnp.tanh(x * 1.2345) + 1)
    with CompileClock() as first:
        program(jnp.ones(7)).block_until_ready()
    with CompileClock() as second:
        program(jnp.ones(7)).block_until_ready()
    assert first.metrics["compile_s"] > 0
    # Making the array of ones may compile; the program does not do it again.
    assert second.metrics["compile_s"] < first.metrics["compile_s"]


def test_it_stops_listening():
    with CompileClock() as clock:
        pass
    before = clock.metrics
    jax.jit(lambda x: jnp.tanh(x * 3.456) + 2)(jnp.ones(5))
    assert clock.metrics == before


def test_without_jax_nothing_is_imported_or_counted(monkeypatch):
    monkeypatch.delitem(sys.modules, "jax")
    with CompileClock() as clock:
        pass
    assert clock.metrics == {}
    assert "jax" not in sys.modules
