"""How near the identified faults of cameras come to the truth: still scenes seen by cameras drawn at random.

    python -m benchmarks.camera [--draws 10] [--first 0] [--frames 200] [--json]

Each camera spoils a still scene, made at random of a tilted table and tilted blocks, exactly as training spoils
pictures. Every other one is an Aloha's wrist camera (32 x 32, 0.1 to 0.4 m), the others look at a scene like the xArm's
(84 x 84, 0.7 to 2 m). Counted: how often the 95 % intervals hold the truth, of all figures that count as told.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.env.depth_camera import HOLE_RADIUS, lose_patches
from s2rctl.env.development import draw_image_settings
from s2rctl.env.images import depth_counts, spoil_colours
from s2rctl.identification.camera.clip import Clip
from s2rctl.identification.camera.identify import identify
from s2rctl.render.depth_noise import depth_faults
from s2rctl.schema.appearance import ImageRange
from s2rctl.schema.camera_faults import MEANINGS, CameraFaults
from s2rctl.schema.simulation import Appearance, CameraSettings, DepthNoise


class Kind(NamedTuple):
    """Where a camera stands, and what it is."""

    size: int  # px
    limits: tuple[float, float]  # m
    table: tuple[float, float]  # m, distance of the table, range
    constant: tuple[float, float]  # mm
    sigma: tuple[float, float]  # steps
    focal: float  # of the height


KINDS = (
    Kind(32, (0.0, 0.4), (0.22, 0.3), (2e4, 6e4), (0.1, 0.6), 0.9),
    Kind(84, (0.7, 2.0), (1.3, 1.6), (1e5, 2e5), (0.3, 2.5), 1.2),
)


class Drawn(NamedTuple):
    """A camera and what it recorded."""

    truth: dict[str, float]
    clip: Clip
    flat: np.ndarray


def scene(kind: Kind, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return depth (H, W) m and colours (H, W, 3) uint8 of a tilted table with tilted blocks on it."""
    y, x = (np.mgrid[0 : kind.size, 0 : kind.size] + 0.5) / kind.size - 0.5
    away = rng.uniform(*kind.table)

    def plane(distance: float, tilt: np.ndarray) -> np.ndarray:
        """Return the depth of a plane: its inverse is linear in the picture."""
        return np.asarray(distance / (1.0 + (tilt[0] * x + tilt[1] * y) / kind.focal))

    depth = plane(away, rng.uniform(0.2, 0.5, 2) * rng.choice([-1, 1], 2))
    colours = np.full((kind.size, kind.size, 3), 1.0) * rng.uniform(40, 140, 3)
    for _ in range(7):
        middle, half = rng.uniform(-0.4, 0.4, 2), rng.uniform(0.06, 0.2, 2)
        inside = (np.abs(y - middle[0]) < half[0]) & (np.abs(x - middle[1]) < half[1])
        top = plane(away - rng.uniform(0.05, 0.5) * away * 0.6, rng.uniform(-0.3, 0.3, 2))
        nearer = inside & (top < depth)
        depth = np.where(nearer, top, depth)
        colours = np.where(nearer[..., None], rng.uniform(30, 200, 3), colours)
    shading = 1.0 + 0.2 * x + 0.1 * y
    return depth, np.clip(colours * shading[..., None], 0, 255).astype(np.uint8)


def draw(seed: int, frames: int, kind: Kind) -> Drawn:
    """Return a camera drawn at random and the frames that it took, spoilt by training's own functions."""
    rng = np.random.default_rng([seed, 19])
    depth, colours = scene(kind, rng)
    truth = {
        "pixel_noise": rng.uniform(0.005, 0.05), "brightness": rng.uniform(0.02, 0.2),
        "vignette": rng.uniform(0.05, 0.5), "edge_gradient": rng.uniform(0.02, 0.08) * kind.table[0] / 0.22,
        "edge_gain": rng.uniform(4.0, 15.0) * 0.22 / kind.table[0], "disparity_constant": rng.uniform(*kind.constant),
        "disparity_sigma": rng.uniform(*kind.sigma), "disparity_shift_px": rng.uniform(0.1, 0.8),
        "loss": rng.uniform(0.0, 0.03), "scratches": float(rng.integers(0, 20)),
        "blackout": rng.uniform(0.0, 0.06), "depth_holes": rng.uniform(0.0, 0.4),
    }  # fmt: skip
    keys = jax.random.split(jax.random.key(seed), 4)
    rgb, flat = _colours(keys[:2], colours, truth, frames, rng)
    counts = _depth(keys[2:], depth, truth, frames, kind, rng)
    return Drawn(truth, Clip("drawn", rgb, counts, 1e-4, kind.limits), flat)


def _colours(
    keys: jax.Array, colours: np.ndarray, truth: dict[str, float], frames: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    limits = ImageRange(vignette=1.0)
    own = draw_image_settings(keys[0], frames, 1, Appearance(image=limits)).development
    assert own is not None
    own = own._replace(vignette=jnp.full((frames, 1), truth["vignette"]))
    gains = jnp.asarray(rng.uniform(1 - truth["brightness"], 1 + truth["brightness"], (frames, 1)), jnp.float32)
    still = jnp.broadcast_to(jnp.asarray(colours), (frames, 1, *colours.shape))
    rgb = spoil_colours(keys[0], still, gains, truth["pixel_noise"], own, limits)
    one = jax.tree.map(lambda leaf: leaf[:1], own)
    grey = jnp.full((1, 1, *colours.shape), 150, jnp.uint8)
    flat = spoil_colours(keys[1], grey, gains[:1], truth["pixel_noise"], one, limits)
    return np.asarray(rgb[:, 0]), np.asarray(flat[:, 0])


def _depth(
    keys: jax.Array, depth: np.ndarray, truth: dict[str, float], frames: int, kind: Kind, rng: np.random.Generator
) -> np.ndarray:
    noise = DepthNoise(
        **{
            name: int(value) if name == "scratches" else value
            for name, value in truth.items()
            if name in DepthNoise.model_fields
        }
    )
    settings = CameraSettings(name="drawn", width=kind.size, height=kind.size, depth=True, depth_range_m=kind.limits)
    still = jnp.broadcast_to(jnp.asarray(depth, jnp.float32), (frames, *depth.shape))
    faulty = depth_faults(keys[0], still, noise, kind.limits[1])
    low, high = HOLE_RADIUS
    hole = jnp.asarray([truth["depth_holes"], *rng.uniform(0, 1, 2), rng.uniform(low, high)], jnp.float32)
    holed = lose_patches(keys[1], faulty[:, None], jnp.broadcast_to(hole, (frames, 1, 4)))[:, 0]
    return np.asarray(depth_counts(holed, settings))


def judged(found: CameraFaults, truth: dict[str, float]) -> dict[str, tuple[float, float, float, float, bool, bool]]:
    """Return truth, value, interval, whether told and whether held, by name."""
    return {
        one.name: (truth[one.name], one.value, one.low, one.high, one.told, one.low <= truth[one.name] <= one.high)
        for one in found.figures
    }


def main(arguments: Sequence[str] = ()) -> None:
    """Print each camera's figures and those over all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--kind", type=int, choices=(0, 1), default=None)
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args(list(arguments))
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in MEANINGS}
    for seed in range(wanted.first, wanted.first + wanted.draws):
        kind = KINDS[seed % 2 if wanted.kind is None else wanted.kind]
        drawn = draw(seed, wanted.frames, kind)
        found = judged(identify(drawn.clip, drawn.flat), drawn.truth)
        for name, row in found.items():
            rows[name].append(row)
            if wanted.json:
                print(json.dumps({"seed": seed, "figure": name, "row": row}), flush=True)
            else:
                mark = ("held" if row[5] else "MISSED") if row[4] else "not told"
                print(
                    f"{seed:3d} {name:20s} {row[0]:12.5g} {row[1]:12.5g} {row[2]:12.5g} {row[3]:12.5g} {mark}",
                    flush=True,
                )
    print("| figure | told | intervals that hold the truth | median width of the interval |\n|---|---|---|---|")
    held, told = 0, 0
    for name, each in rows.items():
        sure = [row for row in each if row[4]]
        inside = sum(row[5] for row in sure)
        held, told = held + inside, told + len(sure)
        width = float(np.median([row[3] - row[2] for row in sure])) if sure else float("nan")
        print(f"| {MEANINGS[name].words} | {len(sure)} of {len(each)} | {inside} of {len(sure)} | {width:.3g} |")
    print(f"| all | | {held} of {told} ({held / max(told, 1):.1%}) | |")


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
