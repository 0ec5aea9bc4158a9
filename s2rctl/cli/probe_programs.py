"""Further checks of ``doctor``, as data: name, program, what to do, whether it is required."""

_MUJOCO_PARTS = """
import sys
from s2rctl.core.parts import mixed, mujoco_parts
parts = mujoco_parts()
faults = mixed(parts)
print('; '.join(faults) or ', '.join(f"{part.metadata['Name']} {part.version}" for part in parts) or 'not installed')
sys.exit(bool(faults))
"""
_LOCK = """
import importlib.metadata, sys
from pathlib import Path
import s2rctl
from s2rctl.core.parts import locked, unlike
lock = Path(s2rctl.__file__).resolve().parents[1] / 'requirements.lock'
if not lock.is_file():
    print('installed without a lock'); sys.exit()
wanted = locked(lock.read_text(encoding='utf-8'))
have = [(d.metadata['Name'], d.version) for d in importlib.metadata.distributions() if d.metadata['Name']]
other = unlike(wanted, have)
print(f"{len(other)} packages are not as in the lock: {', '.join(other)}" if other else 'as in the lock')
sys.exit(bool(other))
"""
# bfloat16 keeps 8 bits and TF32 11: what some accelerators multiply matrices with unless they are told not to.
_PRECISION = """
import os; os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
import sys, jax, numpy as np
a, b = np.random.default_rng(0).standard_normal((2, 256, 256)).astype(np.float32)
exact = a.astype(np.float64) @ b.astype(np.float64)
error = float(np.abs(np.asarray(jax.jit(lambda x, y: x @ y)(a, b)) - exact).max() / np.abs(exact).max())
print(f'{jax.default_backend()}: matrix products to {error:.1e}' + ('' if error < 1e-5 else ', less than float32'))
sys.exit(error >= 1e-5)
"""
_LOOKS = """
import os; os.environ.setdefault('JAX_PLATFORMS', 'cpu'); os.environ.setdefault('MUJOCO_GL', 'egl')
import sys, jax, jax.numpy as jnp, mujoco, numpy as np
from s2rctl.render import RENDERERS
from s2rctl.scene import SCENES
from s2rctl.scene.poses import Poses
model = SCENES.load('reach')(0.005)
data = mujoco.MjData(model); mujoco.mj_forward(model, data)
renderer = RENDERERS.load('{renderer}')(model, ('side',), 32, 32)
fields = [np.asarray(getattr(data, name), np.float32) for name in Poses._fields]
poses = Poses(*[np.stack([f.reshape(len(f), *((3, 3) if f.shape[-1] == 9 else (3,)))] * 2) for f in fields])
look = renderer.appearance(2)
rgba = np.array(look.geom_rgba); rgba[1, :, :3] = 1 - rgba[1, :, :3]
look = look._replace(geom_rgba=jnp.asarray(rgba))
frames = jax.jit(renderer.render)(Poses(*map(jnp.asarray, poses)), look)
one, other = np.asarray(frames.rgb, float)
apart = float(np.abs(one - other).mean())
print(f'one frame of two worlds with other colours: they differ by {{apart:.0f}} of 255'
      + ('' if apart > 1 else '; randomisation does nothing'))
sys.exit(apart <= 1)
"""
# A graph of one node, y = max(x, 0), so that no other package has to write one.
_GRAPH = (
    "08093a350a0c0a0178120179220452656c751201675a100a0178120b0a09080112050a0312016e62100a0179120b0a09080112050a0312016e"
    "42040a001015"
)
_ONNX = f"""
import numpy as np, onnxruntime as o
session = o.InferenceSession(bytes.fromhex('{_GRAPH}'), providers=['CPUExecutionProvider'])
y, = session.run(None, {{'x': np.array([-1, 2], np.float32)}})
assert y.tolist() == [0, 2], y
print('one inference, right')
"""
_FILM = """
import sys, tempfile
from pathlib import Path
import imageio_ffmpeg as f
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / 'film.mp4'
    writer = f.write_frames(str(path), (32, 32), fps=10); writer.send(None)
    for shade in range(3):
        writer.send(bytes([80 * shade]) * 32 * 32 * 3)
    writer.close()
    print(f'ffmpeg {f.get_ffmpeg_version()}: three frames, {path.stat().st_size} bytes')
"""
_DISK = """
import os, shutil, sys, tempfile
from pathlib import Path
places = {'temporary files': tempfile.gettempdir()}
cache = Path(os.environ.get('XDG_CACHE_HOME') or Path(os.environ.get('HOME', '/')) / '.cache')
places['cache'] = str(next(p for p in (cache, *cache.parents) if p.exists()))
said, short = [], False
for name, place in places.items():
    free = shutil.disk_usage(place).free / 1e9
    tempfile.TemporaryFile(dir=place).close()
    said.append(f'{name}: {free:.0f} GB free in {place}'); short |= free < 1
print(', '.join(said))
sys.exit(short)
"""
_RAY = "import importlib.metadata as m, ray; print(m.version('ray'))"

_SIM = "pip install 's2rctl[sim]'"
_WHOLE = "pip uninstall -y mujoco mujoco-core mujoco-studio, then pip install 's2rctl[sim]'"
MORE: tuple[tuple[str, str, str, bool], ...] = (
    ("versions", _LOCK, "make setup   (installs what the lock names)", False),
    ("mujoco parts", _MUJOCO_PARTS, _WHOLE, True),
    (
        "matrix products",
        _PRECISION,
        "full float32 is asked for and this device gives less: compare rates, not numbers",
        False,
    ),
    ("looks, raycast", _LOOKS.format(renderer="raycast"), _SIM, True),
    (
        "looks, gl",
        _LOOKS.format(renderer="gl"),
        "for videos install EGL (Debian: libegl1), or set MUJOCO_GL=osmesa",
        False,
    ),
    ("looks, warp", _LOOKS.format(renderer="warp"), "optional: pip install 's2rctl[warp]'", False),
    ("looks, madrona", _LOOKS.format(renderer="madrona"), "optional, built from source; use raycast", False),
    ("inference", _ONNX, "pip install --force-reinstall onnxruntime", True),
    ("film", _FILM, _SIM, False),
    ("disk", _DISK, "free space, or choose other places with TMPDIR and XDG_CACHE_HOME", False),
    ("ray", _RAY, "optional, for several machines: pip install 's2rctl[ray]'", False),
)
