"""Pretraining of an encoder: regress what the simulator knows from randomised renders.

The images come from episodes in which a driver (a scripted expert, or random motion) acts with noise, so that they
show what a policy will see. Images of a tenth of the worlds are held out.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from s2rctl.core.errors import Interrupted
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import Reporter
from s2rctl.env import stepping
from s2rctl.env.keys import make_key
from s2rctl.learning import encoder as nets
from s2rctl.learning import preprocess
from s2rctl.learning.encoder import Encoder, EncoderSettings, Head
from s2rctl.learning.preprocess import Camera
from s2rctl.schema.learning import Encoder as Budget
from s2rctl.tasks.protocol import World

Drive = Callable[[jax.Array, World, jax.Array], jax.Array]
"""(key, worlds, vector step) -> actions (B, n)."""
Targets = Callable[[World], jax.Array]
"""Of one world: what each camera shall tell (cameras, outputs), in units of order one."""

HELD_OUT = 0.1
WEIGHT_DECAY = 1e-4


class Images(NamedTuple):
    """Raw images and targets; the first axis is (step, world, camera) flattened."""

    inputs: Mapping[str, np.ndarray]  # "rgb" (M, H, W, 3) uint8 and, with depth, "depth" (M, H, W) uint16
    targets: np.ndarray  # (M, outputs) float32
    held_out: np.ndarray  # (M,) bool


class Fit(NamedTuple):
    """A trained encoder with its regression head and the error on held-out images."""

    params: Any  # {"encoder": ..., "head": ...}
    error: np.ndarray  # (M, outputs): prediction minus target of the held-out images


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
    reporter: Reporter,
    interrupt: Interrupt,
) -> Images:
    """Play with ``drive`` and return at least ``images`` images of all cameras."""
    state = stepping.reset(env, jax.random.fold_in(make_key(seed), 0))
    look = jax.jit(partial(_look, env, drive, targets, cameras))
    per_step = env.worlds * len(cameras)
    parts: list[tuple[dict[str, np.ndarray], np.ndarray]] = []
    for number in range(-(-images // per_step)):
        action, found = look(state, jax.random.fold_in(make_key(seed), 1 + number), jnp.int32(number))
        parts.append(jax.tree.map(lambda a: np.asarray(a)[None], found))
        state, _ = stepping.step(env, state, action)
        reporter.update((number + 1) * per_step, {})
        if interrupt.requested:
            raise Interrupted(
                "stopped while rendering training images; nothing is kept of a pretraining", "run it again"
            )
    inputs = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
    values = np.concatenate([part[1] for part in parts])
    world = np.broadcast_to(np.arange(env.worlds)[None, :, None], (values.shape[0], env.worlds, len(cameras)))
    held_out = world >= env.worlds - max(1, round(HELD_OUT * env.worlds))
    flat = {name: value.reshape(-1, *value.shape[3:]) for name, value in inputs.items()}
    return Images(flat, values.reshape(-1, values.shape[-1]), held_out.reshape(-1))


def _look(
    env: Any, drive: Drive, targets: Targets, cameras: tuple[Camera, ...], state: Any, key: jax.Array, count: jax.Array
) -> tuple[jax.Array, tuple[dict[str, jax.Array], jax.Array]]:
    """Return the next action (B, n), the raw images (B, C, ...) and the targets (B, C, outputs) of this moment."""
    seen, world = state.observation.inputs, env.world(state)
    images = {"rgb": jnp.stack([seen[f"rgb_{camera.name}"] for camera in cameras], axis=1)}
    if cameras[0].depth:
        images["depth"] = jnp.stack([seen[f"depth_{camera.name}"] for camera in cameras], axis=1)
    return drive(key, world, count), (images, jax.vmap(targets)(world))


def fit(
    data: Images,
    camera: Camera,
    settings: EncoderSettings,
    budget: Budget,
    seed: int,
    reporter: Reporter,
    interrupt: Interrupt,
) -> Fit:
    """Train encoder and linear head by mean squared error (AdamW, cosine) and return them with the held-out error.

    ``camera`` gives depth unit and range; all cameras share them.
    """
    train, test = np.flatnonzero(~data.held_out), np.flatnonzero(data.held_out)
    size = min(budget.batch, len(train))
    steps = max(1, budget.passes * (len(train) // size))
    params = _init(jax.random.fold_in(make_key(seed), 0), settings, data.targets.shape[1])
    # Start at the mean: a short budget is then spent on what differs between images.
    params["head"]["regression"]["bias"] = jnp.asarray(data.targets[train].mean(axis=0))
    optimiser = optax.adamw(optax.cosine_decay_schedule(budget.learning_rate, steps), weight_decay=WEIGHT_DECAY)
    state = optimiser.init(params)
    generator = np.random.default_rng(seed)

    def loss(params: Any, inputs: Any, targets: jax.Array) -> jax.Array:
        return jnp.mean((predict(params, settings, camera, inputs) - targets) ** 2)

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Any, state: Any, inputs: Any, targets: jax.Array) -> tuple[Any, Any, jax.Array]:
        value, gradient = jax.value_and_grad(loss)(params, inputs, targets)
        change, state = optimiser.update(gradient, state, params)
        return optax.apply_updates(params, change), state, value

    order = np.concatenate([generator.permutation(train) for _ in range(budget.passes)])
    for number in range(steps):
        rows = order[number * size : (number + 1) * size]
        params, state, value = step(params, state, *_rows(data, rows))
        if number % 20 == 0:
            reporter.update((number + 1) * size, {"loss": float(value)})
        if interrupt.requested:
            raise Interrupted("stopped while training the encoder; nothing is kept of a pretraining", "run it again")
    judge = jax.jit(lambda params, inputs: predict(params, settings, camera, inputs))
    errors = [judge(params, inputs) - targets for inputs, targets in (_rows(data, r) for r in _split(test, 512))]
    return Fit(params, np.concatenate([np.asarray(error) for error in errors]))


def predict(params: Any, settings: EncoderSettings, camera: Camera, inputs: Mapping[str, jax.Array]) -> jax.Array:
    """Return the regressed quantities (N, outputs) for raw images ``rgb`` and ``depth``."""
    named = {f"{kind}_{camera.name}": value for kind, value in inputs.items()}
    latent = nets.apply(Encoder(settings), params["encoder"], preprocess.image(named, camera))
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
