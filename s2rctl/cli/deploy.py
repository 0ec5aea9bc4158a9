"""``deploy REF``: the control loop, against the emulator (rehearse), watching (shadow), or moving the robot (live)."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from s2rctl.cli.describe import outcome_answer
from s2rctl.cli.output import Answer
from s2rctl.cli.session import ForceOption, FreshOption, OptionalProfile, SeedOption, Session, SetOption, register

if TYPE_CHECKING:
    from s2rctl.store.store import Artifact


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    register(app, "deploy")(deploy)


def deploy(
    session: Session,
    ref: Annotated[str, typer.Argument(metavar="REF", help="onnx/aloha-student, onnx/xarm7-reach, or an id.")],
    mode: Annotated[
        Literal["rehearse", "shadow", "live"],
        typer.Option("--mode", help="rehearse: simulated twin; shadow: real reads, nothing sent; live: moves."),
    ] = "rehearse",
    arm: Annotated[bool, typer.Option("--arm", help="Allow motion; live refuses to start without it.")] = False,
    profile: OptionalProfile = None,
    sets: SetOption = None,
    seed: SeedOption = None,
    force: ForceOption = False,
    fresh: FreshOption = False,
) -> Answer:
    """Run an exported policy on the robot, or rehearse it on the simulated twin (the default).

    Examples:
      s2rctl deploy onnx/xarm7-reach
      s2rctl deploy onnx/xarm7-reach --mode live --arm --set robot.address=192.168.1.203

    """
    from s2rctl.cli.refs import profile_for, require_kind
    from s2rctl.core.errors import UsageError
    from s2rctl.pipeline.graph import graph_of, stage_named
    from s2rctl.pipeline.run import run_alone
    from s2rctl.stages.protocol import Input

    if mode == "live" and not arm:
        raise UsageError("live mode moves the robot and needs --arm", f"s2rctl deploy {ref} --mode live --arm")
    if mode != "live" and arm:
        raise UsageError(f"--arm belongs to live mode, not to {mode}", f"s2rctl deploy {ref} --mode live --arm")
    artifact = session.store().resolve(ref)
    require_kind(artifact, ("onnx",), "deploy")
    chosen = profile_for(session, artifact, profile, sets, seed)
    inputs = {"onnx": artifact}
    evaluation = latest_with_input(artifact, "evaluation")
    if evaluation is not None:
        inputs["evaluation"] = evaluation
    job = session.job(chosen, force or mode != "rehearse", fresh)
    stage = stage_named(graph_of(chosen.system), "rehearse")
    if mode != "rehearse":
        rehearsal = latest_with_input(artifact, "deployment", "certificate.json")
        if rehearsal is not None:
            inputs["rehearsal"] = rehearsal
        wanted = tuple(
            Input(role, item.manifest.content.kind, item.manifest.content.name) for role, item in inputs.items()
        )
        name = f"{stage.output}-{mode}"
        stage = replace(stage, name=mode, output=name, inputs=wanted, run=f"s2rctl.stages.deploy:run_{mode}")
    return outcome_answer(run_alone(stage, job, inputs))


def latest_with_input(artifact: "Artifact", kind: str, file: str | None = None) -> "Artifact | None":
    """Return the newest artifact of a kind that was made from this very one (and that holds ``file``, if given)."""
    made = [
        other
        for other in artifact.store.list(kind)
        if any(item.id == artifact.id for item in other.manifest.content.inputs) and (not file or file in other.files)
    ]
    return made[-1] if made else None
