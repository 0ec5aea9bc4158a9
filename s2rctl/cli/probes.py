"""The checks of ``doctor``: each runs in a separate process, so that a crash affects nothing else."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from s2rctl.cli.probe_programs import MORE
from s2rctl.core import compile_cache
from s2rctl.core.foreign import LIBRARIES, blame, foreign
from s2rctl.core.interpreter import python

Status = Literal["ok", "missing", "failed", "timeout"]


_ABSENT = 3


@dataclass(frozen=True)
class Probe:
    """One check: a program that prints one line and exits with 0 when the part works, with 3 where there is none."""

    name: str
    program: str
    hint: str
    required: bool = False


@dataclass(frozen=True)
class Finding:
    """What a probe said."""

    name: str
    status: Status
    detail: str
    hint: str
    required: bool


def _imports(module: str, detail: str = "") -> str:
    version = f"importlib.metadata.version({detail!r})" if detail else f"getattr({module}, '__version__', 'present')"
    return f"import importlib.metadata, {module}; print({version})"


_PHYSICS = """
import os; os.environ.setdefault('JAX_PLATFORMS', 'cpu')
import time, jax, jax.numpy as jnp
from s2rctl.physics.factory import make_physics
from s2rctl.scene import SCENES
{build}
physics = make_physics('{backend}', model, {worlds}, substeps=10)
qpos = jnp.tile(jnp.asarray(model.key_qpos[0] if model.nkey else model.qpos0, jnp.float32), ({worlds}, 1))
state = physics.init(qpos, jnp.zeros(({worlds}, model.nv)), jnp.zeros(({worlds}, model.nu)))
step = jax.jit(physics.step)
begun = time.monotonic()
for _ in range(10):
    state = step(state, jnp.zeros(({worlds}, model.nu)))
jax.block_until_ready(state.qpos)
print(f'10 control steps of {worlds} worlds in {{time.monotonic() - begun:.2f}} s')
"""
_REACH = "model = SCENES.load('reach')(0.005)"
# A pendulum compiles in seconds; a robot takes MJX most of a minute.
_PENDULUM = """
import mujoco; spec = mujoco.MjSpec(); body = spec.worldbody.add_body(); body.add_joint()
body.add_geom(size=[0.1, 0.1, 0.1], pos=[0, 1, 0]); model = spec.compile()
"""
_RAYCAST = """
import os; os.environ.setdefault('JAX_PLATFORMS', 'cpu')
import jax, mujoco
from s2rctl.render.factory import make_renderer
from s2rctl.scene import SCENES
from s2rctl.scene.poses import Poses
import jax.numpy as jnp
model = SCENES.load('reach')(0.005)
data = mujoco.MjData(model); mujoco.mj_forward(model, data)
renderer = make_renderer('{renderer}', model, ('side',), 32, 32)
fields = [getattr(data, name) for name in Poses._fields]
shapes = [(1, len(field), *((3, 3) if field.shape[-1] == 9 else (3,))) for field in fields]
poses = Poses(*[jnp.asarray(f, jnp.float32).reshape(shape) for f, shape in zip(fields, shapes)])
frames = renderer.render(poses, renderer.appearance(1))
print(f'one frame {{frames.rgb.shape[-3:]}}, mean colour {{float(frames.rgb.mean()):.0f}}')
"""
_GL = """
import os; os.environ.setdefault('MUJOCO_GL', 'egl')
import mujoco
model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><geom size="1"/></worldbody></mujoco>')
data = mujoco.MjData(model); mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 32, 32) as renderer:
    renderer.update_scene(data)
    print('one frame, MUJOCO_GL=' + os.environ['MUJOCO_GL'], renderer.render().shape)
"""
_STORE = """
import shutil, sys, tempfile
from pathlib import Path
from s2rctl.store.location import find_store
from s2rctl.store.store import Store
from s2rctl.store.verify import verify
root = find_store(Path(sys.argv[1]) if sys.argv[1] else None)
place = next(p for p in (root, *root.parents) if p.exists())
tempfile.TemporaryFile(dir=place).close()
free = shutil.disk_usage(place).free / 1e9
verdict = verify(Store(root)) if root.is_dir() else None
print(f'{root}: ' + (f'{verdict.manifests} artifacts, {len(verdict.problems)} faults' if verdict else 'not made yet')
      + f', {free:.0f} GB free')
sys.exit(bool(verdict and verdict.problems) or free < 2)
"""
_ROBOT = """
import socket, sys
with socket.create_connection((sys.argv[1], 502), timeout=3):
    print('controller answers on port 502 of ' + sys.argv[1])
"""
_BUSES = """
import sys; from pathlib import Path
ports = sorted(Path('/dev').glob('ttyDXL*')) or sorted(Path('/dev').glob('ttyUSB*'))
timers = {p: Path('/sys/bus/usb-serial/devices') / p.resolve().name / 'latency_timer' for p in ports}
waits = {p: int(t.read_text()) if t.exists() else 0 for p, t in timers.items()}
print(', '.join(f'{p} (latency timer {ms} ms)' for p, ms in waits.items()) or 'no serial adapter is connected')
sys.exit(3 if not ports else max(waits.values()) > 4)
"""
_CAMERAS = """
import glob, sys
found = sorted(glob.glob('/dev/v4l/by-id/*')) or sorted(glob.glob('/dev/video*'))
print(', '.join(found) if found else 'none connected')
sys.exit(0 if found else 3)
"""
_GPU = """
import jax
devices = jax.devices()
print(', '.join(f'{d.platform}:{d.device_kind}' for d in devices))
"""

# These start JAX on what it would compute on, so they must not take the GPU's memory from whoever uses it.
_CHOSEN = """
import os; os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
from s2rctl.scene import SCENES
{choose}
print(f'auto is {{choice.name}}: {{choice.why}}')
"""
_PHYSICS_CHOICE = "from s2rctl.physics.factory import choose_physics; choice = choose_physics('auto')"
_RENDERER_CHOICE = """
from s2rctl.render.factory import choose_renderer
choice = choose_renderer('auto', SCENES.load('reach')(0.005))
"""
_WARP = """
import re, sys, importlib.metadata as m
import warp
warp.config.log_level = warp.LOG_WARNING
asked = next((re.search('==([0-9.]+)', r)[1] for r in m.requires('mujoco-mjx') if r.startswith('warp-lang==')), None)
names = ', '.join(device.name for device in warp.get_cuda_devices())
print(m.version('warp-lang') + (f', but MJX needs {asked}' if asked not in (None, m.version('warp-lang')) else '')
      + '; ' + (names or 'no CUDA device: it computes on the CPU, slowly'))
sys.exit(asked not in (None, m.version('warp-lang')))
"""

_SIM = "pip install 's2rctl[sim]'"
PROBES: tuple[Probe, ...] = (
    Probe("python", "import sys; print(sys.version.split()[0]); sys.exit(sys.version_info < (3, 11))", "", True),
    Probe(
        "onnxruntime",
        "import onnxruntime as o; print(o.__version__, *o.get_available_providers())",
        "pip install onnxruntime",
        True,
    ),
    Probe("mujoco", _imports("mujoco"), _SIM, True),
    Probe("jax", _GPU, f"{_SIM}; for an NVIDIA GPU also pip install 's2rctl[cuda12]'", True),
    Probe("warp", _WARP, "pip install 's2rctl[warp]' (for an NVIDIA GPU)"),
    Probe("physics", _CHOSEN.format(choose=_PHYSICS_CHOICE), _SIM, True),
    Probe("renderer", _CHOSEN.format(choose=_RENDERER_CHOICE), _SIM, True),
    Probe("physics native", _PHYSICS.format(backend="native", worlds=16, build=_REACH), _SIM, True),
    Probe("physics mjx", _PHYSICS.format(backend="mjx", worlds=1, build=_PENDULUM), "optional: native is the default"),
    Probe("renderer raycast", _RAYCAST.format(renderer="raycast"), _SIM, True),
    Probe("renderer gl", _GL, "for videos install EGL (Debian: libegl1), or set MUJOCO_GL=osmesa"),
    Probe("onnx export", _imports("jax2onnx", "jax2onnx"), _SIM, True),
    Probe("video writer", "import imageio_ffmpeg as f; print(f.get_ffmpeg_exe())", _SIM),
    Probe("calibration", _imports("cv2"), "pip install 's2rctl[calibrate]'"),
    Probe("xarm sdk", "import xarm.version as v; print(v.__version__)", "pip install 's2rctl[xarm]'"),
    Probe("dynamixel sdk", _imports("dynamixel_sdk", "dynamixel-sdk"), "pip install 's2rctl[aloha]'"),
    Probe("aloha buses", _BUSES, "connect the arms and set latency timers to 1 ms; rehearsal needs neither"),
    Probe("realsense", _imports("pyrealsense2", "pyrealsense2"), "pip install 's2rctl[realsense]' (needs libusb-1.0)"),
    Probe("cameras", _CAMERAS, "connect a camera; rehearsal needs none"),
    *(Probe(*row) for row in MORE),
)


def examine_environment() -> tuple[Finding, dict[str, str]]:
    """Return what is wrong with the user's variables, and an environment without those that are.

    The other probes run in that one: what is installed and only kept from working is not to be installed again.
    """
    found = [fault for library in LIBRARIES for fault in blame(library, os.environ)]
    named = {fault.variable: fault for fault in found}
    sound = {name: value for name, value in os.environ.items() if name not in named}
    if not found:
        plain = {name: value for name, value in os.environ.items() if name not in compile_cache.VARIABLES}
        compile_cache.enable(plain)  # what this program sets for itself is not the user's
        ours = {name for name in compile_cache.VARIABLES if plain.get(name) == os.environ.get(name)}
        theirs = {name: value for name, value in os.environ.items() if name not in ours}
        own = [name for library in LIBRARIES.values() for name in foreign(library, theirs)]
        detail = f"set here, and no obstacle: {', '.join(own)}" if own else "no variable is in the way"
        return Finding("environment", "ok", detail, "", True), sound
    detail = "; ".join(fault.error().message for fault in named.values())
    return Finding("environment", "failed", detail, f"unset {' '.join(named)}", True), sound


def examine(
    probe: Probe, timeout_s: float, argument: str = "", environment: Mapping[str, str] | None = None
) -> Finding:
    """Run one probe in a process of its own (``environment`` instead of this one's) and say what happened."""
    top = str(Path(__file__).resolve().parents[2])
    paths = [path for path in (os.environ.get("PYTHONPATH"), top) if path]
    variables = {**(os.environ if environment is None else environment), "PYTHONPATH": os.pathsep.join(paths)}
    call = python("-c", probe.program, argument)
    try:
        done = subprocess.run(
            call, capture_output=True, text=True, timeout=timeout_s, check=False, env=variables, errors="replace"
        )
    except subprocess.TimeoutExpired:
        return Finding(probe.name, "timeout", f"no answer in {timeout_s:.0f} s", probe.hint, probe.required)
    except OSError as error:
        return Finding(probe.name, "failed", str(error), probe.hint, probe.required)
    said = [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode == 0:
        return Finding(probe.name, "ok", said[-1] if said else "", "", probe.required)
    complaint = [line for line in done.stderr.splitlines() if line.strip()]
    detail = said[-1] if said else complaint[-1] if complaint else f"ended with status {done.returncode}"
    missing = done.returncode == _ABSENT or "ModuleNotFoundError" in detail or "MissingEnvironmentError" in detail
    detail = re.sub(r"^s2rctl\.core\.errors\.\w+: ", "", detail)
    return Finding(probe.name, "missing" if missing else "failed", detail[:200], probe.hint, probe.required)


def extra_probes(store: str, robot: str | None) -> list[tuple[Probe, str]]:
    """Return the probes that depend on options, with their argument."""
    probes = [
        (Probe("store", _STORE, "s2rctl artifacts verify; or choose another place with --store DIR", True), store)
    ]
    if robot:
        hint = "check the cable, the address and that the control box is on"
        probes.append((Probe("robot", _ROBOT, hint, True), robot))
    return probes
