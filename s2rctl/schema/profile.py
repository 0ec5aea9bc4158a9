"""The profile: one typed YAML file that decides everything a run does."""

from typing import Annotated, Any, Literal, TypeVar, Union

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from s2rctl.core.errors import ProfileError
from s2rctl.core.tables import Table
from s2rctl.schema.base import SEED_LIMIT, WORLDS_LIMIT, Line, Model, quantity, require, too_many, within
from s2rctl.schema.consistency import SMALLEST_IMAGE, camera_problems, device_problems, size_problems, watchdog_problems
from s2rctl.schema.deployment import Calibration, Deploy
from s2rctl.schema.distillation import Distill
from s2rctl.schema.identification import Settings as IdentificationSettings
from s2rctl.schema.launcher import Launcher
from s2rctl.schema.learning import Encoder, Teacher
from s2rctl.schema.reach import Reach
from s2rctl.schema.robots import AlohaRobot, RobotSection, ToolLimits, XArm7Robot
from s2rctl.schema.simulation import Simulation, Vision
from s2rctl.schema.tasks import AlohaTasks, ReachTasks, TaskSection, TaskSections
from s2rctl.schema.tiers import EvaluationGate, Tiers

Section = TypeVar("Section", bound=Model)


class Export(Model):
    """ONNX export and its parity gate."""

    observations: int = quantity(1000, "", "recorded observations to compare JAX and ONNX on", ge=1, le=1_000_000)
    max_difference: float = quantity(1e-5, "", "largest allowed difference of any action", ge=1e-9, le=2)
    opset: int = quantity(21, "", "ONNX operator set", ge=17, le=26)


class Evaluate(Model):
    """Evaluation."""

    gate: EvaluationGate = EvaluationGate()
    worlds: int = quantity(128, "", "episodes run side by side", ge=1, le=WORLDS_LIMIT)
    videos: int = quantity(
        2, "", "episodes to film, per outcome, and one of each kind of failure; 0: none", ge=0, le=1000
    )
    perturb: Annotated[dict[Line, float], Field(max_length=64), AfterValidator(within(-1e6, 1e6))] = quantity(
        {}, "", "departures from training by name, see s2rctl evaluate --perturb"
    )
    tiers: Tiers = Tiers()


class Profile(Model):
    """What all systems share."""

    system: str = quantity(..., "", "system table name")
    name: str = quantity(..., "", "profile name", pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)
    description: str = quantity("", "", "what it is for, in a line", max_length=2000)
    seed: int = quantity(0, "", "seed of everything random", ge=0, le=SEED_LIMIT)
    wandb: Line | None = quantity(None, "", "Weights & Biases project that gets the training figures too; null: none")
    robot: RobotSection
    tasks: TaskSections = TaskSections()
    simulation: Simulation = Simulation()
    vision: Vision = Vision()
    export: Export = Export()
    evaluate: Evaluate = Evaluate()
    deploy: Deploy = Deploy()
    calibration: Calibration
    identification: IdentificationSettings = IdentificationSettings()
    launcher: Launcher = Field(Launcher(), exclude=True, description="where it runs: not dumped, so part of no result")

    @model_validator(mode="after")
    def _consistent(self) -> "Profile":
        require(
            [
                *watchdog_problems(self.simulation, self.deploy),
                *camera_problems(self.vision.cameras),
                *device_problems(self.robot, self.simulation),
                *size_problems(self.vision.cameras, {"evaluate.worlds": self.evaluate.worlds}),
            ]
        )
        return self

    def complete(self) -> dict[str, Any]:
        """Return all values as plain data, where it runs included, for people to read."""
        return self.model_dump(mode="json") | {"launcher": self.launcher.model_dump(mode="json")}

    def section(self, path: str, kind: type[Section]) -> Section:
        """Return the section at a dotted path; ProfileError if this profile has none of that kind there."""
        value: Any = self
        for part in path.split("."):
            value = getattr(value, part, None)
        if not isinstance(value, kind):
            raise ProfileError(
                f"profile '{self.name}' (system '{self.system}') has no section {path}",
                "choose another profile: s2rctl profile list",
            )
        return value

    def task(self, name: str) -> TaskSection:
        """Return the section of a task; ProfileError if the system has no such task."""
        return self.section(f"tasks.{name}", TaskSection)

    def setpoint_speed(self, joint_speed: float) -> float | None:
        """Return how fast (rad/s) the device's own set-points follow joint commands of this speed; None: at once."""
        slack = self.robot.setpoint_slack
        return None if slack is None else slack * joint_speed

    @property
    def tool_limits(self) -> ToolLimits | None:
        """What the robot's controller keeps to on the way to a tool target; None: it takes no such."""
        acceleration = self.robot.planner_acceleration
        return None if acceleration is None else ToolLimits(self.deploy.safety.tool_speed, acceleration)


class AlohaProfile(Profile):
    """Bi-arm peg insertion from two wrist cameras."""

    system: Literal["aloha"]
    robot: AlohaRobot
    tasks: AlohaTasks = AlohaTasks()
    teacher: Teacher = Teacher()
    encoder: Encoder = Encoder()
    distill: Distill = Distill()

    @model_validator(mode="after")
    def _learns(self) -> "AlohaProfile":
        problems = [*size_problems(self.vision.cameras, {"distill.worlds": self.distill.worlds})]
        if self.encoder.source == "cifar10" and not all(camera.colour for camera in self.vision.cameras):
            problems.append("encoder.source: CIFAR-10 is colour pictures, and a policy camera sees no colour")
        for phase, task in (("pick", self.tasks.pick), ("insert", self.tasks.insertion)):
            worlds = getattr(self.teacher, phase).warm_start.worlds
            problems += too_many(f"teacher.{phase}.warm_start.worlds", worlds=worlds, steps=task.episode_steps)
        require(problems)
        return self


class ReachProfile(Profile):
    """Reaching from one side camera."""

    system: Literal["xarm7-reach"]
    robot: XArm7Robot
    tasks: ReachTasks = ReachTasks()
    extractor: Encoder = quantity(Encoder(latent=100), "", "initialisation of the feature extractor")
    reach: Reach = Reach()

    @model_validator(mode="after")
    def _learns(self) -> "ReachProfile":
        found = self._with_variant_cameras()
        cameras = found.vision.cameras
        smallest = SMALLEST_IMAGE["alexnet" if found.reach.variant == "alexnet" else "plain"]
        problems = [*camera_problems(cameras, smallest), *size_problems(cameras, {"reach.worlds": found.reach.worlds})]
        if found.reach.freeze_extractor and (found.reach.variant == "plain" or found.extractor.images == 0):
            problems.append(
                "reach.freeze_extractor: there is nothing learned to freeze; choose another reach.variant and give "
                "extractor.images"
            )
        if found.extractor.source != "states":
            problems.append("extractor.source: the extractor of reach learns from states")
        require(problems)
        return found

    def _with_variant_cameras(self) -> "ReachProfile":
        """Give the variant the cameras that it is about, so that every stage sees the same ones."""
        cameras, variant = self.vision.cameras, self.reach.variant
        if cameras and variant == "depth" and not cameras[0].depth:
            # Unlike at a wrist, everything that matters here is one to two metres away.
            seeing = {"depth": True, "depth_range_m": (0.3, 3.0)}
            cameras = (cameras[0].model_copy(update=seeing), *cameras[1:])
        if len(cameras) == 1 and variant == "two_camera":
            cameras = (*cameras, cameras[0].model_copy(update={"name": self.reach.second_camera}))
        if cameras == self.vision.cameras:
            return self
        return self.model_copy(update={"vision": self.vision.model_copy(update={"cameras": cameras})})


# Each row is the model of the profiles of one system.
def _is_profile(row: Any) -> bool:
    return isinstance(row, type) and issubclass(row, Profile)


PROFILES = Table(
    "system",
    {
        "aloha": "s2rctl.schema.profile:AlohaProfile",
        "xarm7-reach": "s2rctl.schema.profile:ReachProfile",
    },
    group="s2rctl.profiles",
    fits=_is_profile,
)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of all profiles, told apart by ``system``."""
    models: list[type[Profile]] = [model for _, model in PROFILES.usable()]
    annotation: Any = Annotated[Union[tuple(models)], Field(discriminator="system")]  # noqa: UP007
    return TypeAdapter(annotation).json_schema()
