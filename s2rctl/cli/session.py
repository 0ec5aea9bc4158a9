"""What every command shares: the common options, the error boundary, and how a command is registered."""

import contextlib
import errno
import inspect
import io
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2rctl.cli import complete
from s2rctl.cli.output import Answer, Output, Sink
from s2rctl.core.errors import Interrupted, MissingEnvironmentError, S2rError, UsageError
from s2rctl.core.exits import ExitCode
from s2rctl.core.text import printable

if TYPE_CHECKING:
    from s2rctl.core.progress import Reporter
    from s2rctl.pipeline.run import Job
    from s2rctl.schema.load import Loaded
    from s2rctl.schema.profile import Profile
    from s2rctl.store.store import Store

EXITS = (
    "Exit codes: 0 ok, 1 failure, 2 usage, 3 profile invalid, 4 artifact missing or corrupt, 5 gate not met, "
    "6 hardware or safety stop, 7 environment, 8 store locked, 70 bug, 130 Ctrl-C."
)

ProfileOption = Annotated[str, complete.profile("Profile: a name in profiles/ or a path.", "--profile", "-p")]
OptionalProfile = Annotated[
    str | None, complete.profile("Profile to use instead of the artifact's own.", "--profile", "-p")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one profile value: a.b=value. Repeatable.", metavar="A.B=VALUE"),
]
SeedOption = Annotated[int | None, typer.Option("--seed", help="Seed of all random numbers.", min=0)]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store", help="Artifact store (default: S2RCTL_STORE, or the nearest .s2rctl in a parent directory)."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]
EventsOption = Annotated[Path | None, typer.Option("--events", help="Append progress to FILE as JSON lines.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the result.")]
VerboseOption = Annotated[int, typer.Option("--verbose", "-v", count=True, help="Log to stderr; -vv shows tracebacks.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Run even if a cached result exists.")]
FreshOption = Annotated[bool, typer.Option("--fresh", help="Discard interrupted runs instead of resuming them.")]
OnOption = Annotated[
    str | None,
    typer.Option(
        "--on", metavar="PLACE", help="Where it runs: local, ray, ray://HOST:PORT or slurm (default: launcher.on)."
    ),
]

_COMMON: tuple[tuple[str, Any, Any], ...] = (
    ("store", StoreOption, None),
    ("as_json", JsonOption, False),
    ("events", EventsOption, None),
    ("quiet", QuietOption, False),
    ("verbose", VerboseOption, 0),
)
_MODULES = {
    "xarm": ("xarm",),
    "aloha": ("dynamixel_sdk", "serial"),
    "realsense": ("pyrealsense2",),
    "calibrate": ("cv2", "scipy"),
    "view": ("viser", "trimesh", "PIL"),
    "sysid": ("colorama", "tabulate"),
    "ray": ("ray",),
}
_EXTRAS = {module: extra for extra, modules in _MODULES.items() for module in modules}
_SHOWN = 80
"""Characters of a path that cannot be used."""
_PATHS: dict[int, type[S2rError]] = {
    errno.ENAMETOOLONG: UsageError,
    errno.ELOOP: UsageError,
    errno.EACCES: MissingEnvironmentError,
    errno.EPERM: MissingEnvironmentError,
}
"""What is wrong with a path wherever it is met first, even while looking whether there is anything."""
_SIMULATION = {"jax", "jaxlib", "mujoco", "flax", "optax", "brax", "orbax", "onnx", "jax2onnx", "matplotlib", "jinja2"}


@dataclass(frozen=True)
class Session:
    """The common options of one command call, and what follows from them."""

    store_option: Path | None
    reporter: "Reporter"
    quiet: bool
    verbose: int
    argv: tuple[str, ...]

    def store(self) -> "Store":
        """Return the store that the options choose."""
        from s2rctl.store.location import find_store
        from s2rctl.store.store import Store

        return Store(find_store(self.store_option))

    def load(self, profile: str, sets: Sequence[str] | None, seed: int | None) -> "Loaded":
        """Load the profile that the options choose, with what the store has of the calibrations that it names."""
        from s2rctl.schema.load import load_profile

        loaded = load_profile(profile, sets or (), seed)
        if not loaded.profile.vision.calibration:
            return loaded
        from s2rctl.operations.calibration.consume import resolved

        return replace(loaded, profile=resolved(loaded.profile, self.store()))

    def job(self, profile: "Profile", force: bool = False, fresh: bool = False, on: str | None = None) -> "Job":
        """Return what stages need to run; the resume command is this one without --force and --fresh."""
        from s2rctl.pipeline.launch import spread_of
        from s2rctl.pipeline.run import Job, command

        resume = command("s2rctl", *(word for word in self.argv if word not in ("--force", "--fresh")))
        spread = spread_of(profile.launcher, on)
        return Job(profile, self.store(), self.reporter, resume, force=force, fresh=fresh, spread=spread)


def register(
    app: typer.Typer, name: str, group: str = "", cls: type[typer.core.TyperCommand] | None = None
) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Make a function ``(session, own options…) -> Answer`` a command that also takes the common options.

    ``cls`` reads its command line, where Typer's own class would not do.
    """
    full = f"{group} {name}".strip()

    def decorate(function: Callable[..., Answer]) -> Callable[..., Answer]:
        own = list(inspect.signature(function).parameters.values())[1:]

        def inner(**values: Any) -> int:
            common = {key: values.pop(key) for key, _, _ in _COMMON}
            return _guarded(full, function, common, values)

        keyword = inspect.Parameter.KEYWORD_ONLY
        added = [inspect.Parameter(key, keyword, default=default, annotation=kind) for key, kind, default in _COMMON]
        own = [parameter.replace(kind=keyword) for parameter in own]
        inner.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
        inner.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *added]}
        # A line with \b keeps the examples from being wrapped.
        inner.__doc__ = inspect.cleandoc(function.__doc__ or "").replace("Examples:\n", "\b\nExamples:\n")
        inner.__name__ = function.__name__
        app.command(name, cls=cls, epilog=EXITS)(inner)
        return function

    return decorate


class _Chatter(io.TextIOBase):
    """Takes what libraries print and logs it."""

    def write(self, text: str) -> int:
        """Log the text."""
        import logging

        if text.strip():
            logging.getLogger("s2rctl.libraries").info(text.strip())
        return len(text)


def _guarded(name: str, function: Callable[..., Answer], common: dict[str, Any], values: dict[str, Any]) -> int:
    """Run a command, write its answer or its error, and return the exit code."""
    from s2rctl.cli.progress import make_reporter

    output = Output(common["as_json"], sys.stdout, sys.stderr)
    reporter = None
    losses: list[OSError] = []
    try:
        _here()
        reporter = make_reporter(common["quiet"], common["events"], losses.append)
        _logging(common["verbose"])
        session = Session(common["store"], reporter, common["quiet"], common["verbose"], tuple(sys.argv[1:]))
        # Libraries that print must not spoil the data on stdout; with -v one sees what they say.
        with contextlib.redirect_stdout(_Chatter()):
            answer = function(session, **values)
        if losses and answer.fault is None:
            answer = replace(answer, fault=_no_events(common["events"], losses[0]))
        return output.answer(name, answer)
    except BaseException as error:
        _close(reporter)
        if isinstance(error, typer.Exit | SystemExit):
            raise
        return output.error(name, as_fault(error, common["store"], common["verbose"]))


def _here() -> None:
    """Raise MissingEnvironmentError where the working folder has been deleted: every relative path needs it."""
    try:
        Path.cwd()
    except OSError as error:
        raise MissingEnvironmentError(
            f"cannot access the working directory: {error.strerror}", "change to an existing directory"
        ) from None


def _no_events(path: Path, error: OSError) -> S2rError:
    return MissingEnvironmentError(
        f"the command succeeded, but not all events could be written to {path}: {error.strerror}",
        "free space, or choose another --events FILE",
    )


def as_fault(error: BaseException, store: Path | None = None, verbose: int = 0) -> S2rError:
    """Return any exception as an error for the user; an unexpected one is logged with its traceback."""
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted", "run the command again to resume")
    if os.environ.get("S2RCTL_DEBUG") or verbose > 1:
        Sink(sys.stderr).write("".join(traceback.format_exception(error)))
    if isinstance(error, S2rError):
        return error
    if isinstance(error, ModuleNotFoundError) and error.name:
        module = error.name.partition(".")[0]
        extra = "sim" if module in _SIMULATION else _EXTRAS.get(module)
        if extra:
            return MissingEnvironmentError(
                f"this command needs the Python package '{module}'", f"pip install 's2rctl[{extra}]'"
            )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        place = f": {error.filename}" if error.filename else ""
        return MissingEnvironmentError(
            f"cannot write{place}: {error.strerror}", "free space or write to another place, then run the command again"
        )
    if isinstance(error, OSError) and error.filename and error.errno in _PATHS:
        place = str(error.filename)
        place = place if len(place) <= _SHOWN else f"{place[:_SHOWN]}… ({len(place)} characters)"
        return _PATHS[error.errno](
            f"cannot use {place}: {error.strerror}", "choose another path, or change what is there"
        )
    fault = S2rError(
        f"unexpected {type(error).__name__}: {_first_line(error)}".rstrip(": "),
        f"this is a bug; please report it with {_log(error, store)}",
    )
    fault.exit_code = ExitCode.BUG
    return fault


def _first_line(error: BaseException) -> str:
    """Return the first line of what an exception says, whatever its own code does."""
    try:
        return (str(error).strip().splitlines() or [""])[0]
    except Exception:
        return ""


def _log(error: BaseException, store: Path | None) -> str:
    """Write the traceback to a file and return its path (in the store's logs, else in the temporary folder)."""
    from s2rctl import __version__

    text = f"s2rctl {__version__}\n{sys.argv}\n{''.join(traceback.format_exception(error))}"
    name = f"s2rctl-bug-{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}.log"
    folders = []
    with contextlib.suppress(Exception):
        from s2rctl.store.location import find_store

        root = find_store(store)
        if root.is_dir():
            folders.append(root / "logs")
    with contextlib.suppress(OSError):  # there may be no temporary folder that one can write
        folders.append(Path(tempfile.gettempdir()))
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.mkdir(exist_ok=True)
            if folder.name == "logs" and folder.is_symlink():
                continue
            with (folder / name).open("x", encoding="utf-8", errors="replace") as file:  # never through a link
                file.write(printable(text))
            return str(folder / name)
    return "the traceback that S2RCTL_DEBUG=1 shows"


def _close(reporter: object) -> None:
    close = getattr(reporter, "close", None)
    if close is not None:
        close()


def _logging(verbose: int) -> None:
    import logging

    level = logging.DEBUG if verbose else logging.WARNING
    logging.basicConfig(level=level, stream=Sink(sys.stderr), format="%(name)s: %(message)s")
    if verbose == 1:  # compilers log thousands of lines at this level
        for noisy in ("jax", "jax._src", "matplotlib", "filelock", "PIL"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
