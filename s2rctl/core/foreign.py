"""The environment that a command was started in: variables that libraries obey, and streams that may be closed.

JAX and MuJoCo read dozens of variables, and with a wrong one they fail anywhere, or end the whole process. What would
change results is pinned; what is left is tried once, in a process of its own, before the library is imported.
"""

import contextlib
import importlib.abc
import os
import re
import subprocess
import sys
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType

from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.core.interpreter import python

PINNED = (
    "JAX_ENABLE_X64",
    "JAX_NUMPY_DTYPE_PROMOTION",
    "JAX_NUMPY_RANK_PROMOTION",
    "JAX_DEFAULT_PRNG_IMPL",
    "JAX_RANDOM_SEED_OFFSET",
    "JAX_THREEFRY_PARTITIONABLE",
    "JAX_DISABLE_JIT",
    "MPLBACKEND",
)
"""Set aside, so that the defaults hold: types, promotion and random numbers are part of every result."""

FIXED = {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
"""Set for everybody. JAX's default multiplies matrices with 10 bits of mantissa on NVIDIA (TF32) and 7 on TPU: a hand
at 1 m would be off by a millimetre, constraint solvers do not settle, and an exported policy would differ from the one
that was trained by more than its parity gate allows. On a CPU every precision is this one, to the bit."""

_TIMEOUT_S = 300.0
_LOGGED = re.compile(r"^[EF]\d{4} [\d:.]+ +\d+ [^]]+\] ")
"""What XLA puts before a message: severity, date, time, thread, file and line."""
_RAISED = re.compile(r"^[A-Za-z_.]*(Error|Exception): .")


@dataclass(frozen=True)
class Library:
    """Which variables a library obeys, values that need no trying, and a program that fails with a wrong one."""

    prefixes: tuple[str, ...]
    harmless: Mapping[str, tuple[str, ...]]
    program: str


LIBRARIES = {
    "jax": Library(
        ("JAX_", "XLA_"),
        {"JAX_PLATFORMS": ("", "cpu"), "JAX_PLATFORM_NAME": ("", "cpu"), "XLA_FLAGS": ("",)},
        "import jax; jax.block_until_ready(jax.jit(lambda x: x + 1)(1.0))",
    ),
    "mujoco": Library(("MUJOCO_GL", "PYOPENGL_PLATFORM"), {"MUJOCO_GL": ("",)}, "import mujoco"),
}


@dataclass(frozen=True)
class Blame:
    """A variable with which a library does not start, and what it says."""

    variable: str
    value: str
    library: str
    reason: str

    def error(self) -> MissingEnvironmentError:
        """Return it as an error."""
        said = f": {self.reason}" if self.reason else ""
        return MissingEnvironmentError(
            f"{self.library} does not start with {self.variable}={self.value}{said}", self.hint()
        )

    def hint(self) -> str:
        """Return what to do."""
        return f"unset {self.variable}, or set it to what this computer has (s2rctl doctor)"


def pin(environment: MutableMapping[str, str]) -> None:
    """Take out what must not depend on who calls, and set what holds for everybody."""
    for name in PINNED:
        environment.pop(name, None)
    environment.update(FIXED)


def foreign(library: Library, environment: Mapping[str, str]) -> list[str]:
    """Return the variables of the user's that the library obeys and that may be wrong."""
    return [
        name
        for name, value in sorted(environment.items())
        if name.startswith(library.prefixes)
        and name not in (*PINNED, *FIXED)
        and value not in library.harmless.get(name, ())
    ]


def blame(name: str, environment: Mapping[str, str], names: Sequence[str] | None = None) -> list[Blame]:
    """Return the variables with which a library does not start here (``names``: those to suspect); empty if it does.

    Where it does not start without them either, none is to blame.
    """
    library = LIBRARIES[name]
    suspects = foreign(library, environment) if names is None else [n for n in names if n in environment]
    complaint = _try(library.program, environment) if suspects else None
    if complaint is None:
        return []
    bare = {key: value for key, value in environment.items() if key not in suspects}
    if _try(library.program, bare) is not None:
        return []
    found = []
    for suspect in suspects:
        alone = bare | {suspect: environment[suspect]}
        said = complaint if len(suspects) == 1 else _try(library.program, alone)
        if said is not None:
            found.append(Blame(suspect, environment[suspect], name, _reason(said)))
    # Each may be right alone, and only all of them together wrong.
    return found or [Blame(suspects[0], environment[suspects[0]], name, f"together with {', '.join(suspects[1:])}")]


def _try(program: str, environment: Mapping[str, str]) -> str | None:
    """Run a program; return what it complains of, or None if it works."""
    # Take no more of a GPU than one number needs, and keep advice on tracebacks out of what is quoted.
    quiet = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "JAX_TRACEBACK_FILTERING": "off", **environment}
    try:
        done = subprocess.run(
            python("-c", program),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S, check=False,
            env=quiet,
        )  # fmt: skip
    except OSError:  # it cannot be tried: then the import will tell
        return None
    except subprocess.TimeoutExpired:
        return f"TimeoutError: no answer in {_TIMEOUT_S:.0f} s"
    return None if done.returncode == 0 else done.stderr or f"ended with status {done.returncode}"


def _reason(complaint: str) -> str:
    """Return the line that says most: the first error that XLA logs, else the exception; empty if neither has words."""
    lines = [line.strip() for line in complaint.splitlines()]
    logged = [_LOGGED.sub("", line) for line in lines if _LOGGED.match(line)]
    raised = [line for line in lines if _RAISED.match(line)]
    return (logged[:1] or raised[-1:] or [""])[0][:200]


class Watch(importlib.abc.MetaPathFinder):
    """Tries a library with the user's variables when it is first imported; finds no module itself."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._suspects = {name: foreign(library, environment) for name, library in LIBRARIES.items()}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return None; raise MissingEnvironmentError if a variable keeps the library from starting."""
        suspects = self._suspects.pop(fullname, None)
        if suspects:
            found = blame(fullname, self._environment, suspects)
            if found:
                self._suspects[fullname] = suspects
                raise found[0].error()
        return None


def watch(environment: Mapping[str, str]) -> None:
    """Have JAX and MuJoCo tried before a command imports them, where the user has set variables of theirs."""
    sys.meta_path.insert(0, Watch(environment))


def open_standard_streams() -> None:
    """Open whichever of stdin, stdout and stderr is closed on nothing.

    Otherwise the next file that is opened takes the number, and what is meant for a person ends up in it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            with contextlib.suppress(OSError):
                setattr(sys, name, open(os.devnull, mode, encoding="utf-8", errors="backslashreplace"))  # noqa: PTH123
