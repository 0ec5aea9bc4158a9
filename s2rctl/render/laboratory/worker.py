"""A process that draws some of the worlds: ``python -m s2rctl.render.laboratory.worker '{...}'``.

It says ``ready``, then answers each line on its standard input with ``done`` when its worlds are drawn, and ends with
its input. It shares arrays with the environment (memory.py) and loads no JAX.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from s2rctl.render.laboratory.chance import Chance
from s2rctl.render.laboratory.develop import bent, develop
from s2rctl.render.laboratory.dress import Base, Outfit, dress
from s2rctl.render.laboratory.memory import Sizes, open_memory
from s2rctl.render.laboratory.plan import TEXTURE_PX, Plan
from s2rctl.render.laboratory.stereo import measured
from s2rctl.render.laboratory.textures import read_pictures
from s2rctl.schema.laboratory import LOOK_AXES

BLOCK = 16
"""Worlds whose pictures are developed at once."""


class Studio:
    """Draws and develops the worlds ``first`` to ``first + count - 1``."""

    def __init__(self, job: dict[str, Any]) -> None:
        import mujoco

        from s2rctl.render.laboratory.painter import Painter

        folder = Path(job["folder"])
        self._sizes = Sizes(**job["sizes"])
        self._worlds = range(job["first"], job["first"] + job["count"])
        self._arrays = open_memory(Path(job["memory"]), self._sizes)
        self._plan = Plan.load(folder / "plan.npz")
        model = mujoco.MjModel.from_binary_path(str(folder / "stage.mjb"))
        self._painter = Painter(model, self._plan, self._sizes.width, self._sizes.height)
        self._pictures = read_pictures(Path(job["pictures"]), TEXTURE_PX) if job["pictures"] else ()
        self._depth = bool(job["depth"])
        self._outfits: dict[int, tuple[bytes, Outfit]] = {}

    def draw(self) -> None:
        """Draw all worlds."""
        for start in range(0, len(self._worlds), BLOCK):
            block = self._worlds[start : start + BLOCK]
            for world in block:
                slot = (world - self._worlds.start) % self._plan.slots
                self._painter.world(self._arrays, world, slot, self._outfit(world))
            self._develop(slice(block.start, block.stop))

    def close(self) -> None:
        """Free the context."""
        self._painter.close()

    def _outfit(self, world: int) -> Outfit:
        """Return what the world wears, made once for each episode."""
        arrays = self._arrays
        seed = arrays["seed"][world]
        names = ("geom_rgba", "light_pos", "light_dir", "light_diffuse", "ambient")
        given = [np.array(arrays[name][world], float) for name in names]
        known = b"".join([seed.tobytes(), arrays["values"][world].tobytes(), *(part.tobytes() for part in given)])
        kept = self._outfits.get(world)
        if kept is None or kept[0] != known:
            values = dict(zip(LOOK_AXES, arrays["values"][world].tolist(), strict=True))
            kept = (known, dress(self._plan, Base(*given), values, int(seed), self._pictures))
            self._outfits[world] = kept
        return kept[1]

    def _develop(self, block: slice) -> None:
        """Make camera pictures of the rendered ones; every frame has random numbers of its own."""
        arrays, sizes = self._arrays, self._sizes
        rgb = np.array(arrays["rgb"][block]).reshape(-1, sizes.height, sizes.width, 3)
        depth = np.array(arrays["depth"][block]).reshape(-1, sizes.height, sizes.width)
        values = {
            name: np.repeat(arrays["values"][block, index], sizes.cameras) for index, name in enumerate(LOOK_AXES)
        }
        chance = Chance(
            (int(seed), int(frame), camera)
            for seed, frame in zip(arrays["seed"][block], arrays["frame"][block], strict=True)
            for camera in range(sizes.cameras)
        )
        rgb = bent(rgb, values["distortion"])
        if self._depth:
            depth = bent(depth, values["distortion"])
            up = np.tan(np.deg2rad(arrays["fovy"][block].reshape(-1).astype(float)) / 2)
            seen = measured(depth, rgb, up * sizes.width / sizes.height, values, chance)
            arrays["depth"][block] = seen.reshape(arrays["depth"][block].shape)
        arrays["rgb"][block] = develop(rgb, values, chance).reshape(arrays["rgb"][block].shape)


def main(job: str) -> int:
    """Serve until the input ends; return the exit code. An empty job is a look whether there is OpenGL."""
    try:
        if not json.loads(job):
            probe()
            return 0
        studio = Studio(json.loads(job))
    except Exception as error:  # the GL stack raises whatever its loader met; who started us turns it into an error
        _say("failed " + json.dumps([type(error).__name__, str(error), getattr(error, "hint", "")]))
        return 1
    _say("ready")
    for _ in sys.stdin:
        studio.draw()
        _say("done")
    studio.close()
    return 0


def probe() -> None:
    """Make an OpenGL context and free it."""
    import mujoco

    context = mujoco.GLContext(8, 8)
    context.make_current()
    mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_100.value).free()
    context.free()
    _say("ready")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
