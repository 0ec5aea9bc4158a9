"""The long run: ``python -m tests.fuzz --minutes 60``, every target in turn in a process of its own, two at a time.

One plain line per target and interval, a table at the end, findings in ``fuzz-findings/`` (input, reason, and the
command that shows it again), exit code 1 if there are any.
"""

import argparse
import importlib.util
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.box import HANG_S, Box, Finding
from tests.fuzz.child import LARGEST, save
from tests.fuzz.harness import NAMES, check, load

STUCK_S = 3 * HANG_S
"""A child that says nothing for so long is stuck where no alarm of its own can reach it."""


@dataclass
class Row:
    """What is known of one target."""

    name: str
    executions: int = 0
    seconds: float = 0.0
    outcomes: int = 0
    findings: set[str] = field(default_factory=set)

    def line(self) -> str:
        """Return one plain line."""
        rate = self.executions / self.seconds if self.seconds else 0.0
        return (
            f"{self.name:<17} {self.seconds:7.0f} s {self.executions:10} executions {rate:8.0f}/s "
            f"{self.outcomes:5} outcomes {len(self.findings):4} findings"
        )


class Runner:
    """Hands out targets to threads, each of which watches one child at a time."""

    def __init__(self, options: argparse.Namespace, names: list[str]) -> None:
        self.options = options
        self.rows = [Row(name) for name in names]
        self.each = options.minutes * 60.0 * options.workers / len(names)
        self._waiting: queue.SimpleQueue[Row] = queue.SimpleQueue()
        for row in self.rows:
            self._waiting.put(row)
        self._children: set[subprocess.Popen[bytes]] = set()
        self.stopped = threading.Event()

    def run(self) -> None:
        """Run all targets; Ctrl-C ends early with the table."""
        threads = [threading.Thread(target=self._work, args=(n,)) for n in range(self.options.workers)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except KeyboardInterrupt:
            self.stopped.set()
            for child in list(self._children):
                child.kill()
            for thread in threads:
                thread.join()

    def _work(self, number: int) -> None:
        # In memory where that is possible: thousands of small stores are written and read.
        place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        with tempfile.TemporaryDirectory(prefix="s2rctl-fuzz-", dir=place, ignore_cleanup_errors=True) as folder:
            current = Path(folder) / "current"
            while not self.stopped.is_set():
                try:
                    row = self._waiting.get_nowait()
                except queue.Empty:
                    return
                begun, attempt = time.monotonic(), 0
                while not self.stopped.is_set() and (left := self.each - (time.monotonic() - begun)) > 1.0:
                    current.write_bytes(bytes(8 + LARGEST))
                    before = time.monotonic()
                    self._child(row, left, self.options.seed + 1_000_003 * attempt, current)
                    attempt += 1
                    if time.monotonic() - before < 5.0 and attempt > 20:
                        break  # it cannot even begin
                print(row.line(), flush=True)

    def _child(self, row: Row, seconds: float, seed: int, current: Path) -> None:
        """Watch one child to its end; what it died of is a finding."""
        words = [sys.executable, "-m", "tests.fuzz.child", row.name, str(seconds), "--engine", self.options.engine]
        words += ["--seed", str(seed), "--findings", str(self.options.findings), "--current", str(current)]
        executions, spent, begun = row.executions, row.seconds, time.monotonic()
        log = current.with_name("log")
        with log.open("wb") as complaints:
            child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=complaints)
        self._children.add(child)
        heard = [begun]
        guard = threading.Thread(target=self._guard, args=(child, heard))
        guard.start()
        said = begun
        assert child.stdout is not None
        for line in child.stdout:
            heard[0] = time.monotonic()
            try:
                told = json.loads(line)
                row.executions, row.outcomes = executions + told["executions"], max(row.outcomes, told["outcomes"])
                row.findings |= set(told["findings"])
            except (ValueError, KeyError, TypeError):
                continue
            row.seconds = spent + heard[0] - begun
            if heard[0] - said > self.options.interval:
                said = heard[0]
                print(row.line(), flush=True)
        child.wait()
        guard.join()
        self._children.discard(child)
        row.seconds = spent + time.monotonic() - begun
        shutil.rmtree(current.with_name("work"), ignore_errors=True)
        if child.returncode != 0 and not self.stopped.is_set():
            raw = current.read_bytes()
            data = raw[8 : 8 + int.from_bytes(raw[:8], "little")]
            ended = f"signal {-child.returncode}" if child.returncode < 0 else f"status {child.returncode}"
            why = f"the process ended with {ended}\n{log.read_text(errors='replace')[-2000:]}"
            row.findings.add(f"process {ended}")
            save(self.options.findings, row.name, data, why)

    def _guard(self, child: "subprocess.Popen[bytes]", heard: list[float]) -> None:
        while child.poll() is None:
            if time.monotonic() - heard[0] > STUCK_S:
                child.send_signal(signal.SIGKILL)
            time.sleep(0.2)


def reproduce(path: Path, name: str | None) -> int:
    """Run one input again and say what happens."""
    target = load(name or path.resolve().parent.name)
    with tempfile.TemporaryDirectory() as folder:
        try:
            print(check(target, path.read_bytes(), Box(Path(folder) / "box"), command=True))
        except Finding as finding:
            if finding.__cause__ is not None:
                import traceback

                traceback.print_exception(finding.__cause__)
            print(f"finding: {finding.key}\n{finding}")
            return 1
    return 0


def main() -> int:
    """Parse, run, print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="of all targets together")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--targets", nargs="*", choices=NAMES, default=list(NAMES))
    parser.add_argument("--engine", choices=("auto", "atheris", "mutation"), default="auto")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--interval", type=float, default=30.0, help="seconds between two lines of a target")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--reproduce", type=Path, metavar="FILE", help="run one input again")
    parser.add_argument("--target", choices=NAMES, help="of --reproduce, unless the file's folder tells")
    options = parser.parse_args()
    if options.reproduce is not None:
        return reproduce(options.reproduce, options.target)
    if options.engine == "auto":
        options.engine = "atheris" if importlib.util.find_spec("atheris") else "mutation"
    options.findings = options.findings.absolute()
    print(f"engine {options.engine}, seed {options.seed}, {len(options.targets)} targets", flush=True)
    runner = Runner(options, options.targets)
    runner.run()
    print()
    total = Row("all")
    for row in runner.rows:
        print(row.line())
        total.executions, total.seconds = total.executions + row.executions, total.seconds + row.seconds
        total.outcomes += row.outcomes
        total.findings |= {f"{row.name} {key}" for key in row.findings}
    print(total.line())
    for key in sorted(total.findings):
        print(f"finding: {key}")
    if total.findings:
        print(f"inputs and how to see them again: {options.findings}")
    return 1 if total.findings or runner.stopped.is_set() else 0


if __name__ == "__main__":
    sys.exit(main())
