"""Python processes of our own: they import what this one does, and nothing that lies in the working directory."""

import sys


def python(*arguments: str) -> list[str]:
    """Return the command that runs Python with ``arguments`` (``-m MODULE …`` or ``-c PROGRAM …``).

    Without ``-P`` Python looks for modules in the working directory first: another version of s2rctl there, or a file
    named jax.py, would run in a robot's driver.
    """
    return [sys.executable, "-P", *arguments]
