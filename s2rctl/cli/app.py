"""The commands of ``s2rctl``, and one call of them: nothing heavy is imported before a command asks for it."""

from collections.abc import Sequence
from typing import Annotated

import typer

from s2rctl.cli import (
    artifacts,
    calibrate,
    demo,
    deploy,
    doctor,
    emulate,
    evaluate,
    export,
    latency,
    pipeline,
    profile,
    render,
    replay,
    reproduce,
    robot,
    sweep,
    sysid,
    train,
    view,
)
from s2rctl.cli.output import Output
from s2rctl.cli.session import EXITS, as_fault
from s2rctl.core.errors import UsageError
from s2rctl.core.exits import ExitCode

app = typer.Typer(
    name="s2rctl",
    help="From a YAML profile to a policy running on a robot arm: train, distil, export, evaluate, deploy.",
    epilog=EXITS,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from s2rctl.core.installation import about

        typer.echo("\n".join(about()))
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Show the version, and what a bug report needs."
        ),
    ] = False,
) -> None:
    """From a YAML profile to a policy running on a robot arm: train, distil, export, evaluate, deploy."""


_PARTS = (
    demo, train, export, evaluate, deploy, replay, latency, calibrate, sysid, pipeline, sweep, reproduce, artifacts,
    profile, doctor, emulate, render, robot, view
)  # fmt: skip
for _part in _PARTS:
    _part.add_to(app)


def call(args: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        code = app(args=list(args), prog_name="s2rctl", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except BaseException as error:
        if isinstance(error, SystemExit):
            return error.code if isinstance(error.code, int) else int(ExitCode.FAILURE)
        message = _usage_message(error)
        if message == "":  # no command: the help has been shown
            return int(ExitCode.USAGE)
        words = [word for word in args if not word.startswith("-")]
        fault = as_fault(error) if message is None else UsageError(message, _help_command(words))
        return Output("--json" in args).error(" ".join(words[:1]), fault)


def _usage_message(error: BaseException) -> str | None:
    """Return the text of one of Typer's own usage errors, or None for anything else."""
    if isinstance(error, typer.Abort):
        return "stopped"
    form = getattr(error, "format_message", None)
    if form is None or getattr(error, "exit_code", None) != int(ExitCode.USAGE):
        return None
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(form())
        return ""
    text = str(form()).strip().rstrip(".")
    return text[:1].lower() + text[1:]


def _help_command(words: Sequence[str]) -> str:
    groups = {group.name for group in app.registered_groups if group.name}
    commands = {command.name for command in app.registered_commands if command.name}
    if words and words[0] in groups:
        return f"s2rctl {words[0]} --help"
    return f"s2rctl {words[0]} --help" if words and words[0] in commands else "s2rctl --help"
