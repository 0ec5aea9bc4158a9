"""The report's templates (``assets/report/*.html.j2``): whatever they put into the page is escaped."""

from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from s2rctl.core.resources import data_folder
from s2rctl.core.text import printable


@cache
def templates() -> Environment:
    """Return the environment of all templates.

    Markup, quotes, control characters and bidirectional overrides of every value are escaped; a value that a template
    asks for and nobody gives is an error.
    """
    made = Environment(
        loader=FileSystemLoader(data_folder("assets") / "report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.tests["figure"] = is_figure
    return made


def render(name: str, **values: object) -> str:
    """Return the template ``<name>.html.j2`` with the values put in."""
    return templates().get_template(f"{name}.html.j2").render(values)


def is_figure(value: object) -> bool:
    """Return whether a table shows the value as a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> Any:
    """Return a value as text without what steers a reader's eye; markup of a template as it is."""
    return value if isinstance(value, Markup) else printable(str(value))
