"""``export REF``: one ONNX file with its contract card, checked against the policy it came from."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from s2rctl.cli.describe import outcome_answer
from s2rctl.cli.output import Answer
from s2rctl.cli.session import ForceOption, FreshOption, OptionalProfile, SeedOption, Session, SetOption, register

if TYPE_CHECKING:
    from s2rctl.schema.profile import Profile
    from s2rctl.stages.protocol import Stage
    from s2rctl.store.store import Artifact


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    register(app, "export")(export)


def export(
    session: Session,
    ref: Annotated[str, typer.Argument(metavar="REF", help="student/aloha, reach/xarm7, teacher/pick, or an id.")],
    profile: OptionalProfile = None,
    sets: SetOption = None,
    seed: SeedOption = None,
    force: ForceOption = False,
    fresh: FreshOption = False,
) -> Answer:
    """Export a policy to one self-contained ONNX file and check that it acts the same.

    Examples:
      s2rctl export student/aloha
      s2rctl export teacher/pick:aloha-smoke --json

    """
    from s2rctl.cli.refs import profile_for, require_kind
    from s2rctl.pipeline.run import run_alone

    artifact = session.store().resolve(ref)
    require_kind(artifact, ("student", "reach", "teacher"), "export")
    chosen = profile_for(session, artifact, profile, sets, seed)
    stage = export_stage(artifact, chosen)
    outcome = run_alone(stage, session.job(chosen, force, fresh), {"policy": artifact})
    answer = outcome_answer(outcome)
    onnx = next((name for name in outcome.artifact.files if name.endswith(".onnx")), None)
    if onnx is None:
        return answer
    path = str(outcome.artifact.lasting_folder() / onnx)
    return Answer(dict(answer.data) | {"onnx_path": path}, f"{answer.text}\nfile: {path}", answer.fault)


def export_stage(artifact: "Artifact", profile: "Profile") -> "Stage":
    """Return the pipeline's own export stage for this policy, or one like it for a policy that no pipeline exports."""
    from s2rctl.pipeline.graph import graph_of, stage_named
    from s2rctl.stages.protocol import Input

    graph = graph_of(profile.system)
    content = artifact.manifest.content
    for stage in graph:
        if stage.kind == "onnx" and [(item.kind, item.name) for item in stage.inputs] == [(content.kind, content.name)]:
            return stage
    like = stage_named(graph, "export-pick" if content.kind == "teacher" else "export")
    reads = tuple(path.replace("teacher.pick", f"teacher.{content.name}") for path in like.reads)
    name = f"{artifact.manifest.content.profile.get('system', 'policy')}-{content.name}"
    return replace(like, output=name, reads=reads, inputs=(Input("policy", content.kind, content.name),))
