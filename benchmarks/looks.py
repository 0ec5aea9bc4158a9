"""What each part of a robust profile's look costs: policy images with it and without, in turns, on one core."""

import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

_WORLDS = 64
_ROUNDS = 11
_PROFILES = (("aloha-robust", "insertion"), ("xarm7-robust", "reach"))
_OFF = {
    "textures": "[]",
    "background": "null",
    "distractors": "[]",
    "skins": "[]",
    "sizes": "[]",
    "lamps": "null",
    "image": "null",
}


def main() -> None:
    """Measure both profiles and print one row for each part."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    print(f"one core; {_WORLDS} worlds; frames per CPU second of images.take, and the ratio to none of the parts")
    print(f"medians of {_ROUNDS} rounds that draw every row once; 'look' is the time to draw one world's look")
    try:
        if cores:
            os.sched_setaffinity(0, {min(cores)})
        for name, task in _PROFILES:
            _profile(name, task)
    finally:
        if cores:
            os.sched_setaffinity(0, cores)


def _profile(name: str, task: str) -> None:
    rows = {"none": [], "all": list(_OFF), **{part: [part] for part in _OFF}}
    made = {row: _case(name, task, [part for part in _OFF if part not in on]) for row, on in rows.items()}
    takes: dict[str, list[float]] = {row: [] for row in rows}
    draws: dict[str, list[float]] = {row: [] for row in rows}
    for _ in range(_ROUNDS):
        for row, (take, draw, _) in made.items():
            takes[row].append(_seconds(take))
            draws[row].append(_seconds(draw))
    frames = _WORLDS * next(iter(made.values()))[2]
    print(f"\n{name:<14} {'frames/s':>9} {'ratio':>6} {'look':>9}")
    for row in rows:
        ratio = median(off / on for off, on in zip(takes["none"], takes[row], strict=True))
        look = 1e6 * median(draws[row]) / _WORLDS
        print(f"{row:<14} {frames / median(takes[row]):>9,.0f} {ratio:>6.2f} {look:>6.1f} µs", flush=True)


def _case(name: str, task: str, off: list[str]) -> tuple[Callable[[], Any], Callable[[], Any], int]:
    """Return compiled calls that take all images and that draw all looks, and the number of cameras."""
    import jax

    from benchmarks import render
    from s2rctl.env.build import make_images, make_model
    from s2rctl.env.keys import make_key
    from s2rctl.schema.load import load_profile

    profile = load_profile(name, [f"vision.appearance.{part}={_OFF[part]}" for part in off]).profile
    model = make_model(profile, task)
    images = make_images(profile, task, model)
    poses = jax.tree.map(lambda leaf: leaf[:_WORLDS], render.poses_of(render.states_of(model)))
    draw = jax.jit(lambda key: images.draw(key, _WORLDS))
    look, settings = draw(make_key(0))
    take = jax.jit(images.take)
    key = make_key(1)
    jax.block_until_ready(take(key, poses, look, settings))
    return (
        lambda: jax.block_until_ready(take(key, poses, look, settings)),
        lambda: jax.block_until_ready(draw(key)),
        len(profile.vision.cameras),
    )


def _seconds(work: Callable[[], Any]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


if __name__ == "__main__":
    main()
