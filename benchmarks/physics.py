"""Control steps per second of raw ``mujoco.batch``, of the native backend inside JAX, and of the whole environment.

All three walk the same trajectory: the environment acts at random once, then the same actuator targets are given to
the backend (jit and scan) and to ``Batch`` itself, with the same per-world models.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_CASES = (("pick", 512), ("pick", 2048), ("insertion", 512), ("insertion", 2048))
_SUBSTEPS = 10
_WORLD_STEPS = 8192  # per repeat and row
_REPEATS = 7


def main() -> None:
    """Measure all cases and print one row for each."""
    print(f"CPU: {cpu()}, {os.cpu_count()} cores; {_SUBSTEPS} substeps; medians of {_REPEATS} interleaved repeats")
    print("k control steps/s by the clock; shares by the clock and (in brackets) by CPU time, which other work on")
    print("the machine disturbs less. 'raw' does the same work as the environment: sensors current at the new state;")
    print("'lagging' leaves them one physics step behind, as plain stepping does")
    head = f"{'scene':<10} {'worlds':>6} {'lagging':>8} {'raw':>6} {'in JAX':>7} {'env':>6}   "
    print(head + f"{'in JAX / raw':<16} {'env / raw':<16} env / lagging")
    for task, worlds in _CASES:
        print(_case(task, worlds), flush=True)


def _case(task: str, worlds: int) -> str:
    import jax

    from s2rctl.env.build import make_env
    from s2rctl.schema.load import load_profile

    steps = max(2, _WORLD_STEPS // worlds)
    env = make_env(load_profile("aloha").profile, task, worlds, seed=0, images=False)
    start = jax.block_until_ready(jax.jit(env.reset)(jax.random.key(0)))

    def act(state: Any, key: jax.Array) -> Any:
        action = jax.random.uniform(key, (worlds, env.action_size), minval=-1.0)
        state, step = env.step(state, action)
        return state, (state.physics.ctrl, step.done)

    play = jax.jit(lambda state: jax.lax.scan(act, state, jax.random.split(jax.random.key(1), steps))[1])
    ctrls, done = jax.block_until_ready(play(start))
    inner = jax.jit(lambda s: jax.lax.scan(lambda s, u: (env.physics.step(s, u), None), s, ctrls)[0].qpos)
    bare = raw(env, start.physics, np.asarray(ctrls, np.float64))
    rows: tuple[Callable[[], Any], ...] = (
        lambda: bare(False),
        lambda: bare(True),
        lambda: jax.block_until_ready(inner(start.physics)),
        lambda: jax.block_until_ready(play(start)),
    )
    wall, cpu = interleaved(rows)
    rate = [f"{worlds * steps / t / 1e3:.1f}" for t in wall]
    pairs = ((2, 1), (3, 1), (3, 0))
    share = [f"{100 * wall[j] / wall[i]:.0f} % ({100 * cpu[j] / cpu[i]:.0f} %)" for i, j in pairs]
    text = f"{task:<10} {worlds:>6} {rate[0]:>8} {rate[1]:>6} {rate[2]:>7} {rate[3]:>6}   "
    text += f"{share[0]:<16} {share[1]:<16} {share[2]:<16}"
    resets = int(np.asarray(done).sum())
    return text + (f"   ({resets} resets)" if resets else "")


def raw(env: Any, start: Any, ctrls: np.ndarray) -> Callable[[bool], None]:
    """Return a function that steps ``Batch`` itself through ``ctrls`` (T, B, nu), with or without current sensors."""
    import copy

    import mujoco
    from mujoco.batch import Batch

    from s2rctl.env.randomise import model_edits
    from s2rctl.physics.edits import apply_edits

    model = copy.copy(env.model)
    model.opt.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    batch = Batch(model, env.worlds)
    apply_edits(batch, model_edits(model, env.task.randomised, env.params))
    batch.bind("sensordata")
    target = batch.bind("ctrl")
    rows = np.asarray(start.backend).view(np.float64)
    stages = {False: mujoco.mjtStage.mjSTAGE_NONE, True: mujoco.mjtStage.mjSTAGE_VEL}

    def run(current: bool) -> None:
        batch.state[...] = rows
        for ctrl in ctrls:
            target[...] = ctrl
            batch.step(nstep=_SUBSTEPS, stage=int(stages[current]))

    return run


def interleaved(rows: tuple[Callable[[], Any], ...]) -> tuple[list[float], list[float]]:
    """Return the median seconds of each row by the clock and by CPU time; the rows take turns."""
    for row in rows:
        row()
    taken = np.zeros((_REPEATS, len(rows), 2))
    for repeat in range(_REPEATS):
        for index, row in enumerate(rows):
            before = time.perf_counter(), time.process_time()
            row()
            taken[repeat, index] = time.perf_counter() - before[0], time.process_time() - before[1]
    median = np.median(taken, axis=0)
    return median[:, 0].tolist(), median[:, 1].tolist()


def cpu() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else "unknown"


if __name__ == "__main__":
    main()
