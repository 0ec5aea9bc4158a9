"""Compilation is counted apart."""

import sys
import threading

import jax
import jax.numpy as jnp
from jax import monitoring

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


def test_a_program_that_takes_long_to_compile_is_told_of_once_while_it_compiles():
    said = threading.Event()
    heard = []

    def slow():
        heard.append(monitored)
        said.set()

    def lower_and_wait(seconds):
        nonlocal monitored
        monitored = "compiling"
        monitoring.record_event_duration_secs("/jax/core/compile/jaxpr_to_mlir_module_duration", 0.1)
        said.wait(seconds)
        monitored = "ready"
        monitoring.record_event_duration_secs("/jax/core/compile/backend_compile_duration", 0.1)

    monitored = "ready"
    with CompileClock(slow, patience_s=3600):
        lower_and_wait(0)
    assert heard == []
    with CompileClock(slow, patience_s=0.001):
        lower_and_wait(60)
        lower_and_wait(0)
    assert heard == ["compiling"]


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
