"""The profile reference, written from the models: ``python -m s2rctl.schema.reference`` prints docs/profile.md."""

import sys
import typing
from typing import Any

from pydantic.fields import FieldInfo

from s2rctl.schema.base import Model
from s2rctl.schema.profile import AlohaProfile, Profile, ReachProfile

_HEAD = """# Profile reference

Written from the models by `python -m s2rctl.schema.reference`; do not edit by hand. A profile is YAML; `extends:` names
a parent profile whose values it changes; `--set path=value` changes a value for one run. Keys that are not listed here
are errors.

A file is UTF-8 text of at most 256 kB. Only `true` and `false` are truth values; dates, `1:30` and `no` are text.
A whole number that begins with 0 is refused: quote it where it is text, as a serial number is.
Every number has limits; `s2rctl profile validate` says which one is exceeded.
"""


def markdown() -> str:
    """Return the reference of all sections as Markdown."""
    shared = {name: field for name, field in Profile.model_fields.items() if name not in ("robot", "tasks")}
    parts = [_HEAD, _section("Both systems", Profile, "", shared)]
    for title, model in (
        ("Aloha (`system: aloha`)", AlohaProfile),
        ("xArm7 reach (`system: xarm7-reach`)", ReachProfile),
    ):
        own = {name: field for name, field in model.model_fields.items() if name not in shared}
        parts.append(_section(title, model, "", own))
    return "\n".join(parts)


def _section(title: str, model: type[Model], prefix: str, only: dict[str, FieldInfo] | None = None) -> str:
    rows = _rows(model.model_fields if only is None else only, prefix)
    return f"## {title}\n\n| field | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _rows(fields: dict[str, FieldInfo], prefix: str) -> list[str]:
    rows = []
    for name, field in fields.items():
        path = f"{prefix}{name}"
        inner = _model_in(field.annotation)
        if inner is None:
            rows.append(f"| `{path}` | {_default(field)} | {_meaning(field)} |")
        else:
            outer = typing.get_origin(field.annotation)
            parts = "[]." if outer is tuple else ".<name>." if outer is dict else "."
            rows += _rows(dict(inner.model_fields), f"{path}{parts}")
    return rows


def _model_in(annotation: Any) -> type[Model] | None:
    """Return the model that an annotation (Model, Model | None, tuple[Model, ...]) holds."""
    for candidate in (annotation, *typing.get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Model):
            return candidate
    return None


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)  # type: ignore[call-arg]
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{text}`" if text else ""


def _meaning(field: FieldInfo) -> str:
    choices = typing.get_args(field.annotation) if typing.get_origin(field.annotation) is typing.Literal else ()
    listed = f" ({', '.join(str(c) for c in choices)})" if choices else ""
    return f"{field.description or ''}{listed}".replace("|", "\\|").strip()


if __name__ == "__main__":
    sys.stdout.write(markdown())
