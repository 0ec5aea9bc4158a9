"""From a profile to an environment: the one place where task, scene, physics and renderer are put together."""

import inspect
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

import mujoco
import numpy as np

from s2rctl.core.errors import ProfileError
from s2rctl.core.seeds import derived_seed
from s2rctl.env.colours import COLOURS
from s2rctl.env.dynamics import Draws, applicable, check_draws, draw_dynamics, needs_movable
from s2rctl.env.hide import hiding_of
from s2rctl.env.images import DepthFaults, Images, Imaging
from s2rctl.env.keys import make_key
from s2rctl.env.pictures import load_pictures
from s2rctl.env.vec_env import Pilot, VecEnv
from s2rctl.env.visibility import points_in_sight
from s2rctl.physics.factory import make_physics
from s2rctl.physics.protocol import ModelEdits, Physics
from s2rctl.render.factory import make_renderer, renderer_class
from s2rctl.scene import SCENES
from s2rctl.scene.motion import set_motion
from s2rctl.scene.mount import place_cameras
from s2rctl.schema.profile import Profile
from s2rctl.schema.simulation import Vision
from s2rctl.systems import system_named
from s2rctl.tasks import TASKS
from s2rctl.tasks.protocol import Start, Task, TaskSettings


@dataclass(frozen=True)
class _Wanted:
    """What decides an environment without its extras; equal profiles are equal whoever loaded them."""

    resolved: str  # the profile as JSON
    task: str
    worlds: int
    seed: int
    images: bool
    randomise: bool
    hide: float
    emphasis: float
    repeat: int
    profile: Profile = field(compare=False)


@dataclass(frozen=True, eq=False)
class _Extras:
    """What belongs to one environment alone."""

    pilot: Pilot | None = None
    bank: Start | None = None
    bank_probability: float | np.ndarray = 0.0
    dynamics: Draws = field(default_factory=dict)
    imaging: Imaging | None = None

    @property
    def none(self) -> bool:
        return self.pilot is None and self.bank is None and not self.dynamics and self.imaging is None


def make_env(
    profile: Profile,
    task: str,
    worlds: int,
    *,
    seed: int,
    images: bool | None = None,
    pilot: Pilot | None = None,
    bank: Start | None = None,
    bank_probability: float | np.ndarray = 0.0,
    randomise: bool = True,
    hide: float = 0.0,
    emphasis: float = 0.0,
    dynamics: Draws | None = None,
    repeat: int = 1,
    imaging: Imaging | None = None,
) -> VecEnv:
    """Return ``worlds`` copies of a task as the profile describes it.

    ``images`` adds the policy cameras (default: for the tasks whose policies see, which is everything but pick);
    ``seed`` decides the per-world quantities; ``hide`` is the share of episodes that hide each object from its arm
    (insertion only); ``emphasis`` draws hard worlds more often than evaluation does; ``dynamics`` are values of axes
    by world, on top of the per-world quantities (``env/dynamics.py``). With ``repeat``, the worlds are that many times
    the same ones: world w has the quantities, starts and looks of world w % (worlds // repeat), and these are those of
    an environment of worlds // repeat worlds; only ``dynamics``, noise and delays tell them apart. ``imaging`` are
    other cameras than the profile's; starts are still drawn in sight of the profile's. The other arguments are
    VecEnv's. Raises ProfileError when the profile does not fit the task and UsageError for an unknown task or backend,
    or for an axis of dynamics that cannot change anything.

    Equal environments without pilot, bank, dynamics and imaging are the same object, because whoever uses it next then
    finds its step compiled; where a task has no per-world quantities, environments of all seeds are equal.
    """
    shown = imaging is not None or (_seen(profile, task) if images is None else images)
    resolved = profile.model_dump_json()
    wanted = _Wanted(resolved, task, worlds, seed, shown, randomise, hide, emphasis, repeat, profile)
    extras = _Extras(pilot, bank, bank_probability, dynamics or {}, imaging)
    return _shared(wanted) if extras.none else _make(wanted, extras)


def _seen(profile: Profile, task: str) -> bool:
    """Return whether some policy of the task sees camera images."""
    return any(policy.sees and policy.task == task for policy in system_named(profile.system).policies)


@lru_cache(maxsize=4)
def _shared(wanted: _Wanted) -> VecEnv:
    profile, task = wanted.profile, wanted.task
    if wanted.seed and not make_task(profile, task, make_model(profile, task)).randomised:
        return _shared(replace(wanted, seed=0))
    return _make(wanted, _Extras())


def _make(wanted: _Wanted, extras: _Extras) -> VecEnv:
    profile, task, worlds = wanted.profile, wanted.task, wanted.worlds
    model = make_model(profile, task, movable=needs_movable(extras.dynamics))
    made = make_task(profile, task, model)
    check_draws(extras.dynamics, worlds, model, made)
    simulation = profile.simulation

    def physics(edits: ModelEdits) -> Physics:
        return make_physics(
            simulation.physics,
            model,
            worlds,
            substeps=simulation.substeps,
            edits=edits,
            poses=wanted.images,
            threads=simulation.threads,
            contacts=simulation.contacts,
        )

    own = make_images(profile, task, model) if wanted.images else None
    accept = points_in_sight(made, model, profile.vision) if own is not None else None
    return VecEnv(
        made,
        model,
        physics,
        worlds,
        key=make_key(wanted.seed),
        delays=profile.task(task).delays,
        images=extras.imaging or own,
        pilot=extras.pilot,
        bank=extras.bank,
        bank_probability=extras.bank_probability,
        randomise=wanted.randomise,
        emphasis=wanted.emphasis,
        hiding=hiding_of(made, model, wanted.hide) if wanted.hide > 0 else None,
        accept=accept,
        sight=own if extras.imaging is not None else None,
        dynamics=extras.dynamics,
        repeat=wanted.repeat,
    )


def make_model(profile: Profile, task: str, movable: bool = False) -> mujoco.MjModel:
    """Return the model of the task's scene with the profile's time step; ProfileError for another system's task.

    ``movable`` builds it for all axes of dynamics, where the scene offers that (``scene.pieces.make_movable``).
    """
    profile.task(task)
    build = SCENES.load(system_named(profile.system).scenes[task])
    offered = movable and "movable" in inspect.signature(build).parameters
    timestep = profile.simulation.timestep_s
    model: mujoco.MjModel = build(timestep, movable=True) if offered else build(timestep)
    set_motion(model, profile.robot.motion)
    return model


def axes_of(profile: Profile, task: str) -> tuple[str, ...]:
    """Return the axes of dynamics that can change anything in a task, by name."""
    model = make_model(profile, task, movable=True)
    return applicable(model, make_task(profile, task, model))


def profile_dynamics(profile: Profile, task: str, worlds: int, seed: int, share: float | np.ndarray = 1.0) -> Draws:
    """Return a draw of every axis that applies, from the profile's ranges (``tasks.<task>.dynamics``)."""
    model = make_model(profile, task, movable=True)
    ranges = profile.task(task).dynamics
    return draw_dynamics(ranges, worlds, seed, model=model, task=make_task(profile, task, model), share=share)


def training_dynamics(
    profile: Profile, task: str, worlds: int, seed: int, share: float, *, mildest: float = 1.0, judging: bool = False
) -> Draws | None:
    """Return the physics of worlds that train, or of those in which a training is judged; None: nominal.

    Neither is the other's, nor that of an evaluation with the same seed. With ``mildest`` below 1, each world goes its
    own way from nominal: between that part of ``share`` and all of it.
    """
    if not share:
        return None
    own = derived_seed(seed, "judge" if judging else "train")
    shares = share * np.random.default_rng(derived_seed(own, "mildest")).uniform(mildest, 1.0, worlds)
    return profile_dynamics(profile, task, worlds, own, share if mildest == 1.0 else shares)


def task_settings(profile: Profile, task: str, model: mujoco.MjModel) -> TaskSettings:
    """Return what the task, and the expert that labels for it, are built from."""
    return TaskSettings(model, profile.task(task), profile.simulation.period_s, profile.tool_limits)


def make_task(profile: Profile, task: str, model: mujoco.MjModel) -> Task:
    """Return the task as the profile's section describes it; ProfileError if its system has no such task."""
    made: Task = TASKS.load(task)(task_settings(profile, task, model))
    return made


def make_images(profile: Profile, task: str, model: mujoco.MjModel) -> Images:
    """Return the policy cameras; ProfileError when one is not in the task's scene or they differ in size.

    Cameras of ``model`` that were calibrated are moved to where they were found.
    """
    vision = profile.vision
    if not vision.cameras:
        raise ProfileError("the policy needs at least one camera", "add it under vision.cameras")
    known = {model.camera(index).name for index in range(model.ncam)}
    for camera in vision.cameras:
        if camera.name not in known:
            raise ProfileError(
                f"vision.cameras: the scene has no camera '{camera.name}'", f"use one of {', '.join(sorted(known))}"
            )
    place_cameras(model, vision)
    sizes = {(camera.width, camera.height) for camera in vision.cameras}
    if len(sizes) > 1:
        raise ProfileError("vision.cameras: all policy cameras must have one size", "give them equal width and height")
    (width, height) = sizes.pop()
    names = tuple(camera.name for camera in vision.cameras)
    _require_variable(renderer_class(vision.renderer, model), vision)
    pictures = load_pictures(vision.backgrounds) if _shows_pictures(vision) else None
    tiles = None if pictures is None else pictures.tiles
    renderer = make_renderer(vision.renderer, model, names, width, height, shadows=vision.shadows, pictures=tiles)
    colours = vision.appearance.colours or COLOURS.get(system_named(profile.system).scenes[task], ())
    return Images(model, renderer, vision, colours=colours, depth_faults=_depth_faults(vision), pictures=pictures)


def _shows_pictures(vision: Vision) -> bool:
    """Return whether some texture or background may be a picture."""
    shown = [limits.patterns for limits in vision.appearance.textures]
    if vision.appearance.background is not None:
        shown.append(vision.appearance.background.patterns)
    return any("picture" in patterns for patterns in shown)


def _require_variable(make: Any, vision: Vision) -> None:
    """Raise ProfileError when the profile varies what renderers of this class draw the same in all worlds."""
    fixed: frozenset[str] = getattr(make, "fixed", frozenset())
    look = vision.appearance
    asked = {
        "camera_fovy": look.camera_fovy_deg,
        "light_diffuse": look.light_intensity,
        "textures": len(look.textures),
        "background": int(look.background is not None),
        "extras": len(look.distractors) + len(look.skins),
        "lamps": int(look.lamps is not None),
    }
    for quantity, amount in asked.items():
        if quantity in fixed and amount > 0:
            raise ProfileError(
                f"the renderer '{vision.renderer}' cannot vary {quantity.replace('_', ' ')} per world",
                "leave that part of vision.appearance out, or use vision.renderer=raycast",
            )


def _depth_faults(vision: Vision) -> DepthFaults | None:
    if vision.depth_noise is None or not any(camera.depth for camera in vision.cameras):
        return None
    from s2rctl.render.depth_noise import depth_faults

    far = float(np.max([camera.depth_range_m[1] for camera in vision.cameras if camera.depth]))
    return partial(depth_faults, noise=vision.depth_noise, far_m=far)
