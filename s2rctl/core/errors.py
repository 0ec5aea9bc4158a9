"""Errors that a user can act on: one message, one hint, one exit code."""

from s2rctl.core.exits import ExitCode


class S2rError(Exception):
    """An error whose message says what is wrong and whose hint says what to run or change next."""

    exit_code: ExitCode = ExitCode.FAILURE

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class RunError(S2rError):
    """Work failed while running (training diverged, a video could not be written)."""


class UsageError(S2rError):
    """The command was called in a way that cannot work."""

    exit_code = ExitCode.USAGE


class ProfileError(S2rError):
    """A profile is missing, unreadable or invalid; the message lists every fault with file:line."""

    exit_code = ExitCode.PROFILE


class ArtifactError(S2rError):
    """An artifact is missing, corrupt or does not fit."""

    exit_code = ExitCode.ARTIFACT


class GateError(S2rError):
    """A result stays below the gate that the profile sets."""

    exit_code = ExitCode.GATE


class SafetyStop(S2rError):
    """The robot or the safety filter stopped the run."""

    exit_code = ExitCode.SAFETY


class PerceptionStop(SafetyStop):
    """The policy's estimate from its images disagrees with forward kinematics."""


class MissingEnvironmentError(S2rError):
    """Something the command needs is not installed or not present (extra, driver, device, disk space)."""

    exit_code = ExitCode.ENVIRONMENT


class StoreLockedError(S2rError):
    """Another process holds the store's lock."""

    exit_code = ExitCode.LOCKED


class Interrupted(S2rError):
    """Ctrl-C: progress is checkpointed and the hint is the command that resumes."""

    exit_code = ExitCode.INTERRUPTED
