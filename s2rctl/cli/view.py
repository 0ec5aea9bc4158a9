"""``view PROFILE|REF|RECORDING``: a policy, an expert or a recording, live in the browser."""

from typing import TYPE_CHECKING, Annotated

import typer

from s2rctl.cli.output import Answer, facts
from s2rctl.cli.session import SeedOption, Session, SetOption, register

if TYPE_CHECKING:
    from s2rctl.view.moment import Show

HostOption = Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 lets other computers in.")]
PortOption = Annotated[int, typer.Option("--port", help="Port; the next free one if it is taken.", min=0, max=65535)]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    register(app, "view")(view)


def view(
    session: Session,
    what: Annotated[
        str,
        typer.Argument(metavar="PROFILE|REF|RECORDING", help="A profile, a policy, an .mcap file or a folder of such."),
    ],
    task: Annotated[str | None, typer.Option("--task", help="Task whose expert acts (with a profile).")] = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8080,
    seconds: Annotated[float | None, typer.Option("--seconds", help="End by itself after so long.", min=0)] = None,
    meshes: Annotated[
        bool, typer.Option("--meshes/--no-meshes", help="The maker's meshes, where they are installed.")
    ] = True,
    training: Annotated[
        str | None,
        typer.Option("--training", help="Stage that is training: its policy so far."),
    ] = None,
    sets: SetOption = None,
    seed: SeedOption = None,
) -> Answer:
    """Serve a page on which a policy acts: pause, step, move objects, other seeds and looks. No display is needed.

    With a profile its scripted expert acts, or with --training the policy of a run under way as of its last
    checkpoint; a recording can be scrubbed, also while it is being written. Ctrl-C ends.

    Examples:
      s2rctl view aloha
      s2rctl view onnx/xarm7-reach --port 9000
      s2rctl view aloha --training distill
      s2rctl view run/episode-000.mcap

    """
    from s2rctl.core.interrupt import interruptible
    from s2rctl.view.page import Page, meshes_of, require_viser
    from s2rctl.view.run import run

    require_viser()
    shown = _training(session, what, training, task, sets, seed) if training else _show(session, what, task, sets, seed)
    with interruptible() as interrupt:
        page = Page(shown, host, port, meshes_of(shown.robot) if meshes else None)
        try:
            session.reporter.note(f"open {page.url} (Ctrl-C ends)")
            data = run(page, interrupt, seconds)
        finally:
            page.close()
    return Answer(data, facts({"frames": data["frames"], "frames per second": data["frames_per_s"]}))


def _training(
    session: Session, what: str, stage: str, task: str | None, sets: list[str] | None, seed: int | None
) -> "Show":
    """Return what a run of a profile's stage has learned so far: of one under way, else of one left behind."""
    from s2rctl.core.errors import ArtifactError, UsageError
    from s2rctl.core.tables import suggestion
    from s2rctl.pipeline.graph import graph_of
    from s2rctl.pipeline.status import all_runs
    from s2rctl.systems import policy_named
    from s2rctl.view.training import show_training

    if task:
        raise UsageError("a training has its task", "leave --task out")
    profile, store = session.load(what, sets, seed).profile, session.store()
    policies = {row.name: policy_named(row.kind, row.output) for row in graph_of(profile.system)}
    known = {name: found[1] for name, found in policies.items() if found is not None}
    if stage not in known:
        raise UsageError(f"the stage '{stage}' trains no policy of {profile.system}", suggestion(stage, list(known)))
    runs = [run for run in all_runs(store) if (run.stage, run.profile) == (stage, profile.name)]
    if not runs:
        raise ArtifactError(
            f"no run of {stage} for {profile.name} is under way", f"s2rctl pipeline status -p {profile.name}"
        )
    folder = store.root / "runs" / runs[0].key
    return show_training(store, folder, profile, known[stage], f"{stage} of {profile.name}, {runs[0].state}")


def _show(session: Session, what: str, task: str | None, sets: list[str] | None, seed: int | None) -> "Show":
    from s2rctl.core.errors import ArtifactError, ProfileError, UsageError
    from s2rctl.view import opening

    if opening.is_recording(what):
        if task or sets or seed is not None:
            raise UsageError("a recording is shown as it is", "leave --task, --set and --seed out")
        return opening.show_recording(what)
    try:
        return opening.show_expert(session.load(what, sets, seed).profile, task)
    except ProfileError as error:
        if not error.message.startswith("there is no profile"):
            raise
        try:
            artifact = session.store().resolve(what)
        except (ArtifactError, UsageError):
            raise error from None
    from s2rctl.cli.refs import profile_for

    if task:
        raise UsageError("a policy has its task", "leave --task out")
    return opening.show_policy(artifact, profile_for(session, artifact, None, sets, seed))
