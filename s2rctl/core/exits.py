"""Exit codes of the command line: a fixed contract that scripts rely on."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Meaning of each exit status."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    PROFILE = 3
    ARTIFACT = 4
    GATE = 5
    SAFETY = 6
    ENVIRONMENT = 7
    LOCKED = 8
    BUG = 70
    INTERRUPTED = 130
