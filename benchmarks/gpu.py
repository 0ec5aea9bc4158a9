"""Physics, rendering and whole pipelines on a GPU, in sections: ``python -m benchmarks.gpu``; see ``gpu.sh``.

Each section is a process with a limit of time. What it measured is in OUT/gpu.json as soon as it is known, and a later
call goes on with the sections that are missing, so several short windows on a machine do as well as one long one. The
order is such that the first minutes tell most.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu_table import markdown
from s2rctl.core.atomic import write_atomic
from s2rctl.core.foreign import FIXED

TASKS = ("pick", "insertion", "reach")
GRACE_S = 20.0
"""How long a section may take to save what it has after it was asked to stop."""
SHORTEST_S = 10.0
"""A section is not begun with less time than this."""


@dataclass(frozen=True)
class Section:
    """One process: its name in the results, what it is called with, its limit, and whether it needs a GPU."""

    name: str
    words: tuple[str, ...]
    limit_s: float
    needs_gpu: bool = False


def sections(quick: bool, out: Path) -> Iterator[Section]:
    """Yield all sections in their order: each backend at 4096 worlds, images, pipelines, then the other sizes."""
    first, others = ("4", "8") if quick else ("4096", "1024,16384")
    seconds = "0.2" if quick else "2"
    yield from _physics(first, seconds, quick)
    for renderer in ("raycast", "warp"):
        for scene, cameras, side in (("insertion", "wrist_cam_left,wrist_cam_right", "32"), ("reach", "side", "84")):
            worlds = "8" if quick else "1024,4096,16384"
            yield Section(
                f"render {renderer} {scene} {side}x{side}",
                ("render", renderer, scene, cameras, side, worlds, seconds),
                120,
                renderer == "warp" and not quick,
            )
    for profile in ("xarm7-smoke",) if quick else ("aloha", "xarm7-reach"):
        changes = () if quick else ("simulation.physics=auto", "vision.renderer=auto")
        yield Section(f"pipeline {profile}", ("pipeline", profile, str(out / "store"), *changes), 3600)
    yield from _physics(others, seconds, quick)


def _physics(worlds: str, seconds: str, quick: bool) -> Iterator[Section]:
    """Yield one section per scene and backend. In a quick run the scene that compiles fastest stands for the others."""
    for task in TASKS:
        for backend in ("warp", "mjx", "native"):
            if quick and backend != "native" and (task != "reach" or worlds == "8"):
                continue
            yield Section(
                f"physics {backend} {task} {worlds}",
                ("physics", backend, task, worlds, seconds),
                180,
                backend != "native" and not quick,
            )


def main() -> None:
    """Run what is missing in OUT until the time is up, and write the table."""
    options = _options()
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    record = Record(out, options.quick)
    ends = time.monotonic() + 60 * options.minutes
    record.run(Section("device", ("device",), 120), 120)
    about = (record.sections["device"]["rows"] or [{}])[0]
    for section in sections(options.quick, out):
        if record.done(section.name):
            continue
        left = ends - time.monotonic()
        if section.needs_gpu and about.get("kind") != "nvidia":
            record.put(section.name, "empty: needs an NVIDIA GPU", [], 0.0)
        elif left < SHORTEST_S:
            record.put(section.name, "not begun: run again", [], 0.0)
        else:
            record.run(section, min(section.limit_s, left))
    print(f"\n{(out / 'gpu.md').read_text()}\n{out / 'gpu.json'}\n{out / 'gpu.md'}")
    failed = [name for name, entry in record.sections.items() if entry["state"].startswith("failed")]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}; the logs are in {out}")


class Record:
    """The results so far, on disk after every change."""

    def __init__(self, out: Path, quick: bool) -> None:
        self._out = out
        path = out / "gpu.json"
        kept: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        if kept and kept.get("quick") != quick:
            raise SystemExit(f"error: {path} is of a run with{'out' if quick else ''} --quick\nhint: use another --out")
        self.quick = quick
        self.sections: dict[str, dict[str, Any]] = kept.get("sections", {})

    def done(self, name: str) -> bool:
        """Return whether a section has all it can have."""
        return str(self.sections.get(name, {}).get("state", "")) == "done"

    def put(self, name: str, state: str, rows: list[dict[str, Any]], seconds: float) -> None:
        """Note a section and write everything."""
        self.sections[name] = {"state": state, "rows": rows, "seconds": round(seconds, 1)}
        whole = {"schema": 1, "quick": self.quick, "sections": self.sections}
        write_atomic(self._out / "gpu.json", json.dumps(whole, indent=1).encode())
        write_atomic(self._out / "gpu.md", markdown(whole).encode())

    def run(self, section: Section, limit_s: float) -> None:
        """Run a section for at most so long and note what it says."""
        print(f"{section.name} ({limit_s:.0f} s at most)", flush=True)
        begun, rows = time.monotonic(), []
        log = self._out / f"{section.name.replace(' ', '-').replace(',', '-')}.log"
        with log.open("w") as errors:
            child = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.gpu_sections", *section.words],
                stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True, env=_environment(os.environ),
            )  # fmt: skip
            watch = _Watch(child, limit_s)
            assert child.stdout is not None
            for line in child.stdout:
                if line.startswith("{"):
                    rows.append(json.loads(line))
                    self.put(section.name, "running", rows, time.monotonic() - begun)
            status = child.wait()
            watch.cancel()
        state = "done" if status == 0 else "time was up: run again" if watch.expired else f"failed: {_last(log)}"
        self.put(section.name, state, rows, time.monotonic() - begun)


class _Watch:
    """Asks a process and its children to stop when their time is up, and ends them if they do not."""

    def __init__(self, child: "subprocess.Popen[str]", limit_s: float) -> None:
        self._child = child
        self.expired = False
        self._timers = [
            threading.Timer(limit_s, self._stop, [signal.SIGINT]),
            threading.Timer(limit_s + GRACE_S, self._stop, [signal.SIGKILL]),
        ]
        for timer in self._timers:
            timer.daemon = True
            timer.start()

    def cancel(self) -> None:
        """Stop watching."""
        for timer in self._timers:
            timer.cancel()

    def _stop(self, number: int) -> None:
        self.expired = True
        if self._child.poll() is None:
            os.killpg(self._child.pid, number)


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return a section's variables: the command line's precision, and no renderer that needs a display."""
    return {**given, **FIXED, "MUJOCO_GL": given.get("MUJOCO_GL", "egl")}


def _last(log: Path) -> str:
    """Return the last line of a log, cut to fit into a table."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:160] if lines else "no message"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="gpu.sh", description="Measure s2rctl on this machine's GPU.")
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="results and logs (default: gpu-results)")
    parser.add_argument("--minutes", type=float, default=10.0, help="time in all; run again to go on (default: 10)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, also on a CPU: does everything work?")
    return parser.parse_args()


if __name__ == "__main__":
    main()
