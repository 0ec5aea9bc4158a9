"""``evaluate REF``: success rate with its interval, failures by kind, films."""

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
    register(app, "evaluate")(evaluate)


def evaluate(
    session: Session,
    ref: Annotated[str, typer.Argument(metavar="REF", help="onnx/…, student/…, reach/…, teacher/…, or an id.")],
    profile: OptionalProfile = None,
    episodes: Annotated[int | None, typer.Option("--episodes", help="Episodes (default: the gate's).", min=1)] = None,
    backend: Annotated[
        Literal["native", "mjx"] | None, typer.Option("--backend", help="Physics backend (default: the profile's).")
    ] = None,
    sets: SetOption = None,
    seed: SeedOption = None,
    force: ForceOption = False,
    fresh: FreshOption = False,
) -> Answer:
    """Measure how often a policy succeeds, in episodes that training never saw. Exit code 5 if the gate is not met.

    Examples:
      s2rctl evaluate onnx/aloha-student
      s2rctl evaluate teacher/pick --episodes 1000 --seed 7 --json

    """
    from s2rctl.cli.refs import profile_for, require_kind
    from s2rctl.pipeline.graph import graph_of, stage_named
    from s2rctl.pipeline.run import run_alone
    from s2rctl.stages.protocol import Input

    artifact = session.store().resolve(ref)
    require_kind(artifact, ("onnx", "student", "reach", "teacher"), "evaluate")
    changes = list(sets or ())
    if episodes is not None:
        changes.append(f"evaluate.gate.episodes={episodes}")
    if backend is not None:
        changes.append(f"simulation.physics={backend}")
    chosen = profile_for(session, artifact, profile, changes, seed)
    content = artifact.manifest.content
    role = "onnx" if content.kind == "onnx" else "policy"
    own = stage_named(graph_of(chosen.system), "evaluate")
    stage = own
    if (content.kind, content.name) != (own.inputs[0].kind, own.inputs[0].name):
        reads = (*own.reads, "teacher") if chosen.system == "aloha" else own.reads
        name = content.name if role == "onnx" else f"{content.kind}-{content.name}"
        stage = replace(own, output=name, reads=reads, inputs=(Input(role, content.kind, content.name),))
    inputs = {role: artifact} | pilot_of(artifact)
    return outcome_answer(run_alone(stage, session.job(chosen, force, fresh), inputs))


def pilot_of(artifact: "Artifact") -> dict[str, "Artifact"]:
    """Return the pick teacher that drives the first phase for an insertion teacher (or its export), by role."""
    content = artifact.manifest.content
    store = artifact.store
    if content.kind == "onnx":
        sources = [item.id for item in content.inputs if item.role == "policy"]
        return pilot_of(store.get(sources[0])) if sources and content.name == "aloha-insert" else {}
    if (content.kind, content.name) != ("teacher", "insert"):
        return {}
    return {item.role: store.get(item.id) for item in content.inputs if item.role == "pick"}
