"""``artifacts list|show|tag|path``: looking at the store."""

from typing import Annotated, get_args

import typer

from s2rctl.cli import artifacts_care, artifacts_origin
from s2rctl.cli.describe import artifact_data, contract_text, entry_data, short_metrics, size
from s2rctl.cli.output import Answer, facts, table
from s2rctl.cli.refs import RefArgument
from s2rctl.cli.session import Session, register
from s2rctl.core.progress import duration


def add_to(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="Inspect, share and clean up artifacts.")
    register(group, "list", "artifacts")(list_artifacts)
    register(group, "show", "artifacts")(show)
    artifacts_origin.add_to(group)
    register(group, "tag", "artifacts")(tag)
    register(group, "path", "artifacts")(path)
    artifacts_care.add_to(group)
    app.add_typer(group, name="artifacts")


def list_artifacts(
    session: Session,
    kind: Annotated[str | None, typer.Option("--kind", help="Only artifacts of this kind, e.g. onnx.")] = None,
) -> Answer:
    """List artifacts, oldest first.

    Examples:
      s2rctl artifacts list
      s2rctl artifacts list --kind onnx --json

    """
    from s2rctl.core.errors import UsageError
    from s2rctl.core.tables import suggestion
    from s2rctl.schema.manifest import Kind
    from s2rctl.store.index import entries_of

    kinds = get_args(Kind)

    if kind is not None and kind not in kinds:
        raise UsageError(f"there is no kind '{kind}'", suggestion(kind, kinds))
    store = session.store()
    refs: dict[str, list[str]] = {}
    for ref, identity in store.refs.all().items():
        refs.setdefault(identity, []).append(ref)
    known = {one: entry for one, entry in entries_of(store).items() if entry and kind in (None, entry.kind)}
    ordered = sorted(known, key=lambda one: (known[one].created_at, one))
    data = [entry_data(one, known[one], refs.get(one, ())) for one in ordered]
    rows = [
        (
            item["id"][:12],
            item["ref"],
            ",".join(ref.rpartition(":")[2] for ref in item["refs"]) or "-",
            item["created_at"][:19],
            duration(item["duration_s"]),
            size(item["bytes"]),
        )
        for item in data
    ]
    return Answer({"artifacts": data}, table(("id", "artifact", "aliases", "made (UTC)", "took", "size"), rows))


def show(session: Session, ref: RefArgument) -> Answer:
    """Show one artifact: files, inputs, metrics, contract.

    Examples:
      s2rctl artifacts show onnx/aloha-student
      s2rctl artifacts show 3f2a --json

    """
    store = session.store()
    artifact = store.resolve(ref)
    content, origin = artifact.manifest.content, artifact.manifest.origin
    summary = artifact_data(artifact, store.refs.all())
    data = summary | {"manifest": artifact.manifest.model_dump(mode="json")}
    known: dict[str, object] = {
        "id": artifact.id,
        "artifact": artifact.ref,
        "refs": ", ".join(summary["refs"]) or "-",
        "made": f"{origin.created_at[:19]} UTC in {duration(origin.duration_s)} on {origin.host}",
        "by": f"{content.stage.name} version {content.stage.version}, seed {content.seed}",
        "profile": f"{summary['profile']} ({content.profile_sha256[:12]})",
        "versions": " ".join(f"{name} {version}" for name, version in origin.versions.items()),
        "figures": short_metrics(origin.metrics) or "-",
    }
    for item in content.inputs:
        known[f"input {item.role}"] = item.id[:12]
    for file in content.files:
        known[f"file {file.path}"] = f"{size(file.size)} sha256 {file.sha256[:12]}"
    card = f"\n\n{contract_text(content.contract)}" if content.contract is not None else ""
    return Answer(data, facts(known) + card)


def tag(session: Session, ref: RefArgument, alias: Annotated[str, typer.Argument(help="e.g. candidate")]) -> Answer:
    """Point the alias kind/name:ALIAS at an artifact. Moves are logged.

    Examples:
      s2rctl artifacts tag student/aloha candidate
      s2rctl artifacts tag 3f2a deployed

    """
    store = session.store()
    artifact = store.resolve(ref)
    name = f"{artifact.ref}:{alias}"
    store.set_ref(name, artifact.id, "artifacts tag")
    return Answer({"ref": name, "id": artifact.id}, f"{name} -> {artifact.id[:12]}")


def path(
    session: Session,
    ref: RefArgument,
    file: Annotated[str | None, typer.Argument(help="One file inside; without it, the folder.")] = None,
) -> Answer:
    """Print where an artifact's files are (read-only, checked).

    Examples:
      s2rctl artifacts path onnx/aloha-student
      s2rctl artifacts path report/aloha report.html

    """
    artifact = session.store().resolve(ref)
    if file is not None:
        artifact.path(file)  # an unknown or damaged file is an error
    folder = artifact.lasting_folder()
    found = folder / file if file else folder
    return Answer({"path": str(found), "id": artifact.id}, str(found))
