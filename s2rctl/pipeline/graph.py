"""The two pipelines as data: stages in the order they run, what each reads, makes and is made from."""

from collections.abc import Mapping, Sequence

from s2rctl.core.errors import UsageError
from s2rctl.core.tables import suggestion
from s2rctl.pipeline.key import EVERYTHING
from s2rctl.stages.protocol import Input, Stage

_SCENE = ("system", "robot.name", "simulation.physics", "simulation.timestep_s", "simulation.substeps")


def _phase(name: str) -> tuple[str, ...]:
    """Return what an environment of a teacher's phase is built from; its learning settings are not part of it."""
    fields = ("episode_steps", "delays", "noise", "rewards", "bank_probability", "tracking")
    return tuple(f"teacher.{name}.{field}" for field in fields)


_DRIVER = (  # what a rehearsal's driver is set up with
    "robot.gripper",
    "robot.gripper_range_rad",
    "robot.gripper_current_ma",
    "robot.tool_acceleration",
)
_PICK, _INSERT = _phase("pick"), _phase("insert")
_ARM = ("robot.tool_acceleration", "deploy.safety.tool_speed")  # what the xArm's planner keeps to
_REACH = (*(f"reach.{name}" for name in ("episode_steps", "delays", "action_scale_m", "planner", "threshold_m")), *_ARM)

# The versions are raised by hand when the same inputs would give another result.
ALOHA: tuple[Stage, ...] = (
    Stage(
        "train-teacher-pick",
        version=2,
        reads=(*_SCENE, "teacher.pick"),
        inputs=(),
        kind="teacher",
        output="pick",
        run="s2rctl.stages.train_teacher:run_pick",
    ),
    Stage(
        "train-teacher-insert",
        version=2,
        reads=(*_SCENE, "teacher.insert"),
        inputs=(Input("pick", "teacher", "pick"),),
        kind="teacher",
        output="insert",
        run="s2rctl.stages.train_teacher:run_insert",
    ),
    Stage(
        "pretrain-encoder",
        version=3,
        reads=(*_SCENE, *_INSERT, "vision", "encoder"),
        inputs=(),
        kind="encoder",
        output="aloha",
        run="s2rctl.stages.pretrain_encoder:run",
    ),
    Stage(
        "distill",
        version=6,
        reads=(*_SCENE, *_INSERT, "vision", "distill", "encoder.latent"),
        inputs=(
            Input("pick", "teacher", "pick"),
            Input("insert", "teacher", "insert"),
            Input("encoder", "encoder", "aloha"),
        ),
        kind="student",
        output="aloha",
        run="s2rctl.stages.distill:run",
    ),
    Stage(
        "export",
        version=2,
        reads=(*_SCENE, *_INSERT, "vision", "export"),
        inputs=(Input("policy", "student", "aloha"),),
        kind="onnx",
        output="aloha-student",
        run="s2rctl.stages.export:run",
    ),
    Stage(
        "export-pick",
        version=2,
        reads=(*_SCENE, *_PICK, "export"),
        inputs=(Input("policy", "teacher", "pick"),),
        kind="onnx",
        output="aloha-pick",
        run="s2rctl.stages.export:run",
    ),
    Stage(
        "evaluate",
        version=2,
        reads=(*_SCENE, *_INSERT, "vision", "evaluate"),
        inputs=(Input("onnx", "onnx", "aloha-student"),),
        kind="evaluation",
        output="aloha-student",
        run="s2rctl.stages.evaluate:run",
    ),
    Stage(
        "rehearse",
        version=2,
        reads=(*_SCENE, *_INSERT, *_DRIVER, "vision", "deploy"),
        inputs=(Input("onnx", "onnx", "aloha-student"), Input("evaluation", "evaluation", "aloha-student")),
        kind="deployment",
        output="aloha",
        run="s2rctl.stages.deploy:run_rehearsal",
    ),
    Stage(
        "calibrate-camera",
        version=1,
        reads=(*_SCENE, "calibration"),
        inputs=(),
        kind="calibration",
        output="aloha",
        run="s2rctl.stages.calibrate_camera:run",
    ),
    Stage(
        "report",
        version=2,
        reads=(EVERYTHING,),
        inputs=(
            Input("teacher-pick", "teacher", "pick"),
            Input("teacher-insert", "teacher", "insert"),
            Input("encoder", "encoder", "aloha"),
            Input("student", "student", "aloha"),
            Input("onnx", "onnx", "aloha-student"),
            Input("onnx-pick", "onnx", "aloha-pick"),
            Input("evaluation", "evaluation", "aloha-student"),
            Input("deployment", "deployment", "aloha"),
            Input("calibration", "calibration", "aloha"),
        ),
        kind="report",
        output="aloha",
        run="s2rctl.stages.report:run",
    ),
)

XARM7: tuple[Stage, ...] = (
    Stage(
        "init-extractor",
        version=3,
        reads=(*_SCENE, *_REACH, "vision", "extractor", "reach.variant"),
        inputs=(),
        kind="encoder",
        output="xarm7",
        run="s2rctl.stages.init_extractor:run",
    ),
    Stage(
        "train-reach",
        version=3,
        reads=(*_SCENE, "vision", "reach", "extractor.latent", "evaluate.gate"),
        inputs=(Input("encoder", "encoder", "xarm7"),),
        kind="reach",
        output="xarm7",
        run="s2rctl.stages.train_reach:run",
    ),
    Stage(
        "export",
        version=2,
        reads=(*_SCENE, *_REACH, "vision", "export"),
        inputs=(Input("policy", "reach", "xarm7"),),
        kind="onnx",
        output="xarm7-reach",
        run="s2rctl.stages.export:run",
    ),
    Stage(
        "evaluate",
        version=2,
        reads=(*_SCENE, *_REACH, "vision", "evaluate"),
        inputs=(Input("onnx", "onnx", "xarm7-reach"),),
        kind="evaluation",
        output="xarm7-reach",
        run="s2rctl.stages.evaluate:run",
    ),
    Stage(
        "calibrate-camera",
        version=1,
        reads=(*_SCENE, "calibration"),
        inputs=(),
        kind="calibration",
        output="xarm7",
        run="s2rctl.stages.calibrate_camera:run",
    ),
    Stage(
        "rehearse",
        version=2,
        reads=(*_SCENE, *_REACH, *_DRIVER, "vision", "deploy"),
        inputs=(Input("onnx", "onnx", "xarm7-reach"), Input("evaluation", "evaluation", "xarm7-reach")),
        kind="deployment",
        output="xarm7",
        run="s2rctl.stages.deploy:run_rehearsal",
    ),
    Stage(
        "report",
        version=2,
        reads=(EVERYTHING,),
        inputs=(
            Input("encoder", "encoder", "xarm7"),
            Input("reach", "reach", "xarm7"),
            Input("onnx", "onnx", "xarm7-reach"),
            Input("evaluation", "evaluation", "xarm7-reach"),
            Input("deployment", "deployment", "xarm7"),
            Input("calibration", "calibration", "xarm7"),
        ),
        kind="report",
        output="xarm7",
        run="s2rctl.stages.report:run",
    ),
)

GRAPHS: Mapping[str, tuple[Stage, ...]] = {"aloha": ALOHA, "xarm7-reach": XARM7}


def graph_of(system: str) -> tuple[Stage, ...]:
    """Return the stages of a profile's ``system``."""
    return GRAPHS[system]


def stage_named(graph: Sequence[Stage], name: str) -> Stage:
    """Return a stage by name; UsageError with a suggestion if there is none."""
    for stage in graph:
        if stage.name == name:
            return stage
    raise UsageError(f"there is no stage '{name}'", suggestion(name, [stage.name for stage in graph]))


def producer_of(graph: Sequence[Stage], wanted: Input) -> Stage | None:
    """Return the stage that makes what an input needs, if it is in the graph."""
    return next((stage for stage in graph if (stage.kind, stage.output) == (wanted.kind, wanted.name)), None)


def downstream(graph: Sequence[Stage], name: str) -> set[str]:
    """Return the stage and everything that is made, directly or not, from its output."""
    reached = {stage_named(graph, name).name}
    for stage in graph:  # the graph is in running order, so one pass is enough
        makers = (producer_of(graph, wanted) for wanted in stage.inputs)
        if any(maker is not None and maker.name in reached for maker in makers):
            reached.add(stage.name)
    return reached
