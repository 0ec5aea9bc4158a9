"""``artifacts lineage|why|diff``: where artifacts come from, what decided them, how two of them differ."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2rctl.cli.output import Answer, lines, table
from s2rctl.cli.refs import RefArgument
from s2rctl.cli.session import OptionalProfile, Session, SetOption, register

if TYPE_CHECKING:
    from s2rctl.pipeline.compare import Difference, RateDifference
    from s2rctl.pipeline.origin import Decided
    from s2rctl.schema.profile import Profile
    from s2rctl.store.lineage import Node
    from s2rctl.store.store import Artifact, Store


def add_to(group: typer.Typer) -> None:
    """Add the commands to the group ``artifacts``."""
    register(group, "lineage", "artifacts")(lineage)
    register(group, "why", "artifacts")(why)
    register(group, "diff", "artifacts")(diff)


def lineage(
    session: Session,
    ref: RefArgument,
    up: Annotated[bool, typer.Option("--up", help="Only what it was made from.")] = False,
    down: Annotated[bool, typer.Option("--down", help="Only what was made from it.")] = False,
) -> Answer:
    """Show what an artifact was made from and what was made from it, as trees.

    Examples:
      s2rctl artifacts lineage report/aloha
      s2rctl artifacts lineage teacher/pick --down

    """
    from s2rctl.store.lineage import ancestors, descendants

    store = session.store()
    identity = store.resolve(ref).id
    if down and not up:
        node = descendants(store, identity)
        return Answer({"lineage": _tree_data(node)}, lines(_tree_lines(node, set())))
    node = ancestors(store, identity)
    if up and not down:
        return Answer({"lineage": _tree_data(node)}, lines(_tree_lines(node, set())))
    made = descendants(store, identity)
    below = _tree_lines(made, set())[1:]
    text = lines(
        [*_tree_lines(node, set()), "", *(["made from it:", *below] if below else ["nothing was made from it"])]
    )
    return Answer({"lineage": _tree_data(node), "descendants": _tree_data(made)}, text)


def _tree_data(node: "Node") -> dict[str, Any]:
    return {
        "id": node.id,
        "role": node.role,
        "ref": node.artifact.ref if node.artifact else None,
        "children": [_tree_data(child) for child in node.children],
    }


def _tree_lines(node: "Node", shown: set[str], indent: str = "") -> list[str]:
    """Return the tree as text; below an artifact that comes up again stands no second tree."""
    name = node.artifact.ref if node.artifact else "(not in this store)"
    again = node.children and node.id in shown
    tree = [f"{indent}{node.role + ': ' if node.role else ''}{name} {node.id[:12]}{' (see above)' if again else ''}"]
    shown.add(node.id)
    for child in () if again else node.children:
        tree += _tree_lines(child, shown, indent + "  ")
    return tree


def why(session: Session, ref: RefArgument, profile: OptionalProfile = None, sets: SetOption = None) -> Answer:
    """Explain what decided an artifact's cache key, and whether running its profile today would make it again.

    Without --profile, the profile of the same name is taken, or the artifact's own where there is none.

    Examples:
      s2rctl artifacts why student/aloha
      s2rctl artifacts why teacher/pick -p aloha --set teacher.pick.ppo.steps=1000

    """
    from s2rctl.core.errors import ArtifactError, ProfileError
    from s2rctl.pipeline.origin import decided

    store = session.store()
    artifact = store.resolve(ref)
    known = decided(store, artifact)
    depends = [f"stage {known.stage} version {known.version}", f"seed {known.seed}"]
    depends += [f"input {role} {identity[:12]} {name}".rstrip() for role, identity, name in known.inputs]
    name = profile or str(artifact.manifest.content.profile.get("name", ""))
    try:
        chosen, about = _profile(session, artifact, profile, sets)
        now, again = _now(store, artifact, chosen, about)
    except (ProfileError, ArtifactError) as error:
        if profile is not None or sets:
            raise
        now, again = f"unknown: {error.message.splitlines()[0]}", None
    data = {
        "id": artifact.id,
        "depends_on": depends,
        "profile": name,
        "key": _key_data(known),
        "reads": list(known.reads),
        "now": now,
        "again": again,
    }
    fields = f"profile fields {', '.join(known.reads)}" if known.reads else "profile fields unknown: no stage makes it"
    keys = f"cache key {', '.join(key[:12] for key in known.keys) or 'none: no run would find it'}"
    return Answer(data, lines([*depends, fields, keys, f"now: {now}"]))


def _key_data(known: "Decided") -> dict[str, Any]:
    inputs = [{"role": role, "id": identity, "ref": name or None} for role, identity, name in known.inputs]
    return {
        "stage": known.stage,
        "version": known.version,
        "seed": known.seed,
        "inputs": inputs,
        "fields": known.fields,
        "keys": list(known.keys),
    }


def _profile(
    session: Session, artifact: "Artifact", profile: str | None, sets: list[str] | None
) -> "tuple[Profile, str]":
    """Return the profile to compare with, and what it is called."""
    from s2rctl.cli.refs import profile_for
    from s2rctl.schema.load import profile_files

    name = profile or str(artifact.manifest.content.profile.get("name", ""))
    if profile is not None or name in profile_files():
        return session.load(name, sets, None).profile, f"profile '{name}'"
    return profile_for(session, artifact, None, sets, None), "its own profile"


def _now(store: "Store", artifact: "Artifact", profile: "Profile", about: str) -> tuple[str, bool | None]:
    """Return what running a profile would do to an artifact like this, and whether it would be made again."""
    from s2rctl.pipeline.graph import graph_of
    from s2rctl.pipeline.origin import changes_since, stage_of
    from s2rctl.pipeline.plan import make_plan

    content = artifact.manifest.content
    steps = make_plan(graph_of(profile.system), profile, store)
    step = next((s for s in steps if (s.stage.kind, s.stage.output) == (content.kind, content.name)), None)
    if step is not None and step.artifact is not None and step.action == "cached":
        same = step.artifact.id == artifact.id
        return "up to date" if same else f"{about} now gives {step.artifact.id[:12]}", False
    if step is not None:
        return f"would be made again: {step.reason}", True
    alone = stage_of(artifact)
    if alone is None or content.profile.get("system") != profile.system:
        return f"no stage of {about} makes {artifact.ref}", None
    changes = changes_since(artifact, alone, profile)
    return f"would be made again: {'; '.join(changes)}" if changes else "up to date", bool(changes)


def diff(session: Session, left: RefArgument, right: RefArgument) -> Answer:
    """Show how two artifacts differ: code, inputs, profile, contract, files, and figures with their intervals.

    Success rates are compared in pairs where both policies played the same episodes.

    Examples:
      s2rctl artifacts diff student/aloha:candidate student/aloha
      s2rctl artifacts diff evaluation/aloha-student 99c1 --json

    """
    from s2rctl.pipeline.compare import comparison_data, differences, rate_differences

    store = session.store()
    one, two = store.resolve(left), store.resolve(right)
    found, rates = differences(one, two), rate_differences(one, two)
    parts = [table(("what", left, right), _rows(found))] if found else ["no difference"]
    if rates:
        parts.append(rate_text(rates, left, right))
    return Answer(comparison_data(one, two), "\n\n".join(parts))


def _rows(found: "list[Difference]") -> list[tuple[str, str, str]]:
    """Return the differences as rows; the ends of an interval stand beside the value that they belong to."""
    values = {item.path: item for item in found if item.section == "metrics"}
    ends = {path: [values.get(f"{path}_{end}") for end in ("low", "high")] for path in values}
    joined = {path: [end for end in both if end is not None] for path, both in ends.items() if None not in both}
    inside = {end.path for both in joined.values() for end in both}
    return [
        (
            item.path,
            _value(item.left, [end.left for end in joined.get(item.path, [])]),
            _value(item.right, [end.right for end in joined.get(item.path, [])]),
        )
        for item in found
        if item.path not in inside
    ]


def _value(value: Any, ends: list[Any]) -> str:
    text = json.dumps(value)
    return f"{text} [{', '.join(json.dumps(end) for end in ends)}]" if ends else text


def rate_text(rates: "list[RateDifference]", left: str, right: str) -> str:
    """Return the table of success rates that both artifacts have."""
    rows = [
        (
            item.path or "success",
            f"{item.left} %",
            f"{item.right} %",
            f"{100 * item.difference:+.1f} % [{100 * item.difference_low:+.1f}, {100 * item.difference_high:+.1f}]",
            f"{item.p_value:.3g}",
            item.test,
        )
        for item in rates
    ]
    return table(("success, 95 %", left, right, "difference", "p", "test"), rows)
