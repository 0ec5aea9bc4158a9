"""A person's word before anything moves or restarts."""

import sys

from s2rctl.cli.output import say
from s2rctl.core.errors import UsageError


def ask(what: str, word: str, *, unasked: str, refused: str, command: str) -> None:
    """Say ``what`` will happen and return if the person types ``word``.

    Raises UsageError, with ``command`` as the hint, when there is no terminal to ask on (``unasked`` says so) and for
    any other answer (``refused`` says what did not happen).
    """
    if not sys.stdin.isatty():
        raise UsageError(unasked, command)
    say(f"{what} Type {word} to go on: ")
    if sys.stdin.readline().strip() != word:
        raise UsageError(f"not confirmed; {refused}", command)


def agree_to_diff(diff: str, path: object, command: str) -> None:
    """Show how a profile would change and return if the person agrees; ``command`` does it without asking."""
    ask(
        f"{diff}\n{path} will be changed.",
        "yes",
        unasked="the profile is changed only when somebody agrees, and there is no terminal to ask on",
        refused="nothing was written",
        command=command,
    )
