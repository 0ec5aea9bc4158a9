"""``profile list|show|validate|schema|diff``."""

import json
from typing import Annotated

import typer

from s2rctl.cli import complete
from s2rctl.cli.output import Answer, table
from s2rctl.cli.session import SeedOption, Session, SetOption, register

NameArgument = Annotated[str, complete.profile("A name in profiles/ or a path.")]


def add_to(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="Inspect and check profiles.")
    register(group, "list", "profile")(list_profiles)
    register(group, "show", "profile")(show)
    register(group, "validate", "profile")(validate)
    register(group, "schema", "profile")(schema)
    register(group, "diff", "profile")(diff)
    app.add_typer(group, name="profile")


def list_profiles(session: Session) -> Answer:
    """List the profiles that can be used by name.

    Examples:
      s2rctl profile list
      s2rctl profile list --json

    """
    from s2rctl.core.errors import MissingEnvironmentError, ProfileError
    from s2rctl.schema.load import load_profile, profile_files

    rows, data = [], []
    for name, path in sorted(profile_files().items()):
        try:
            profile = load_profile(str(path)).profile
            system, description = str(profile.system), profile.description
        except (ProfileError, MissingEnvironmentError):  # its own faults, and those of the extension that it needs
            system, description = "-", "invalid: s2rctl profile validate " + name
        rows.append((name, system, description))
        data.append({"name": name, "system": system, "description": description, "path": str(path)})
    return Answer({"profiles": data}, table(("profile", "system", "description"), rows))


def show(
    session: Session,
    name: NameArgument,
    sets: SetOption = None,
    seed: SeedOption = None,
    origin: Annotated[bool, typer.Option("--origin", help="Show where every value comes from.")] = False,
) -> Answer:
    """Show a profile with everything it extends and all defaults filled in.

    Examples:
      s2rctl profile show aloha
      s2rctl profile show aloha --origin --set teacher.pick.ppo.steps=1000

    """
    import yaml

    loaded = session.load(name, sets, seed)
    resolved = loaded.profile.complete()
    values = loaded.values()
    data = {
        "name": loaded.profile.name,
        "file": str(loaded.file),
        "sets": list(loaded.sets),
        "profile": resolved,
        "origins": {path: source for path, _, source in values},
    }
    if origin:
        rows = [(path, json.dumps(value), source) for path, value, source in values]
        return Answer(data, table(("path", "value", "from"), rows))
    return Answer(data, yaml.safe_dump(resolved, sort_keys=False, default_flow_style=None, width=120).rstrip())


def validate(
    session: Session,
    names: Annotated[list[str], complete.profile("Names or paths.", metavar="PROFILE...")],
    sets: SetOption = None,
) -> Answer:
    """Check profiles and report all errors at once.

    Examples:
      s2rctl profile validate aloha
      s2rctl profile validate my/profile.yaml other.yaml

    """
    from s2rctl.core.errors import ProfileError

    valid, faults, hint = [], [], ""
    for name in names:
        try:
            session.load(name, sets, None)
            valid.append(name)
        except ProfileError as error:
            faults.append(error.message)
            hint = hint or error.hint
    data = {"valid": valid, "invalid": len(faults)}
    text = "\n".join(f"{name}: valid" for name in valid)
    return Answer(data, text, ProfileError("\n".join(faults), hint) if faults else None)


def schema(session: Session) -> Answer:
    """Print the JSON Schema of a profile, for editors.

    Examples:
      s2rctl profile schema > profile.schema.json
      s2rctl profile schema --json

    """
    from s2rctl.schema.profile import json_schema

    value = json_schema()
    for model in value.get("$defs", {}).values():
        if "system" in model.get("properties", {}):  # consumed by the loader, so editors must allow it
            model["properties"]["extends"] = {"type": "string", "description": "profile to start from"}
    return Answer(value, json.dumps(value, indent=2))


def diff(session: Session, left: NameArgument, right: NameArgument) -> Answer:
    """Show how two profiles differ.

    Examples:
      s2rctl profile diff aloha aloha-smoke
      s2rctl profile diff aloha my/aloha.yaml --json

    """
    one = {path: value for path, value, _ in session.load(left, None, None).values()}
    two = {path: value for path, value, _ in session.load(right, None, None).values()}
    paths = [path for path in sorted({*one, *two}) if one.get(path) != two.get(path)]
    rows = [(path, json.dumps(one.get(path)), json.dumps(two.get(path))) for path in paths]
    changes = [{"path": path, "left": one.get(path), "right": two.get(path)} for path in paths]
    return Answer({"differences": changes}, table(("path", left, right), rows) if rows else "no difference")
