"""The system: profile, policies and their training, as data."""

from typing import Literal

from s2rctl.schema.base import Model, quantity
from s2rctl.schema.distillation import Distill
from s2rctl.schema.learning import Encoder, TeacherPhase
from s2rctl.schema.profile import Profile
from s2rctl.schema.robots import RobotSection
from s2rctl.schema.tasks import TaskSection, TaskSections
from s2rctl.systems.protocol import Input, Policy, Stage, System, environment_reads


class Robot(RobotSection):
    name: Literal["reacher"] = quantity(..., "", "robot table name")


class Tasks(TaskSections):
    touch: TaskSection = TaskSection(episode_steps=30, action_scale=0.1)


class Teachers(Model):
    touch: TeacherPhase = TeacherPhase()


class ReacherProfile(Profile):
    system: Literal["reacher"]
    robot: Robot
    tasks: Tasks = Tasks()
    teacher: Teachers = Teachers()
    encoder: Encoder = Encoder(images=0)
    distill: Distill = Distill(hide_object=0.0, hand_poses=False)


SYSTEM = System(
    name="reacher",
    title="A small arm touches a ball",
    robot="reacher",
    profile="reacher",
    output="reacher",
    scenes={"touch": "reacher"},
    policies=(
        Policy("teacher", "touch", "touch", "reacher-touch", sees=False),
        Policy("student", "reacher", "touch", "reacher-student", sees=True),
    ),
    training=(
        Stage(
            "train-teacher-touch",
            version=1,
            reads=(*environment_reads("touch"), "teacher.touch"),
            inputs=(),
            kind="teacher",
            output="touch",
            run="s2rctl.stages.train_teacher:run",
        ),
        Stage(
            "pretrain-encoder",
            version=1,
            reads=(*environment_reads("touch"), "vision", "encoder"),
            inputs=(),
            kind="encoder",
            output="reacher",
            run="s2rctl.stages.pretrain_encoder:run",
        ),
        Stage(
            "distill",
            version=1,
            reads=(*environment_reads("touch"), "vision", "distill", "encoder.latent", "encoder.stem"),
            inputs=(Input("touch", "teacher", "touch"), Input("encoder", "encoder", "reacher")),
            kind="student",
            output="reacher",
            run="s2rctl.stages.distill:run",
        ),
    ),
)
