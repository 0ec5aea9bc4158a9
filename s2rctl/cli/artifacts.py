"""``artifacts list|show|lineage|why|diff|tag|path``: looking at the store."""

import json
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from s2rctl.cli import artifacts_care, complete
from s2rctl.cli.describe import artifact_data, contract_text, short_metrics, size
from s2rctl.cli.output import Answer, facts, lines, table
from s2rctl.cli.session import OptionalProfile, Session, SetOption, register
from s2rctl.core.progress import duration

if TYPE_CHECKING:
    from s2rctl.store.lineage import Node

RefArgument = Annotated[str, complete.ref("kind/name[:alias], or an id prefix.")]


def add_to(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="Inspect, share and clean up artifacts.")
    register(group, "list", "artifacts")(list_artifacts)
    register(group, "show", "artifacts")(show)
    register(group, "lineage", "artifacts")(lineage)
    register(group, "why", "artifacts")(why)
    register(group, "diff", "artifacts")(diff)
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

    kinds = get_args(Kind)

    if kind is not None and kind not in kinds:
        raise UsageError(f"there is no kind '{kind}'", suggestion(kind, kinds))
    store = session.store()
    refs = store.refs.all()
    data = [artifact_data(artifact, refs) for artifact in store.list(kind)]
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


def lineage(
    session: Session,
    ref: RefArgument,
    down: Annotated[bool, typer.Option("--down", help="Show what was made from it instead.")] = False,
) -> Answer:
    """Show an artifact's lineage.

    Examples:
      s2rctl artifacts lineage report/aloha
      s2rctl artifacts lineage teacher/pick --down

    """
    from s2rctl.store.lineage import ancestors, descendants

    store = session.store()
    identity = store.resolve(ref).id
    node = descendants(store, identity) if down else ancestors(store, identity)
    return Answer({"lineage": _tree_data(node)}, lines(_tree_lines(node)))


def _tree_data(node: "Node") -> dict[str, Any]:
    return {
        "id": node.id,
        "role": node.role,
        "ref": node.artifact.ref if node.artifact else None,
        "children": [_tree_data(child) for child in node.children],
    }


def _tree_lines(node: "Node", indent: str = "") -> list[str]:
    name = node.artifact.ref if node.artifact else "(not in this store)"
    tree = [f"{indent}{node.role + ': ' if node.role else ''}{name} {node.id[:12]}"]
    for child in node.children:
        tree += _tree_lines(child, indent + "  ")
    return tree


def why(session: Session, ref: RefArgument, profile: OptionalProfile = None, sets: SetOption = None) -> Answer:
    """Explain what an artifact depends on, and whether running its profile today would rebuild it.

    Examples:
      s2rctl artifacts why student/aloha
      s2rctl artifacts why teacher/pick -p aloha --set teacher.pick.ppo.steps=1000

    """
    from s2rctl.core.errors import ProfileError
    from s2rctl.pipeline.graph import graph_of
    from s2rctl.pipeline.plan import make_plan

    store = session.store()
    artifact = store.resolve(ref)
    content = artifact.manifest.content
    name = str(profile or content.profile.get("name", ""))
    depends = [f"stage {content.stage.name} version {content.stage.version}", f"seed {content.seed}"]
    depends += [f"input {item.role} {item.id[:12]}" for item in content.inputs]
    data: dict[str, Any] = {"id": artifact.id, "depends_on": depends, "profile": name}
    try:
        loaded = session.load(name, sets, None).profile
    except ProfileError:
        if profile is not None or sets:
            raise
        return Answer(data | {"now": None}, lines([*depends, f"profile '{name}' is not here to compare with"]))
    steps = make_plan(graph_of(loaded.system), loaded, store)
    step = next((s for s in steps if (s.stage.kind, s.stage.output) == (content.kind, content.name)), None)
    reads = ", ".join(step.stage.reads) if step else "-"
    if step is None:
        now = f"no stage of profile '{name}' makes {artifact.ref}"
    elif step.artifact is not None and step.action == "cached":
        now = "up to date" if step.artifact.id == artifact.id else f"profile '{name}' now gives {step.artifact.id[:12]}"
    else:
        now = f"would be made again: {step.reason}"
    text = lines([*depends, f"profile fields {reads}", f"now: {now}"])
    return Answer(data | {"reads": list(step.stage.reads) if step else [], "now": now}, text)


def diff(session: Session, left: RefArgument, right: RefArgument) -> Answer:
    """Show how two artifacts' profiles and metrics differ.

    Examples:
      s2rctl artifacts diff student/aloha:candidate student/aloha
      s2rctl artifacts diff 3f2a 99c1 --json

    """
    from s2rctl.pipeline.plan import flat

    store = session.store()
    sides = []
    for ref in (left, right):
        artifact = store.resolve(ref)
        content, origin = artifact.manifest.content, artifact.manifest.origin
        values = {f"profile.{path}": value for path, value in flat(content.profile).items()}
        values |= {f"metrics.{path}": value for path, value in flat(origin.metrics).items()}
        values |= {f"input.{item.role}": item.id[:12] for item in content.inputs}
        values |= {f"file.{file.path}": file.sha256[:12] for file in content.files}
        values |= {"seed": content.seed, "stage": f"{content.stage.name} {content.stage.version}"}
        sides.append(values)
    one, two = sides
    paths = [path for path in sorted({*one, *two}) if one.get(path) != two.get(path)]
    rows = [(path, json.dumps(one.get(path)), json.dumps(two.get(path))) for path in paths]
    changes = [{"path": path, "left": one.get(path), "right": two.get(path)} for path in paths]
    return Answer({"differences": changes}, table(("path", left, right), rows) if rows else "no difference")


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
