"""``export REF``: one ONNX file with its contract card, checked against the policy it came from."""

from typing import Annotated

import typer

from s2rctl.cli import complete
from s2rctl.cli.describe import outcome_answer
from s2rctl.cli.output import Answer
from s2rctl.cli.session import ForceOption, FreshOption, OptionalProfile, SeedOption, Session, SetOption, register


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    register(app, "export")(export)


def export(
    session: Session,
    ref: Annotated[str, complete.ref("student/aloha, reach/xarm7, teacher/pick, or an id.")],
    profile: OptionalProfile = None,
    sets: SetOption = None,
    seed: SeedOption = None,
    force: ForceOption = False,
    fresh: FreshOption = False,
) -> Answer:
    """Export a policy to one self-contained ONNX file and check that it behaves identically.

    Examples:
      s2rctl export student/aloha
      s2rctl export teacher/pick:aloha-smoke --json

    """
    from s2rctl.cli.refs import profile_for, require_kind
    from s2rctl.pipeline.graph import export_stage
    from s2rctl.pipeline.run import run_alone
    from s2rctl.stages.policies import TRAINED, policy_of
    from s2rctl.systems import system_named

    artifact = session.store().resolve(ref)
    chosen = profile_for(session, artifact, profile, sets, seed)
    require_kind(artifact, TRAINED, "export")
    stage = export_stage(system_named(chosen.system), policy_of(artifact))
    outcome = run_alone(stage, session.job(chosen, force, fresh), {"policy": artifact})
    answer = outcome_answer(outcome)
    onnx = next((name for name in outcome.artifact.files if name.endswith(".onnx")), None)
    if onnx is None:
        return answer
    path = str(outcome.artifact.lasting_folder() / onnx)
    return Answer(dict(answer.data) | {"onnx_path": path}, f"{answer.text}\nfile: {path}", answer.fault)
