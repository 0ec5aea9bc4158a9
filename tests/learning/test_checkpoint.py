import os
import signal
import subprocess
import sys
import textwrap
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.core.errors import RunError
from s2rctl.learning.checkpoint import Checkpoints


class State(NamedTuple):
    params: dict
    key: jax.Array
    flags: jax.Array
    counts: np.ndarray
    nothing: jax.Array
    missing: None


def state(seed=0):
    key = jax.random.key(seed)
    return State(
        {"a/b": jax.random.normal(key, (3, 2)), "c": {"d": jnp.arange(4, dtype=jnp.uint32) + seed}},
        jax.random.split(key, 5),
        jax.random.bernoulli(key, 0.5, (6,)),
        np.array([2**40 + seed], np.int64),
        jnp.zeros((5, 0)),
        None,
    )


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype and isinstance(x, jax.Array) == isinstance(y, jax.Array)
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(x, y)


def test_everything_comes_back_with_its_type_and_bits(tmp_path):
    Checkpoints(tmp_path).save(3, state(1))
    again = Checkpoints(tmp_path)
    assert again.latest() == 3
    same(again.restore(state(0)), state(1))


def test_the_newest_two_stay(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest() is None
    for step in (1, 2, 10):
        checkpoints.save(step, state(step))
    assert checkpoints.steps() == [2, 10]
    same(checkpoints.restore(state()), state(10))
    same(checkpoints.restore(state(), step=2), state(2))


def test_leftovers_of_a_kill_are_ignored_and_removed(tmp_path):
    Checkpoints(tmp_path).save(1, state(1))
    (tmp_path / "step_2.orbax-checkpoint-tmp").mkdir()
    (tmp_path / "step_2.orbax-checkpoint-tmp" / "x").write_text("half")
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest() == 1
    assert [p.name for p in tmp_path.iterdir()] == ["step_1"]


@pytest.mark.parametrize("change", ["shape", "dtype", "missing"])
def test_a_checkpoint_of_something_else_is_refused(tmp_path, change):
    saved = {"a": jnp.zeros(3), "b": jnp.zeros(2)}
    like = {
        "shape": saved | {"b": jnp.zeros(4)},
        "dtype": saved | {"b": jnp.zeros(2, jnp.int32)},
        "missing": saved | {"c": jnp.zeros(1)},
    }[change]
    Checkpoints(tmp_path).save(1, saved)
    with pytest.raises(RunError, match="does not fit"):
        Checkpoints(tmp_path).restore(like)


def test_an_empty_folder_cannot_be_restored(tmp_path):
    with pytest.raises(RunError, match="no checkpoint"):
        Checkpoints(tmp_path).restore({"a": jnp.zeros(1)})


def test_a_damaged_checkpoint_says_how_to_go_on(tmp_path):
    Checkpoints(tmp_path).save(1, {"a": jnp.arange(5)})
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(RunError) as caught:
        Checkpoints(tmp_path).restore({"a": jnp.arange(5)})
    assert "--fresh" in caught.value.hint


def test_kill_while_saving_leaves_a_checkpoint_that_can_be_restored(tmp_path):
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        import numpy as np
        from s2rctl.learning.checkpoint import Checkpoints
        checkpoints = Checkpoints(Path(sys.argv[1]))
        step = 0
        while True:
            step += 1
            checkpoints.save(step, {"a": np.full(200_000, step), "b": np.full(3, step)})
            print(step, flush=True)
    """)
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(5)]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    reported = int(lines[-1])
    checkpoints = Checkpoints(tmp_path)
    latest = checkpoints.latest()
    assert latest is not None and latest >= reported
    tree = checkpoints.restore({"a": np.zeros(200_000, int), "b": np.zeros(3, int)})
    assert (tree["a"] == latest).all() and (tree["b"] == latest).all()
