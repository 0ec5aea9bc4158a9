"""From a profile to an environment: the one place where task, scene, physics and renderer are put together."""

from functools import lru_cache, partial

import mujoco
import numpy as np

from s2rctl.core.errors import ProfileError
from s2rctl.env.colours import COLOURS
from s2rctl.env.hide import insertion_hiding
from s2rctl.env.images import DepthFaults, Images
from s2rctl.env.keys import make_key
from s2rctl.env.vec_env import Pilot, VecEnv
from s2rctl.env.visibility import goal_in_sight
from s2rctl.physics import PHYSICS
from s2rctl.physics.protocol import ModelEdits, Physics
from s2rctl.render import RENDERERS
from s2rctl.render.protocol import Renderer
from s2rctl.scene import SCENES
from s2rctl.schema.profile import AlohaProfile, Profile, ReachProfile
from s2rctl.schema.simulation import Delays, Noise, Vision
from s2rctl.tasks import TASKS
from s2rctl.tasks.protocol import Planner, Start, Task, TaskSettings

_SCENE_OF = {"pick": "pick", "insertion": "insertion", "reach": "reach"}
_WITH_IMAGES = frozenset({"insertion", "reach"})


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
) -> VecEnv:
    """Return ``worlds`` copies of a task as the profile describes it.

    ``images`` adds the policy cameras (default: for the tasks whose policies see, which is everything but pick);
    ``seed`` decides the per-world quantities; ``hide`` is the share of episodes that hide each object from its arm
    (insertion only); ``emphasis`` draws hard worlds more often than evaluation does; the other arguments are VecEnv's.
    Raises ProfileError when the profile does not fit the task and UsageError for an unknown task or backend.

    Equal environments without pilot and bank are the same object, because whoever uses it next then finds its step
    compiled; where a task has no per-world quantities, environments of all seeds are equal.
    """
    shown = task in _WITH_IMAGES if images is None else images
    if pilot is None and bank is None:
        return _shared(_ByValue(profile), task, worlds, seed, shown, randomise, hide, emphasis)
    return _make(profile, task, worlds, seed, shown, randomise, pilot, bank, bank_probability, hide, emphasis)


class _ByValue:
    """A profile as a key, told from others by its values.

    It is not validated anew: a perturbed one may go beyond the limits of profiles that are written.
    """

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._values = profile.model_dump_json()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByValue) and self._values == other._values

    def __hash__(self) -> int:
        return hash(self._values)


@lru_cache(maxsize=4)
def _shared(
    key: _ByValue, task: str, worlds: int, seed: int, images: bool, randomise: bool, hide: float, emphasis: float
) -> VecEnv:
    """Return the environment of a profile without pilot and bank."""
    profile = key.profile
    made, _ = make_task(profile, task, make_model(profile, task))
    if seed and not made.randomised:
        return _shared(key, task, worlds, 0, images, randomise, hide, emphasis)
    return _make(profile, task, worlds, seed, images, randomise, None, None, 0.0, hide, emphasis)


def _make(
    profile: Profile,
    task: str,
    worlds: int,
    seed: int,
    shown: bool,
    randomise: bool,
    pilot: Pilot | None,
    bank: Start | None,
    bank_probability: float | np.ndarray,
    hide: float,
    emphasis: float,
) -> VecEnv:
    model = make_model(profile, task)
    made, delays = make_task(profile, task, model)
    simulation = profile.simulation

    def physics(edits: ModelEdits) -> Physics:
        backend: Physics = PHYSICS.load(simulation.physics)(
            model, worlds, substeps=simulation.substeps, edits=edits, poses=shown, threads=simulation.threads
        )
        return backend

    images = make_images(profile.vision, model, _SCENE_OF[task]) if shown else None
    accept = goal_in_sight(model, profile.vision) if images is not None and task == "reach" else None
    return VecEnv(
        made,
        model,
        physics,
        worlds,
        key=make_key(seed),
        delays=delays,
        images=images,
        pilot=pilot,
        bank=bank,
        bank_probability=bank_probability,
        randomise=randomise,
        emphasis=emphasis,
        hiding=insertion_hiding(model, hide) if hide > 0 else None,
        accept=accept,
    )


def make_model(profile: Profile, task: str) -> mujoco.MjModel:
    """Return the model of the task's scene with the profile's time step."""
    TASKS.load(task)
    model: mujoco.MjModel = SCENES.load(_SCENE_OF[task])(profile.simulation.timestep_s)
    return model


def make_task(profile: Profile, task: str, model: mujoco.MjModel) -> tuple[Task, Delays]:
    """Return the task with the profile's episode length, noise and reward weights, and the delays to train with."""
    if isinstance(profile, AlohaProfile):
        if task == "reach":
            raise ProfileError(f"profile '{profile.name}' is for Aloha, it has no reach task", "use -p xarm7-reach")
        phase = profile.teacher.pick if task == "pick" else profile.teacher.insert
        settings = TaskSettings(model, phase.episode_steps, phase.noise, phase.rewards, phase.tracking)
        delays = phase.delays
    else:
        if task != "reach":
            raise ProfileError(f"profile '{profile.name}' is for xArm7 reach, it has no {task} task", "use -p aloha")
        reach = profile.reach
        settings = TaskSettings(
            model,
            reach.episode_steps,
            Noise(),
            action_scale=reach.action_scale_m,
            planner=_planner(profile),
            threshold=reach.threshold_m,
        )
        delays = reach.delays
    made: Task = TASKS.load(task)(settings)
    return made, delays


def _planner(profile: ReachProfile) -> Planner | None:
    """Return the planner that stands for the xArm's controller."""
    if profile.reach.planner is None:
        return None
    low, high = (share * profile.robot.tool_acceleration for share in profile.reach.planner)
    simulation = profile.simulation
    return Planner(profile.deploy.safety.tool_speed, (low, high), simulation.timestep_s * simulation.substeps)


def make_images(vision: Vision, model: mujoco.MjModel, scene: str) -> Images:
    """Return the policy cameras; ProfileError when a camera is not in the scene or the cameras differ in size."""
    if not vision.cameras:
        raise ProfileError("the policy needs at least one camera", "add it under vision.cameras")
    known = {model.camera(index).name for index in range(model.ncam)}
    for camera in vision.cameras:
        if camera.name not in known:
            raise ProfileError(
                f"vision.cameras: the scene has no camera '{camera.name}'", f"use one of {', '.join(sorted(known))}"
            )
    sizes = {(camera.width, camera.height) for camera in vision.cameras}
    if len(sizes) > 1:
        raise ProfileError("vision.cameras: all policy cameras must have one size", "give them equal width and height")
    (width, height) = sizes.pop()
    names = tuple(camera.name for camera in vision.cameras)
    renderer = RENDERERS.load(vision.renderer)(model, names, width, height, shadows=vision.shadows)
    _require_variable(renderer, vision)
    colours = vision.appearance.colours or COLOURS.get(scene, ())
    return Images(model, renderer, vision, colours=colours, depth_faults=_depth_faults(vision))


def _require_variable(renderer: Renderer, vision: Vision) -> None:
    """Raise ProfileError when the profile varies what this renderer draws the same in all worlds."""
    fixed: frozenset[str] = getattr(renderer, "fixed", frozenset())
    asked = {"camera_fovy": vision.appearance.camera_fovy_deg, "light_diffuse": vision.appearance.light_intensity}
    for field, amount in asked.items():
        if field in fixed and amount > 0:
            raise ProfileError(
                f"the renderer '{vision.renderer}' cannot vary {field.replace('_', ' ')} by world",
                "set that part of vision.appearance to 0, or use vision.renderer=raycast",
            )


def _depth_faults(vision: Vision) -> DepthFaults | None:
    if vision.depth_noise is None or not any(camera.depth for camera in vision.cameras):
        return None
    from s2rctl.render.depth_noise import depth_faults

    far = float(np.max([camera.depth_range_m[1] for camera in vision.cameras if camera.depth]))
    return partial(depth_faults, noise=vision.depth_noise, far_m=far)
