"""Entry point of ``s2rctl``: requests to stop are heeded before anything that takes time is imported."""

import sys
from collections.abc import Sequence

from s2rctl.core.interrupt import heed_requests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_GARBAGE = 50_000
"""Allocations between two garbage collections: tracing a JAX program allocates millions of objects and leaves few
cycles, and collecting after every 700th, as Python does, takes a tenth of the time.
"""


def main(args: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    from s2rctl.cli.app import call

    return call(args)


def run() -> "NoReturn":
    """Run the command line of this process."""
    heed_requests()
    try:
        code = _settled()
    except KeyboardInterrupt:  # while Python imports, or a second request while the first one is being reported
        code = _interrupted()
    sys.exit(code)


def _settled() -> int:
    """Run the command line and return the exit code once everything is written."""
    import gc
    import io
    import os
    from typing import TextIO, cast

    from s2rctl.cli.output import Output, Sink, unwritten
    from s2rctl.core import compile_cache, foreign

    foreign.open_standard_streams()
    out, err = Sink(sys.stdout), Sink(sys.stderr)
    # Whatever writes to stderr is escaped, warnings and the SDKs of robots too; help needs a real stdout.
    sys.stderr = cast("TextIO", err)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    foreign.pin(os.environ)
    foreign.watch(os.environ)
    compile_cache.enable(os.environ)
    gc.set_threshold(_GARBAGE)
    try:
        code = main(sys.argv[1:])
    finally:
        out.settle()
        err.settle()
    if code == 0 and (fault := unwritten(out.failure)):
        code = Output(False).error("", fault)
    return code


def _interrupted() -> int:
    """Report an interruption that no command has reported, and return its exit code."""
    try:
        from s2rctl.cli.output import Output
        from s2rctl.core.errors import Interrupted

        return Output("--json" in sys.argv).error("", Interrupted("interrupted", "run the command again to resume"))
    except KeyboardInterrupt:
        return 130  # ExitCode.INTERRUPTED, which may not be imported yet


if __name__ == "__main__":
    run()
