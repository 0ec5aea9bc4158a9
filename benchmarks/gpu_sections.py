"""What ``benchmarks.gpu`` measures, each in a process of its own: ``python -m benchmarks.gpu_sections NAME ...``.

Every measurement is one line of JSON on standard output as soon as it is known, so that a section whose time is up
keeps what it has.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

SUBSTEPS = 10
STEPS = 8
"""Control steps of one call."""


def say(**figures: Any) -> None:
    """Print one measurement."""
    print(json.dumps(figures), flush=True)


def device() -> None:
    """Print what there is to compute on."""
    import platform
    from importlib.metadata import version

    import jax

    from s2rctl.scene.device import device_kind
    from s2rctl.scene.libraries import has_warp

    names = ("jax", "jaxlib", "mujoco", "mujoco-mjx", "warp-lang") if has_warp() else ("jax", "mujoco", "mujoco-mjx")
    first = jax.devices()[0]
    say(
        kind=device_kind(),
        name=first.device_kind if first.platform != "cpu" else _processor(),
        devices=len(jax.devices()),
        interface=str(first.client.platform_version).replace("\n", " "),
        python=platform.python_version(),
        versions={name: version(name) for name in names},
        warp=has_warp(),
    )


def physics(backend: str, task: str, worlds: str, seconds: str) -> None:
    """Print control steps per second of one backend and scene, for each number of worlds."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from s2rctl.physics.factory import make_physics
    from s2rctl.scene import SCENES

    model = SCENES.load(task)(0.005)
    home = model.key_qpos[0] if model.nkey else model.qpos0
    rest = model.key_ctrl[0] if model.nkey else np.zeros(model.nu)
    for count in map(int, worlds.split(",")):
        backends = make_physics(backend, model, count, substeps=SUBSTEPS)
        shake = jax.random.uniform(jax.random.key(0), (STEPS, count, model.nu), minval=-0.05, maxval=0.05)
        ctrl = jnp.asarray(rest, jnp.float32) + shake * (np.abs(rest) > 0.05)
        start = backends.init(
            jnp.tile(jnp.asarray(home, jnp.float32), (count, 1)), jnp.zeros((count, model.nv)), ctrl[0]
        )

        def play(state: Any, ctrl: jax.Array, step: Any = backends.step) -> Any:
            return jax.lax.scan(lambda s, u: (step(s, u), s.diverged.sum()), state, ctrl)

        rate, compile_s, (_, diverged) = timed(play, (start, ctrl), float(seconds))
        say(
            worlds=count, per_second=rate * count * STEPS, compile_s=compile_s,
            diverged=int(np.asarray(diverged).sum()), memory=backends.memory.text(count),
        )  # fmt: skip


def render(renderer: str, scene: str, cameras: str, side: str, worlds: str, seconds: str) -> None:
    """Print frames per second of one renderer, RGB and depth, for each number of worlds."""
    import jax.numpy as jnp
    import mujoco
    import numpy as np

    from s2rctl.render.factory import make_renderer
    from s2rctl.scene import SCENES
    from s2rctl.scene.poses import Poses

    model, names = SCENES.load(scene)(0.005), tuple(cameras.split(","))
    made = make_renderer(renderer, model, names, int(side), int(side))
    generator, rows = np.random.default_rng(0), []
    for _ in range(32):
        data = mujoco.MjData(model)
        data.qpos[:] = model.key_qpos[0] if model.nkey else model.qpos0
        data.qpos[:6] += generator.normal(0, 0.1, 6)
        mujoco.mj_forward(model, data)
        rows.append([getattr(data, name).copy() for name in Poses._fields])
    for count in map(int, worlds.split(",")):
        shapes = ((3,), (3, 3), (3,), (3, 3))
        stacked = [np.stack(column) for column in zip(*rows, strict=True)]
        poses = Poses(
            *(
                jnp.resize(jnp.asarray(leaf, jnp.float32), (count, leaf.size // len(rows))).reshape(count, -1, *shape)
                for leaf, shape in zip(stacked, shapes, strict=True)
            )
        )
        rate, compile_s, frames = timed(made.render, (poses, made.appearance(count)), float(seconds))
        say(
            worlds=count, per_second=rate * count * len(names), compile_s=compile_s,
            mean_colour=float(np.asarray(frames.rgb[:8]).mean()),
        )  # fmt: skip


def timed(function: Callable[..., Any], arguments: tuple[Any, ...], seconds: float) -> tuple[float, float, Any]:
    """Return calls per second, the seconds that compiling took, and the last result.

    Warp compiles its kernels in the first call: what that takes longer than the second one counts as compilation, too.
    """
    import jax

    begun = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    compiled = time.perf_counter()
    marks = [compiled]
    for _ in range(2):
        result = jax.block_until_ready(program(*arguments))
        marks.append(time.perf_counter())
    compile_s = compiled - begun + max(0.0, (marks[1] - marks[0]) - (marks[2] - marks[1]))
    calls, begun = 0, time.perf_counter()
    while calls < 2 or time.perf_counter() - begun < seconds:
        result = jax.block_until_ready(program(*arguments))
        calls += 1
    return calls / (time.perf_counter() - begun), round(compile_s, 2), result


def pipeline(profile: str, store: str, *changes: str) -> None:
    """Run a whole pipeline, or go on with it, and print each stage's seconds, compilation and success."""
    import subprocess

    options = [word for change in changes for word in ("--set", change)]
    command = [sys.executable, "-m", "s2rctl.cli.main", "pipeline", "run", "-p", profile, "--store", store, "--json"]
    done = subprocess.run([*command, *options], stdout=subprocess.PIPE, text=True, check=False)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = {}
    if not answer.get("data"):
        raise SystemExit(str(answer.get("error", {}).get("message", "no answer"))[:300])
    for stage in answer["data"]["stages"]:
        _stage(stage, store)


def _stage(stage: dict[str, Any], store: str) -> None:
    from pathlib import Path

    from s2rctl.store.store import Store

    artifact = Store(Path(store)).get(stage["artifact"])
    origin = artifact.manifest.origin
    figures = {name: origin.metrics[name] for name in ("successes", "episodes", "text") if name in origin.metrics}
    say(stage=stage["stage"], seconds=round(origin.duration_s, 1), compile_s=origin.metrics.get("compile_s"), **figures)


def _processor() -> str:
    from benchmarks.physics import cpu

    return cpu()


SECTIONS: dict[str, Callable[..., None]] = {
    "device": device, "physics": physics, "render": render, "pipeline": pipeline
}  # fmt: skip

if __name__ == "__main__":
    SECTIONS[sys.argv[1]](*sys.argv[2:])
