"""Aloha: bi-arm peg insertion from two wrist cameras."""

from s2rctl.systems.protocol import Input, Policy, Stage, System, environment_reads, training_reads

_PICK = Policy("teacher", "pick", "pick", "aloha-pick", sees=False)
_INSERT = Policy(
    "teacher",
    "insert",
    "insertion",
    "aloha-insert",
    sees=False,
    exported=False,
    pilot="s2rctl.learning.teacher.handover:arm_pilot",
    pilot_role="pick",
)
_STUDENT = Policy("student", "aloha", "insertion", "aloha-student", sees=True)

SYSTEM = System(
    name="aloha",
    title="Aloha: bi-arm peg insertion from two wrist cameras",
    robot="aloha",
    profile="aloha",
    output="aloha",
    scenes={"pick": "pick", "insertion": "insertion"},
    policies=(_PICK, _INSERT, _STUDENT),
    training=(
        Stage(
            "train-teacher-pick",
            version=3,
            reads=(*training_reads("pick"), "teacher.pick"),
            inputs=(),
            kind="teacher",
            output="pick",
            run="s2rctl.stages.train_teacher:run",
        ),
        Stage(
            "train-teacher-insert",
            version=3,
            reads=(*training_reads("insertion"), "teacher.insert"),
            inputs=(Input("pick", "teacher", "pick"),),
            kind="teacher",
            output="insert",
            run="s2rctl.stages.train_teacher:run",
        ),
        Stage(
            "pretrain-encoder",
            version=4,
            reads=(*environment_reads("insertion"), "vision", "encoder"),
            inputs=(),
            kind="encoder",
            output="aloha",
            run="s2rctl.stages.pretrain_encoder:run",
        ),
        Stage(
            "distill",
            version=7,
            reads=(*training_reads("insertion"), "vision", "distill", "encoder.latent", "encoder.stem"),
            inputs=(
                Input("pick", "teacher", "pick"),
                Input("insert", "teacher", "insert"),
                Input("encoder", "encoder", "aloha"),
            ),
            kind="student",
            output="aloha",
            run="s2rctl.stages.distill:run",
        ),
    ),
    driver=("robot.gripper", "robot.gripper_range_rad", "robot.gripper_current_ma"),
    archives={
        "teacher/pick": "aloha-teachers",
        "teacher/insert": "aloha-teachers",
        "encoder/aloha": "aloha-student",
        "student/aloha": "aloha-student",
    },
)
