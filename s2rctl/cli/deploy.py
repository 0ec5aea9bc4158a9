"""``deploy REF``: the control loop, against the emulator (rehearse), watching (shadow), or moving the robot (live)."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from s2rctl.cli import complete
from s2rctl.cli.consent import ask
from s2rctl.cli.describe import outcome_answer
from s2rctl.cli.output import Answer
from s2rctl.cli.session import ForceOption, FreshOption, OptionalProfile, SeedOption, Session, SetOption, register
from s2rctl.core.text import one_line

if TYPE_CHECKING:
    from collections.abc import Collection

    from s2rctl.schema.profile import Profile
    from s2rctl.store.store import Artifact
    from s2rctl.systems.protocol import Stage


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    register(app, "deploy")(deploy)


def deploy(
    session: Session,
    ref: Annotated[str, complete.ref("onnx/aloha-student, onnx/xarm7-reach, or an id.")],
    mode: Annotated[
        Literal["rehearse", "shadow", "live"],
        typer.Option("--mode", help="rehearse: simulated twin; shadow: read sensors, send nothing; live: move."),
    ] = "rehearse",
    arm: Annotated[bool, typer.Option("--arm", help="Allow motion; live refuses to start without it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation before the robot moves.")] = False,
    serve: Annotated[
        Literal["openpi"] | None, typer.Option("--serve", help="Serve the policy to clients instead of running it.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address that --serve listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port of --serve; 0: a free one.", min=0, max=65535)] = 8000,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="End --serve after this long.", min=0, max=1e9)
    ] = None,
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
      s2rctl deploy onnx/aloha-student --serve openpi --host 0.0.0.0

    """
    from s2rctl.cli.refs import profile_for, require_kind
    from s2rctl.pipeline.graph import graph_of, stage_named
    from s2rctl.pipeline.run import run_alone

    _check_options(ref, mode, arm, yes, serve)
    artifact = session.store().resolve(ref)
    require_kind(artifact, ("onnx",), "deploy")
    chosen = profile_for(session, artifact, profile, sets, seed)
    require_whole(artifact)
    if serve is not None:
        return _serve(session, artifact, chosen, host, port, seconds)
    inputs = {"onnx": artifact}
    evaluation = latest_evaluation(artifact, chosen)
    if evaluation is not None:
        inputs["evaluation"] = evaluation
    job = session.job(chosen, force or mode != "rehearse", fresh)
    stage = stage_named(graph_of(chosen.system), "rehearse")
    if mode != "rehearse":
        stage = _real(stage, mode, artifact, inputs, chosen)
        if mode == "live" and not yes:
            _consent(chosen, artifact, f"s2rctl deploy {ref} --mode live --arm --yes")
    return told_of_ctrl_c(outcome_answer(run_alone(stage, job, inputs)))


def _check_options(ref: str, mode: str, arm: bool, yes: bool, serve: str | None) -> None:
    """Raise UsageError for options that do not belong together."""
    from s2rctl.core.errors import UsageError

    if mode == "live" and not arm:
        raise UsageError("live mode moves the robot and needs --arm", f"s2rctl deploy {ref} --mode live --arm")
    if mode != "live" and (arm or yes):
        option = "--arm" if arm else "--yes"
        raise UsageError(f"{option} belongs to live mode, not to {mode}", f"s2rctl deploy {ref} --mode live --arm")
    if serve is not None and mode != "rehearse":
        raise UsageError("--serve runs no robot, so it has no --mode", f"s2rctl deploy {ref} --serve {serve}")


def _real(
    stage: "Stage", mode: str, artifact: "Artifact", inputs: "dict[str, Artifact]", profile: "Profile"
) -> "Stage":
    """Return the stage that runs the real robot; newest rehearsal and tiers of the policy join its inputs."""
    from s2rctl.systems.protocol import Input

    rehearsal = latest_with_input(artifact, "deployment", "certificate.json")
    tiers = latest_in_tiers(artifact, profile.evaluate.gate.tiers)
    inputs |= {role: item for role, item in (("rehearsal", rehearsal), ("tiers", tiers)) if item is not None}
    wanted = tuple(Input(role, item.manifest.content.kind, item.manifest.content.name) for role, item in inputs.items())
    name = f"{stage.output}-{mode}"
    return replace(stage, name=mode, output=name, inputs=wanted, run=f"s2rctl.stages.live:run_{mode}")


def told_of_ctrl_c(answer: Answer) -> Answer:
    """Return an answer with the exit code of Ctrl-C where that ended the run; its recordings are kept all the same."""
    from s2rctl.core.errors import Interrupted

    if answer.fault is None and str(answer.data.get("outcomes", "")).endswith("interrupted"):
        stopped = Interrupted("stopped by Ctrl-C; the recordings are kept", "run the same command again")
        return replace(answer, fault=stopped)
    return answer


def require_whole(artifact: "Artifact") -> None:
    """Raise ArtifactError if any file of the policy is missing, damaged or edited, also if a result is in the cache."""
    from s2rctl.operations.sealed import require_sealed

    for name in artifact.files:
        artifact.path(name)
    require_sealed(artifact)


def latest_evaluation(artifact: "Artifact", profile: "Profile") -> "Artifact | None":
    """Return the newest evaluation of this very policy in the worlds that the profile describes, else the newest."""
    from s2rctl.stages.certificate import in_worlds_of

    made = _made_with(artifact, "evaluation")
    fitting = [other for other in made if in_worlds_of(other, profile)]
    found = fitting or made
    return found[-1] if found else None


def latest_with_input(artifact: "Artifact", kind: str, file: str | None = None) -> "Artifact | None":
    """Return the newest artifact of a kind that is about this very one (and that holds ``file``, if given)."""
    made = [other for other in _made_with(artifact, kind) if not file or file in other.files]
    return made[-1] if made else None


def _made_with(artifact: "Artifact", kind: str) -> "list[Artifact]":
    """Return the artifacts of a kind that are about this very one, oldest first.

    Evaluations under perturbations or in tiers, and those of another policy against this one, say nothing of its gate.
    """
    from s2rctl.stages.tier_table import in_other_worlds

    return [
        other
        for other in artifact.store.list(kind)
        if any(item.id == artifact.id and item.role == "onnx" for item in other.manifest.content.inputs)
        and not other.manifest.origin.metrics.get("perturb")
        and not in_other_worlds(other)
    ]


def latest_in_tiers(artifact: "Artifact", names: "Collection[str]") -> "Artifact | None":
    """Return the newest evaluation of this very policy that played all these tiers, else the newest of any."""
    from s2rctl.stages.tier_table import TIERS_FILE, evaluations_of

    made = evaluations_of(artifact.store, {artifact.id}, TIERS_FILE)
    whole = [other for other in made if set(names) <= set(other.manifest.origin.metrics["tiers"])]
    found = whole or made
    return found[-1] if found else None


def _serve(
    session: Session, artifact: "Artifact", profile: "Profile", host: str, port: int, seconds: float | None
) -> Answer:
    from s2rctl.core.interrupt import interruptible
    from s2rctl.operations.serve import run

    with interruptible() as interrupt:
        figures = run(artifact, profile, host, port, seconds, session.reporter, interrupt)
    return Answer(figures, f"{figures['requests']} requests of {figures['connections']} connections served")


def _consent(profile: "Profile", artifact: "Artifact", command: str) -> None:
    """Let a person confirm that the robot may move; UsageError when nobody is there to ask."""
    robot, ramp = profile.robot, " -> ".join(f"{part:.0%}" for part in profile.deploy.live.ramp)
    where = one_line(robot.place or "unknown address")
    ask(
        f"{robot.name} at {where} will move: {artifact.ref} ({artifact.id[:12]}), "
        f"{profile.deploy.live.episodes} episodes, speed {ramp}.\n"
        "Nobody within reach, a hand on the emergency stop.",
        robot.name,
        unasked="live mode asks before the robot moves, and there is no terminal to ask on",
        refused="nothing was moved",
        command=command,
    )
