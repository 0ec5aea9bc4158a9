"""xArm7: reaching a point in space from one side camera."""

from s2rctl.systems.protocol import Input, Policy, Stage, System, environment_reads, training_reads

_PLANNER = ("robot.tool_acceleration", "deploy.safety.tool_speed")  # what the controller's planner keeps to
_REACH = environment_reads("reach", _PLANNER)

SYSTEM = System(
    name="xarm7-reach",
    title="xArm7: reach from one camera",
    robot="xarm7",
    profile="xarm7-reach",
    output="xarm7",
    scenes={"reach": "reach"},
    policies=(Policy("reach", "xarm7", "reach", "xarm7-reach", sees=True),),
    training=(
        Stage(
            "init-extractor",
            version=3,
            reads=(*_REACH, "vision", "extractor", "reach.variant"),
            inputs=(),
            kind="encoder",
            output="xarm7",
            run="s2rctl.stages.init_extractor:run",
        ),
        Stage(
            "train-reach",
            version=3,
            reads=(
                *training_reads("reach", _PLANNER),
                "vision",
                "reach",
                "extractor.latent",
                "extractor.stem",
                "evaluate.gate",
            ),
            inputs=(Input("encoder", "encoder", "xarm7"),),
            kind="reach",
            output="xarm7",
            run="s2rctl.stages.train_reach:run",
        ),
    ),
    environment=_PLANNER,
    driver=("robot.tool_acceleration",),
    archives={"encoder/xarm7": "xarm7-reach", "reach/xarm7": "xarm7-reach"},
)
