"""How long a command takes to begin: ``s2rctl --help`` and daily commands against a bare Typer program.

Both are processes of their own in one run, in turns, so that the machine's other work meets all of them; figures are
medians, and their ratio is what counts. CPU time is what a computer with nothing else to do would take by the clock.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

REPEATS = 15
BARE = """
import typer
app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

@app.command()
def hello(name: str = "world") -> None:
    '''Say hello.'''
    typer.echo(f"hello {name}")

app()
"""
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("--help",),
    ("pipeline", "run", "--help"),
    ("profile", "list"),
    ("artifacts", "list"),
    ("pipeline", "plan", "-p", "xarm7-smoke"),
)


def main() -> None:
    """Measure and print one row for each program."""
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        environment = os.environ | {"S2RCTL_STORE": f"{folder}/store", "COLUMNS": "100"}
        programs = {"a bare Typer program --help": [str(bare), "--help"]}
        for words in COMMANDS:
            programs["s2rctl " + " ".join(words)] = ["-m", "s2rctl.cli.main", *words]
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
        for _ in range(REPEATS + 1):  # the first one fills the file caches
            for name, call in programs.items():
                spent[name].append(seconds([sys.executable, *call], environment))
    medians = {name: np.median(rows[1:], axis=0) for name, rows in spent.items()}
    print(f"medians of {REPEATS} interleaved repeats")
    print(f"{'program':<40} {'CPU s':>7} {'clock s':>8} {'CPU / bare':>11}")
    bare_cpu = next(iter(medians.values()))[0]
    for name, (cpu, wall) in medians.items():
        print(f"{name:<40} {cpu:7.3f} {wall:8.3f} {cpu / bare_cpu:11.2f}")


def seconds(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return the CPU time and the clock's time of a process, s; RuntimeError when it fails."""
    begun = time.perf_counter()
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert child.stderr is not None
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}: {said.decode(errors='replace')}")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - begun


if __name__ == "__main__":
    main()
