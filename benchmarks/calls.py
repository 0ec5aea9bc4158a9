"""What a call costs over the least that such a call can cost: ratios of medians in one run, in turns.

- a driver in a process of its own, against the same driver in this one;
- a request to the policy server, against an echo of the same bytes over the same protocol;
- handing the recorder a step, against writing it; a log line in a quiet loop with a slow terminal, against without.
"""

import contextlib
import logging
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from s2rctl.control.quiet import quiet
from s2rctl.control.recorder import McapRecorder
from s2rctl.emulation.xarm.server import make as make_emulator
from s2rctl.robots import DRIVERS
from s2rctl.robots.xarm7.driver import make as make_driver
from s2rctl.scene import SCENES
from s2rctl.schema.load import load_profile
from s2rctl.schema.robots import XArm7Robot

REPEATS, CALLS = 9, 100
PAYLOAD = {"joint_pos": np.zeros(16, np.float32), "rgb": np.zeros((64, 64, 3), np.uint8)}


def main() -> None:
    """Measure and print one row for each call."""
    print(f"medians of {REPEATS} interleaved repeats of {CALLS} calls; of a control period of 50 ms")
    print(f"{'call':<44} {'ms':>8} {'of a period':>12}   {'least':<30} {'ms':>8} {'ratio':>7}")
    for measure in (drivers, server, recorder, log_lines):
        name, call, least_name, least = measure()
        row = f"{name:<44} {call:8.3f} {call / 50:11.2%}   {least_name:<30} {least:8.3f} {call / least:7.1f}"
        print(row, flush=True)


def turns(*calls: Callable[[], Any]) -> list[float]:
    """Return the median time of one call of each, ms."""
    spent: list[list[float]] = [[] for _ in calls]
    for _ in range(REPEATS):
        for call, kept in zip(calls, spent, strict=True):
            begun = time.perf_counter()
            for _ in range(CALLS):
                call()
            kept.append((time.perf_counter() - begun) / CALLS * 1e3)
    return [float(np.median(kept)) for kept in spent]


def drivers() -> tuple[str, float, str, float]:
    """Read the emulated xArm7 through both drivers."""
    with make_emulator(SCENES.load("reach")(0.005)) as emulator:
        profile = load_profile("xarm7-reach", emulator.settings()).profile
        robot, safety, period = profile.robot, profile.deploy.safety, profile.simulation.period_s
        assert isinstance(robot, XArm7Robot)
        near, apart = make_driver(robot, safety, period), DRIVERS.load("xarm7")(robot, safety, period)
        with contextlib.closing(near), contextlib.closing(apart):
            near.connect()
            apart.connect()
            far_ms, near_ms = turns(apart.read, near.read)
    return "read by a driver in its own process", far_ms, "the same driver in this one", near_ms


def server() -> tuple[str, float, str, float]:
    """Ask the policy server, whose session does nothing, and a bare echo."""
    from websockets.sync.client import connect
    from websockets.sync.server import serve

    from s2rctl.control.openpi.server import PolicyServer
    from s2rctl.control.openpi.session import Figures
    from s2rctl.control.openpi.wire import pack

    class Idle:
        figures = Figures()

        def infer(self, message: Any) -> dict[str, Any]:
            return {"actions": np.zeros((1, 14), np.float32)}

    def echo(connection: Any) -> None:
        for data in connection:
            connection.send(data)

    body = pack(PAYLOAD)
    with PolicyServer(Idle, {}, "127.0.0.1", 0) as ours, serve(echo, "127.0.0.1", 0, compression=None) as bare:  # type: ignore[arg-type]
        threading.Thread(target=bare.serve_forever, daemon=True).start()
        port = bare.socket.getsockname()[1]
        with (
            connect(f"ws://127.0.0.1:{ours.port}", compression=None) as one,
            connect(f"ws://127.0.0.1:{port}", compression=None) as two,
        ):
            one.recv()

            def ask(link: Any) -> None:
                link.send(body)
                link.recv()

            served, echoed = turns(lambda: ask(one), lambda: ask(two))
    return "request to the policy server, policy excluded", served, "echo of the same bytes", echoed


def recorder() -> tuple[str, float, str, float]:
    """Hand over a step, and write one."""
    values = {"step": 0, "ages": {}, "codes": (), "joint_pos": np.zeros(16), "target": np.zeros(14)}
    with tempfile.TemporaryDirectory() as folder:
        kept = McapRecorder(Path(folder) / "a.mcap", {})
        written = McapRecorder(Path(folder) / "b.mcap", {})
        handed, wrote = turns(lambda: kept.step(0.0, values, {}), lambda: written._append(0.0, values, {}))
        kept.close({})
        written.close({})
    return "handing the recorder a step", handed, "writing it", wrote


class _Slow(logging.Handler):
    """A terminal that takes a millisecond per line."""

    def emit(self, record: logging.LogRecord) -> None:
        time.sleep(0.001)


def log_lines() -> tuple[str, float, str, float]:
    """Log in a quiet loop, and straight to a slow terminal."""
    root, slow = logging.getLogger(), _Slow()
    before = list(root.handlers)
    log = logging.getLogger("s2rctl.benchmark")
    root.handlers[:] = [slow]
    try:
        (direct,) = turns(lambda: log.error("line"))
        with quiet():
            (quietly,) = turns(lambda: log.error("line"))
    finally:
        root.handlers[:] = before
    return "log line in a quiet loop", quietly, "straight to a slow terminal", direct


if __name__ == "__main__":
    main()
