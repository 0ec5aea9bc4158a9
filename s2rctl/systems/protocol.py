"""What a system is: a robot, its tasks, the policies that do them and the stages that train these, as data."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from s2rctl.core.errors import UsageError
from s2rctl.core.tables import suggestion

EVERYTHING = "*"
"""In ``Stage.reads``: the whole profile."""


def _imported(name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return function


@dataclass(frozen=True)
class Input:
    """An artifact that a stage reads: its role in the stage and the ref it is taken from when run alone."""

    role: str
    kind: str
    name: str


@dataclass(frozen=True)
class Stage:
    """A node of the pipeline. ``run`` is "module:function" with the signature (Context) -> Result."""

    name: str
    version: int  # raised by hand when the same inputs would give another result
    reads: tuple[str, ...]  # profile paths whose values enter the cache key, e.g. "teacher.pick"
    inputs: tuple[Input, ...]
    kind: str  # output artifact
    output: str  # output artifact's name
    run: str

    def load(self) -> Callable[..., Any]:
        """Import the stage's function."""
        return _imported(self.run)


@dataclass(frozen=True)
class Policy:
    """A policy that a system trains."""

    kind: str  # of its artifact
    name: str  # of its artifact
    task: str  # row of tasks.TASKS, and the field of the profile's ``tasks``
    export: str  # name of its ONNX artifact
    sees: bool  # whether it sees camera images (otherwise: the task's state)
    exported: bool = True  # whether the pipeline exports it
    pilot: str | None = None  # "module:function" (policy, actions) -> what drives until this one acts
    pilot_role: str = ""  # role of the pilot's policy among the inputs that this one was trained from

    @property
    def ref(self) -> str:
        """``kind/name``, without an alias."""
        return f"{self.kind}/{self.name}"

    def load_pilot(self) -> Callable[[Any, int], Callable[..., Any]] | None:
        """Import what turns a loaded policy into the pilot of a robot with so many actions; None where none drives."""
        return None if self.pilot is None else _imported(self.pilot)


@dataclass(frozen=True)
class System:
    """One row of the table of systems. The last policy is the one that is deployed."""

    name: str  # the profile's ``system``
    title: str  # of reports
    robot: str  # row of robots.ROBOTS
    profile: str  # name of the profile that comes with s2rctl
    output: str  # name of the artifacts that are about the system: deployment, calibration, report
    scenes: Mapping[str, str]  # task -> row of scene.SCENES
    policies: tuple[Policy, ...]
    training: tuple[Stage, ...]  # in running order; export, evaluation, rehearsal and report follow from the policies
    environment: tuple[str, ...] = ()  # profile paths outside ``tasks`` and ``simulation`` that its environments read
    driver: tuple[str, ...] = ()  # profile paths that the driver of a rehearsal is set up with
    archives: Mapping[str, str] = field(default_factory=dict)  # kind/name -> archive of pretrained artifacts

    @property
    def deployed(self) -> Policy:
        """The policy that runs on the robot."""
        return self.policies[-1]

    def policy(self, kind: str, name: str) -> Policy:
        """Return the policy whose artifact has this kind and name; UsageError if the system trains no such."""
        for policy in self.policies:
            if (policy.kind, policy.name) == (kind, name):
                return policy
        raise UsageError(
            f"the system {self.name} trains no {kind}/{name}",
            suggestion(f"{kind}/{name}", [policy.ref for policy in self.policies]),
        )

    @property
    def scene(self) -> str:
        """The scene in which the deployed policy acts."""
        return self.scenes[self.deployed.task]

    @property
    def tasks(self) -> tuple[str, ...]:
        """All tasks, in the order in which they are learned."""
        return tuple(dict.fromkeys(policy.task for policy in self.policies))


SCENE = (
    "system",
    "robot.name",
    "robot.motion",
    "simulation.physics",
    "simulation.timestep_s",
    "simulation.substeps",
    "simulation.compilation",
)
"""Profile paths that decide the scene, its physics and how either is computed."""

LATER: Mapping[str, Any] = {
    "robot.motion": {},
    "calibration.max_joint_error_deg": 1.0,
    "distill.collectors": 0,
    "distill.measured_hands": False,
    "distill.averaging": 0.0,
    "distill.filtered_errors": False,
    "distill.filtered_hands": False,
    "distill.confidence": False,
    "distill.mating": False,
    "distill.touch": False,
    "distill.camera_edge": 0.0,
    "distill.together": False,
    "distill.pushed": 0.0,
    "distill.push": 0.4,
    "distill.resample_cameras": True,
    "distill.mildest": 1.0,
    "distill.recurrent": 0,
    "distill.reuse": 1,
    "encoder.stem": "coarse",
    "extractor.stem": "coarse",
    "reach.freeze_extractor": False,
    "simulation.compilation": "full",
    "vision.cameras.*.colour": True,
    "vision.appearance.image.depth_fattening_px": 0.0,
    "vision.appearance.image.depth_holes": 0.0,
    "vision.appearance.image.depth_faults": [1.0, 1.0],
    "vision.appearance.sizes.*.axes": ["x", "y", "z"],
}
"""Paths that came after results had been kept (``*``: every entry of a list), and the value with which a field does
what was done before it was there: while it has that, those results still count."""

APART = ("dynamics",)
"""Parts of a task's section that only a stage which names them reads, as in ``tasks.pick.dynamics``: encoders
and exports are not made again when they change."""


def environment_reads(task: str, extra: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return what an environment of a task is built from; how a policy for it learns is not part of it."""
    return (*SCENE, f"tasks.{task}", *extra)


def training_reads(task: str, extra: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return what an environment is built from whose worlds may differ in dynamics: that of a policy that learns."""
    return (*environment_reads(task, extra), *(f"tasks.{task}.{part}" for part in APART))
