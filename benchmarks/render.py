"""Frames per second of the ray caster and of ``mujoco.Renderer``, on one core and in the same run."""

import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("MUJOCO_GL", "egl")

_WORLDS = 128
_REPEATS = 9
_CASES = (
    ("insertion", ("wrist_cam_left", "wrist_cam_right"), 32, False, True),
    ("insertion", ("wrist_cam_left", "wrist_cam_right"), 32, True, True),
    ("insertion", ("overhead_cam",), 84, False, True),
    ("reach", ("side",), 84, False, False),
)


def main() -> None:
    """Measure all cases and print one row for each."""
    core = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    print(f"CPU: {_cpu()}; one core; {_WORLDS} worlds, median (lowest-highest) of {_REPEATS} repeats")
    print("rates are frames per CPU second, so that other work on the machine does not count")
    print(f"{'scene':<10} {'frames':<22} {'ray caster':<26} {'mujoco.Renderer':<22} ratio  compile")
    before = os.sched_getaffinity(0) if core is not None else set()
    try:
        if core is not None:
            os.sched_setaffinity(0, {core})
        for scene, cameras, side, shadows, depth in _CASES:
            _case(scene, cameras, side, shadows, depth)
    finally:
        if core is not None:
            os.sched_setaffinity(0, before)


def _case(scene: str, cameras: tuple[str, ...], side: int, shadows: bool, depth: bool) -> None:
    import jax

    from s2rctl.render.raycast import RaycastRenderer
    from s2rctl.scene import SCENES

    model = SCENES.load(scene)(0.005)
    data = states_of(model)
    poses = poses_of(data)
    renderer = RaycastRenderer(model, cameras, side, side, shadows=shadows)
    look = renderer.appearance(_WORLDS)
    render = jax.jit(renderer.render)
    begun = time.perf_counter()
    jax.block_until_ready(render(poses, look))
    compiled = time.perf_counter() - begun
    cast = _rates(lambda: jax.block_until_ready(render(poses, look)), _WORLDS * len(cameras))
    reference = _reference_rates(model, data[:8], cameras, side, shadows, depth)
    kind = f"{side}x{side} RGB{'-D' if depth else ''}{' shadows' if shadows else ''}"
    ratio = cast[1] / reference[1] if reference else float("nan")
    print(f"{scene:<10} {kind:<22} {_text(cast):<26} {_text(reference):<22} {ratio:5.1f}  {compiled:.1f} s", flush=True)


def states_of(model) -> list:  # type: ignore[no-untyped-def]
    """Return the states of all worlds, near the scene's first keyframe."""
    import mujoco
    import numpy as np

    rng = np.random.default_rng(0)
    states = []
    for _ in range(_WORLDS):
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, 0)
        data.qpos[:6] += rng.normal(0, 0.1, 6)
        mujoco.mj_forward(model, data)
        states.append(data)
    return states


def poses_of(states: list):  # type: ignore[no-untyped-def]
    """Return the poses of geoms and cameras in ``states``."""
    import jax.numpy as jnp
    import numpy as np

    from s2rctl.scene.poses import Poses

    return Poses(
        *(
            jnp.asarray(np.stack([getattr(d, name).reshape(-1, *shape) for d in states]), jnp.float32)
            for name, shape in (("geom_xpos", (3,)), ("geom_xmat", (3, 3)), ("cam_xpos", (3,)), ("cam_xmat", (3, 3)))
        )
    )


def _reference_rates(model, states, cameras, side, shadows, depth) -> tuple[float, float, float] | None:  # type: ignore[no-untyped-def]
    import mujoco

    from s2rctl.core.errors import MissingEnvironmentError
    from s2rctl.render.gl import open_renderer

    model.vis.quality.offsamples = 0
    try:
        renderer = open_renderer(model, side, side)
    except MissingEnvironmentError as error:
        print(f"  {error.message}")
        return None
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows

    def draw() -> None:
        for data in states:
            for camera in cameras:
                renderer.update_scene(data, camera)
                renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
                renderer.render()
                if depth:
                    renderer.enable_depth_rendering()
                    renderer.render()
                    renderer.disable_depth_rendering()

    draw()
    rates = _rates(draw, len(states) * len(cameras))
    renderer.close()
    return rates


def _rates(work: Callable[[], object], frames: int) -> tuple[float, float, float]:
    """Return lowest, median and highest rate in frames per CPU second."""
    rates = []
    for _ in range(_REPEATS):
        begun = time.process_time()
        work()
        rates.append(frames / (time.process_time() - begun))
    rates.sort()
    return rates[0], rates[len(rates) // 2], rates[-1]


def _text(rates: tuple[float, float, float] | None) -> str:
    return "not available" if rates is None else f"{rates[1]:,.0f} ({rates[0]:,.0f}-{rates[2]:,.0f})"


def _cpu() -> str:
    """Return the processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    import platform

    return platform.processor() or "unknown"


if __name__ == "__main__":
    main()
