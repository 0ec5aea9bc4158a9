"""The graph of a system's stages: its own training, and the ends that follow from the policies it trains."""

from collections import Counter
from collections.abc import Sequence

from s2rctl.core.errors import UsageError
from s2rctl.core.tables import suggestion
from s2rctl.schema.tiers import Tiers
from s2rctl.systems import system_named
from s2rctl.systems.protocol import APART, EVERYTHING, SCENE, Input, Policy, Stage, System, environment_reads


def graph_of(system: str) -> tuple[Stage, ...]:
    """Return the stages of a profile's ``system`` in running order."""
    row = system_named(system)
    ends = (
        *(export_stage(row, policy) for policy in _exported(row)),
        evaluation_stage(row, row.deployed),
        _rehearsal(row),
        _calibration(row),
    )
    return (*row.training, *ends, _report(row, ends))


def export_stage(system: System, policy: Policy) -> Stage:
    """Return the stage that exports a policy, whether or not the pipeline has it.

    The versions of all ends are raised by hand when the same inputs would give another result.
    """
    return Stage(
        "export" if policy is system.deployed else f"export-{policy.name}",
        version=4,
        reads=(*_environment(system, policy), "export", "deploy.safety.perception"),
        inputs=(Input("policy", policy.kind, policy.name),),
        kind="onnx",
        output=policy.export,
        run="s2rctl.stages.export:run",
    )


def evaluation_stage(system: System, policy: Policy) -> Stage:
    """Return the stage that evaluates a policy's export."""
    return Stage(
        "evaluate",
        version=3,
        reads=(*_environment(system, policy), *_apart(policy), *_EVALUATION, "deploy.safety.perception"),
        inputs=(Input("onnx", "onnx", policy.export),),
        kind="evaluation",
        output=policy.export,
        run="s2rctl.stages.evaluate:run",
    )


_EVALUATION = tuple(f"evaluate.{name}" for name in ("gate.success_low", "gate.episodes", "worlds", "videos", "perturb"))
_SHARED = ("evaluate.worlds", "evaluate.perturb")
_TIERS = tuple(f"evaluate.tiers.{name}" for name in Tiers.model_fields if name != "sensitivity")
_LEFT = tuple(f"calibration.max_{name}" for name in ("position_error_m", "rotation_error_deg"))
"""What calibration leaves of a camera's pose."""


def tiers_stage(system: System, policy: Policy) -> Stage:
    """Return the stage that evaluates a policy's export in the tiers; no pipeline has it, for it takes long."""
    return Stage(
        "evaluate-tiers",
        version=1,
        reads=tuple(
            dict.fromkeys((*_environment(system, policy), "vision", *_apart(policy), *_SHARED, *_TIERS, *_LEFT))
        ),
        inputs=(Input("onnx", "onnx", policy.export),),
        kind="evaluation",
        output=f"{policy.export}-tiers",
        run="s2rctl.stages.evaluate_tiers:run",
    )


def sensitivity_stage(system: System, policy: Policy) -> Stage:
    """Return the stage that tries how much of a policy's success every single axis costs."""
    ranges = tuple(f"evaluate.tiers.{name}" for name in ("sensitivity", "scene", "harsh"))
    return Stage(
        "evaluate-sensitivity",
        version=1,
        reads=(*_environment(system, policy), *_apart(policy), *ranges, *_SHARED),
        inputs=(Input("onnx", "onnx", policy.export),),
        kind="evaluation",
        output=f"{policy.export}-sensitivity",
        run="s2rctl.stages.evaluate_sensitivity:run",
    )


def _environment(system: System, policy: Policy) -> tuple[str, ...]:
    seen = ("vision",) if policy.sees else ()
    return (*environment_reads(policy.task, system.environment), *seen)


def _apart(policy: Policy) -> tuple[str, ...]:
    """Return the parts of the task that nobody trains with, which only evaluations read."""
    return tuple(f"tasks.{policy.task}.{part}" for part in APART)


def _exported(system: System) -> list[Policy]:
    """Return the policies that the pipeline exports, the deployed one first."""
    others = [policy for policy in system.policies if policy.exported and policy is not system.deployed]
    return [system.deployed, *others]


def _rehearsal(system: System) -> Stage:
    export = system.deployed.export
    # An emulated device's cameras are as fast as the real ones.
    reads = dict.fromkeys((*_environment(system, system.deployed), *system.driver, "robot.cameras", "deploy"))
    return Stage(
        "rehearse",
        version=4,
        reads=tuple(reads),
        inputs=(Input("onnx", "onnx", export), Input("evaluation", "evaluation", export)),
        kind="deployment",
        output=system.output,
        run="s2rctl.stages.deploy:run_rehearsal",
    )


def _calibration(system: System) -> Stage:
    return Stage(
        "calibrate-camera",
        version=2,
        reads=(*SCENE, "calibration", "deploy.safety"),
        inputs=(),
        kind="calibration",
        output=system.output,
        run="s2rctl.stages.calibrate_camera:run",
    )


def _report(system: System, ends: Sequence[Stage]) -> Stage:
    """Return the report of everything that the other stages make."""
    kinds = Counter(stage.kind for stage in system.training)
    inputs = [
        Input(stage.kind if kinds[stage.kind] == 1 else f"{stage.kind}-{stage.output}", stage.kind, stage.output)
        for stage in system.training
    ]
    for stage in ends:
        role = stage.name.replace("export", "onnx") if stage.kind == "onnx" else stage.kind
        inputs.append(Input(role, stage.kind, stage.output))
    return Stage(
        "report",
        version=2,
        reads=(EVERYTHING,),
        inputs=tuple(inputs),
        kind="report",
        output=system.output,
        run="s2rctl.stages.report:run",
    )


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
