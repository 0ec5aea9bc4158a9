"""Pretraining of an encoder: regress what the simulator knows from randomised renders.

The images come from episodes in which a driver (a scripted expert, or random motion) acts with noise, so that they
show what a policy will see. Images of a tenth of the worlds are held out.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from s2rctl.core.errors import Interrupted
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import Reporter
from s2rctl.env import appearances, stepping
from s2rctl.env.keys import make_key
from s2rctl.learning.checkpoint import Checkpoints
from s2rctl.learning.optimiser import make_optimiser
from s2rctl.learning.vision import encoder as nets
from s2rctl.learning.vision import preprocess
from s2rctl.learning.vision.encoder import Encoder, EncoderSettings, Head
from s2rctl.learning.vision.preprocess import Camera
from s2rctl.schema.learning import Encoder as Budget
from s2rctl.schema.tensors import depth_name, rgb_name
from s2rctl.tasks.protocol import World

Drive = Callable[[jax.Array, World, jax.Array], jax.Array]
"""(key, worlds, vector step) -> actions (B, n)."""
Targets = Callable[[World], jax.Array]
"""Of one world: what each camera shall tell (cameras, outputs), in units of order one."""

Loss = Callable[[jax.Array, jax.Array], jax.Array]
"""(predicted (N, outputs), targets (N, outputs)) -> ()."""

HELD_OUT = 0.1
WEIGHT_DECAY = 1e-4
CHECKPOINT_INTERVAL_S = 30.0
TARGETS = "targets"
_COMPLETE = "complete"


class Images(NamedTuple):
    """Raw images and targets; the first axis is (step, world, camera) flattened."""

    inputs: Mapping[str, np.ndarray]  # "rgb" (M, H, W, 3) uint8 and "depth" (M, H, W) uint16, as cameras have
    targets: np.ndarray  # (M, outputs) float32
    held_out: np.ndarray  # (M,) bool


class Fit(NamedTuple):
    """A trained encoder with its head, and what it says of the held-out images."""

    params: Any  # {"encoder": ..., "head": ...}
    predicted: np.ndarray  # (M, outputs) of the held-out images, in their order


class Progress(NamedTuple):
    """What a checkpoint keeps of a fit: a pytree."""

    params: Any
    optimiser: Any
    step: np.ndarray  # () int64: optimiser steps done


def worlds_for(images: int, cameras: int, episode_steps: int) -> int:
    """Return how many worlds give ``images`` images while each plays about two episodes, 32 to 512."""
    return int(np.clip(images // (cameras * 2 * episode_steps), 32, 512))


def collect(
    env: Any,
    drive: Drive,
    targets: Targets,
    cameras: tuple[Camera, ...],
    images: int,
    seed: int,
    folder: Path,
    reporter: Reporter,
    interrupt: Interrupt,
    together: bool = False,
) -> Images:
    """Play with ``drive`` and return at least ``images`` images of all cameras, as files in ``folder``.

    The appearance is resampled for every image, not per episode: an encoder overfits per-episode appearances.
    Images of an earlier, complete call are taken as they are. ``together`` makes all cameras of a moment one entry
    (M, cameras, H, W, ...) with the first camera's targets.
    """
    per_step = env.worlds * (1 if together else len(cameras))
    steps = -(-images // per_step)
    stored = _Files(folder, steps)
    if not stored.complete:
        state = stepping.reset(env, jax.random.fold_in(make_key(seed), 0))
        look = jax.jit(partial(_look, env, drive, targets, cameras))
        for number in range(steps):
            key = jax.random.fold_in(make_key(seed), 1 + number)
            action, (seen, told) = look(state, key, jnp.int32(number))
            stored.put(number, {name: np.asarray(value) for name, value in seen.items()} | {TARGETS: np.asarray(told)})
            state, _ = stepping.step(env, appearances.refresh(env, state, jax.random.fold_in(key, 1)), action)
            reporter.update((number + 1) * per_step, {})
            if interrupt.requested:
                raise Interrupted("stopped while rendering training images", "run it again: rendering starts over")
        stored.finish()
    rows = stored.read()
    values = rows.pop(TARGETS)
    if together:
        world = np.broadcast_to(np.arange(env.worlds), (steps, env.worlds)).reshape(-1)
        flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in rows.items()}
        return Images(flat, values[:, :, 0].reshape(-1, values.shape[-1]), _held_out(world, env.worlds))
    world = np.broadcast_to(np.arange(env.worlds)[None, :, None], (steps, env.worlds, len(cameras)))
    flat = {name: value.reshape(-1, *value.shape[3:]) for name, value in rows.items()}
    return Images(flat, values.reshape(-1, values.shape[-1]), _held_out(world.reshape(-1), env.worlds))


def _held_out(world: np.ndarray, worlds: int) -> np.ndarray:
    """Return (M,) bool: images of the last worlds."""
    held_out: np.ndarray = world >= worlds - max(1, round(HELD_OUT * worlds))
    return held_out


class _Files:
    """Arrays (steps, ...) in ``<folder>/<name>.npy``: memory-mapped, since training images may outgrow the memory."""

    def __init__(self, folder: Path, steps: int) -> None:
        self._folder, self._steps = folder, steps
        self._arrays: dict[str, np.memmap] = {}
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def complete(self) -> bool:
        """Whether an earlier process finished."""
        return (self._folder / _COMPLETE).is_file()

    def put(self, step: int, rows: Mapping[str, np.ndarray]) -> None:
        """Write one step's rows."""
        for name, row in rows.items():
            if name not in self._arrays:
                shape = (self._steps, *row.shape)
                path = self._folder / f"{name}.npy"
                self._arrays[name] = np.lib.format.open_memmap(path, mode="w+", dtype=row.dtype, shape=shape)
            self._arrays[name][step] = row

    def finish(self) -> None:
        """Mark the arrays as whole, after they have reached the disk."""
        for array in self._arrays.values():
            array.flush()
        self._arrays.clear()
        (self._folder / _COMPLETE).touch()

    def read(self) -> dict[str, np.ndarray]:
        """Return all arrays by name."""
        return {path.stem: np.load(path, mmap_mode="r") for path in sorted(self._folder.glob("*.npy"))}


def _look(
    env: Any, drive: Drive, targets: Targets, cameras: tuple[Camera, ...], state: Any, key: jax.Array, count: jax.Array
) -> tuple[jax.Array, tuple[dict[str, jax.Array], jax.Array]]:
    """Return the next action (B, n), the raw images (B, C, ...) and the targets (B, C, outputs) of this moment."""
    seen, world = state.observation.inputs, env.world(state)
    images = {}
    if cameras[0].colour:
        images["rgb"] = jnp.stack([seen[rgb_name(camera.name)] for camera in cameras], axis=1)
    if cameras[0].depth:
        images["depth"] = jnp.stack([seen[depth_name(camera.name)] for camera in cameras], axis=1)
    return drive(key, world, count), (images, jax.vmap(targets)(world))


def mean_square(predicted: jax.Array, targets: jax.Array) -> jax.Array:
    """Return the mean squared error."""
    return jnp.mean((predicted - targets) ** 2)


def fit(
    data: Images,
    camera: Camera,
    settings: EncoderSettings,
    budget: Budget,
    seed: int,
    checkpoints: Checkpoints,
    reporter: Reporter,
    interrupt: Interrupt,
    loss: Loss = mean_square,
) -> Fit:
    """Train encoder and linear head (cosine schedule) and return them with what they say of the held-out images.

    ``camera`` gives depth unit and range; all cameras share them. A killed fit goes on from its last checkpoint.
    """
    train, test = np.flatnonzero(~data.held_out), np.flatnonzero(data.held_out)
    size = min(budget.batch, len(train))
    steps = max(1, budget.passes * (len(train) // size))
    optimiser = make_optimiser(budget.optimiser, budget.learning_rate, steps, final=0.0, weight_decay=WEIGHT_DECAY)
    step = _stepper(settings, camera, optimiser, loss)
    progress = _begin(data.targets[train], settings, optimiser, seed)
    if checkpoints.latest() is not None:
        progress = checkpoints.restore(progress)
        reporter.note(f"resuming at step {int(progress.step)} of {steps}")
    generator = np.random.default_rng(seed)
    order = np.concatenate([generator.permutation(train) for _ in range(budget.passes)])
    saved = time.monotonic()
    for number in range(int(progress.step), steps):
        rows = np.sort(order[number * size : (number + 1) * size])  # in the files' order
        params, state, value = step(progress.params, progress.optimiser, *_rows(data, rows))
        progress = Progress(params, state, np.array(number + 1, np.int64))
        if number % 20 == 0:
            reporter.update((number + 1) * size, {"loss": float(value)})
        if interrupt.requested or time.monotonic() - saved > CHECKPOINT_INTERVAL_S:
            checkpoints.save(number + 1, progress)
            saved = time.monotonic()
        if interrupt.requested:
            raise Interrupted(
                f"stopped after step {number + 1} of {steps}; progress is saved", "run it again to resume"
            )
    judge = jax.jit(lambda params, inputs: predict(params, settings, camera, inputs))
    said = [judge(progress.params, _rows(data, rows)[0]) for rows in _split(test, 512)]
    return Fit(progress.params, np.concatenate([np.asarray(part) for part in said]))


def _begin(
    targets: np.ndarray, settings: EncoderSettings, optimiser: optax.GradientTransformation, seed: int
) -> Progress:
    params = _init(jax.random.fold_in(make_key(seed), 0), settings, targets.shape[1])
    # Start at the mean: a short budget is then spent on what differs between images.
    params["head"]["regression"]["bias"] = jnp.asarray(targets.mean(axis=0))
    return Progress(params, optimiser.init(params), np.array(0, np.int64))


def _stepper(
    settings: EncoderSettings, camera: Camera, optimiser: optax.GradientTransformation, loss: Loss
) -> Callable[..., tuple[Any, Any, jax.Array]]:
    """Return the compiled step (params, optimiser state, inputs, targets) -> (params, state, loss)."""

    def of(params: Any, inputs: Any, targets: jax.Array) -> jax.Array:
        return loss(predict(params, settings, camera, inputs), targets)

    def step(params: Any, state: Any, inputs: Any, targets: jax.Array) -> tuple[Any, Any, jax.Array]:
        value, gradient = jax.value_and_grad(of)(params, inputs, targets)
        change, state = optimiser.update(gradient, state, params)
        return optax.apply_updates(params, change), state, value

    return jax.jit(step, donate_argnums=(0, 1))


def predict(params: Any, settings: EncoderSettings, camera: Camera, inputs: Mapping[str, jax.Array]) -> jax.Array:
    """Return the regressed quantities (N, outputs) for raw images ``rgb`` and ``depth``.

    An encoder of several views gets their images (N, views, H, W, ...) side by side.
    """
    if settings.views == 1:
        named = {f"{kind}_{camera.name}": value for kind, value in inputs.items()}
        image = preprocess.image(named, camera)
    else:
        each = [{f"{kind}_{camera.name}": v[:, i] for kind, v in inputs.items()} for i in range(settings.views)]
        image = jnp.concatenate([preprocess.image(named, camera) for named in each], axis=-1)
    latent = nets.apply(Encoder(settings), params["encoder"], image)
    return nets.apply(Head(params["head"]["regression"]["bias"].shape[0]), params["head"], latent)


def random_params(seed: int, settings: EncoderSettings, outputs: int) -> Any:
    """Return untrained parameters, for a budget of no images."""
    return _init(jax.random.fold_in(make_key(seed), 0), settings, outputs)


def _init(key: jax.Array, settings: EncoderSettings, outputs: int) -> Any:
    first, second = jax.random.split(key)
    return {
        "encoder": nets.init(Encoder(settings), first, settings.height, settings.width, settings.channels),
        "head": nets.init(Head(outputs), second, settings.latent),
    }


def _rows(data: Images, rows: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    return {name: value[rows] for name, value in data.inputs.items()}, data.targets[rows]


def _split(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
