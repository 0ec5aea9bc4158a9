"""Command groups that do something by themselves."""

import inspect
from collections.abc import Callable
from typing import Any

import typer

from s2rctl.cli.output import Answer
from s2rctl.cli.session import EXITS, register


def register_group(group: typer.Typer, name: str) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Make a function what a command group does without a sub-command; it takes the common options, too."""

    def decorate(function: Callable[..., Answer]) -> Callable[..., Answer]:
        alone = typer.Typer()
        register(alone, name)(function)
        command = alone.registered_commands[0].callback
        assert command is not None

        def inner(context: typer.Context, **values: Any) -> int | None:
            return command(**values) if context.invoked_subcommand is None else None

        own = inspect.signature(command).parameters.values()
        first = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
        inner.__signature__ = inspect.Signature([first, *own])  # type: ignore[attr-defined]
        inner.__annotations__ = {"context": typer.Context} | {item.name: item.annotation for item in own}
        inner.__doc__ = command.__doc__
        group.callback(invoke_without_command=True, epilog=EXITS)(inner)
        return function

    return decorate
