"""The profile: one typed YAML file that decides everything a run does."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from s2rctl.schema.base import SEED_LIMIT, WORLDS_LIMIT, Line, Model, quantity, require, within
from s2rctl.schema.consistency import camera_problems, robot_problems, size_problems
from s2rctl.schema.deployment import Calibration, Deploy, Robot
from s2rctl.schema.learning import Distill, Encoder, Gate, Reach, Teacher
from s2rctl.schema.simulation import Simulation, Vision


class Export(Model):
    """ONNX export and its parity gate."""

    observations: int = quantity(1000, "", "recorded observations to compare JAX and ONNX on", ge=1, le=1_000_000)
    max_difference: float = quantity(1e-5, "", "largest allowed difference of any action", ge=1e-9, le=2)
    opset: int = quantity(21, "", "ONNX operator set", ge=17, le=26)


class Evaluate(Model):
    """Evaluation."""

    gate: Gate = Gate()
    worlds: int = quantity(128, "", "episodes run side by side", ge=1, le=WORLDS_LIMIT)
    videos: int = quantity(
        2, "", "episodes to film, per outcome, and one of each kind of failure; 0: none", ge=0, le=1000
    )
    perturb: Annotated[dict[Line, float], Field(max_length=64), AfterValidator(within(-1e6, 1e6))] = quantity(
        {}, "", "departures from training by name, see s2rctl evaluate --perturb"
    )


class BaseProfile(Model):
    """What both systems share."""

    name: str = quantity(..., "", "profile name", pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)
    description: str = quantity("", "", "what it is for, in a line", max_length=2000)
    seed: int = quantity(0, "", "seed of everything random", ge=0, le=SEED_LIMIT)
    wandb: Line | None = quantity(None, "", "Weights & Biases project that gets the training figures too; null: none")
    robot: Robot
    simulation: Simulation = Simulation()
    vision: Vision = Vision()
    export: Export = Export()
    evaluate: Evaluate = Evaluate()
    deploy: Deploy = Deploy()
    calibration: Calibration


class AlohaProfile(BaseProfile):
    """Bi-arm peg insertion from two wrist cameras."""

    system: Literal["aloha"]
    teacher: Teacher = Teacher()
    encoder: Encoder = Encoder()
    distill: Distill = Distill()

    @model_validator(mode="after")
    def _consistent(self) -> "AlohaProfile":
        worlds = {"distill.worlds": self.distill.worlds, "evaluate.worlds": self.evaluate.worlds}
        require(
            [
                *robot_problems(self.robot, "aloha", self.simulation, self.deploy),
                *camera_problems(self.vision.cameras, self.robot, self.simulation),
                *size_problems(self.vision.cameras, worlds),
            ]
        )
        return self


class ReachProfile(BaseProfile):
    """Reaching from one side camera."""

    system: Literal["xarm7-reach"]
    extractor: Encoder = quantity(Encoder(latent=100), "", "initialisation of the feature extractor")
    reach: Reach = Reach()

    @model_validator(mode="after")
    def _consistent(self) -> "ReachProfile":
        found = self._with_variant_cameras()
        cameras = found.vision.cameras
        worlds = {"reach.worlds": found.reach.worlds, "evaluate.worlds": found.evaluate.worlds}
        style = found.reach.variant if found.reach.variant == "alexnet" else "plain"
        problems = [
            *robot_problems(found.robot, "xarm7", found.simulation, found.deploy),
            *camera_problems(cameras, found.robot, found.simulation, style),
            *size_problems(cameras, worlds),
        ]
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


Profile = AlohaProfile | ReachProfile
PROFILE: TypeAdapter[Profile] = TypeAdapter(Annotated[Profile, Field(discriminator="system")])
