"""Faults, what the control loop does about them, and how long the arm moves on.

Three processes, as on a robot computer: the emulated device with its MuJoCo arm, the loop with the vendor's SDK and our
driver, and this one, which injects the fault and watches the arm in the emulator's truth. All share the monotonic
clock. ``python -m benchmarks.faults [xarm7|aloha ...]`` prints the tables; ``benchmarks.loop_process`` is the loop.
"""

import json
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from benchmarks.loop_process import PERIOD_S
from s2rctl.emulation.plant import PlantStart
from s2rctl.emulation.remote import EmulatorProcess
from s2rctl.emulation.xarm.controller import STOPPED
from s2rctl.robots import ROBOTS
from s2rctl.scene import SCENES
from s2rctl.systems import system_of_robot

REST_RAD_S = 0.02
"""The arm rests when no joint is faster."""
REST_S = 0.25
"""And has not been for this long."""
PATIENCE_S = 20.0
ATTEMPTS = 5


@dataclass(frozen=True)
class Fault:
    """One row: ``inject`` gets the emulator and the loop's process."""

    name: str
    inject: Callable[[EmulatorProcess, subprocess.Popen[str]], None]
    robots: tuple[str, ...] = ("xarm7", "aloha")
    bearable: bool = False  # whether going on within the limits is right too


def device(name: str) -> Callable[[EmulatorProcess, subprocess.Popen[str]], None]:
    """Return the injection of a device's fault."""
    return lambda emulator, loop: emulator.inject(name)


def inside(word: str) -> Callable[[EmulatorProcess, subprocess.Popen[str]], None]:
    """Return the injection of a fault into the loop's process: its camera or its policy."""

    def inject(emulator: EmulatorProcess, loop: subprocess.Popen[str]) -> None:
        assert loop.stdin is not None
        loop.stdin.write(word + "\n")
        loop.stdin.flush()

    return inject


def kill(number: int) -> Callable[[EmulatorProcess, subprocess.Popen[str]], None]:
    """Return a signal to the loop's process."""
    return lambda emulator, loop: loop.send_signal(number)


FAULTS = (
    Fault("controller or bus falls silent", device("silence")),
    Fault("connection closed (xArm), adapter pulled (Aloha)", device("disconnect"), ("xarm7",)),
    Fault("connection closed (xArm), adapter pulled (Aloha)", device("unplug"), ("aloha",)),
    Fault("motion calls block for 190 ms now and then", device("stall"), ("xarm7",), bearable=True),
    Fault("collision, C31", device("collision"), ("xarm7",)),
    Fault("safety boundary, C35", device("boundary"), ("xarm7",)),
    Fault("motor overload", device("overload"), ("aloha",)),
    Fault("the supply's voltage sags to 9.2 V", device("sag"), ("aloha",)),
    Fault("a motor does not answer", device("missing"), ("aloha",)),
    Fault("answers with wrong checksums", device("corrupt"), ("aloha",)),
    Fault("answers come late", device("slow"), ("aloha",), bearable=True),
    Fault("camera repeats its last picture", inside("freeze")),
    Fault("camera delivers nothing", inside("hang")),
    Fault("camera loses 3 pictures on end, every 1.5 s", inside("burst"), bearable=True),
    Fault("camera loses 15 pictures on end", inside("outage")),
    Fault("camera unplugged", inside("unplug")),
    Fault("policy answers NaN", inside("nan")),
    Fault("policy hangs for a second", inside("stall")),
    Fault("Ctrl-C (SIGINT)", kill(signal.SIGINT)),
    Fault("SIGTERM", kill(signal.SIGTERM)),
    Fault("kill -9 (SIGKILL)", kill(signal.SIGKILL)),
    Fault("the loop's process hangs (SIGSTOP)", kill(signal.SIGSTOP)),
)


@dataclass(frozen=True)
class Row:
    """What happened."""

    fault: str
    did: str
    noticed_ms: float | None  # from the fault to the driver's stop; None: nobody was left to notice
    rest_ms: float | None  # from the fault to the arm at rest; None: the loop went on
    travel_rad: float  # largest motion of any joint meanwhile
    cleared: bool  # whether the device's error was gone afterwards without a person


class NotBegunError(Exception):
    """The loop stopped before the fault: on a computer with other work, frames and reports can come late."""


class Watcher:
    """Samples the arm's true joints from the emulator in a thread."""

    def __init__(self, emulator: EmulatorProcess, model: mujoco.MjModel, robot: str) -> None:
        joints = [model.joint(name) for name in ROBOTS.load(robot).joints]
        self._qpos = [int(joint.qposadr[0]) for joint in joints]
        self._qvel = [int(joint.dofadr[0]) for joint in joints]
        self._emulator = emulator
        self.samples: list[tuple[float, float, np.ndarray]] = []  # (s, fastest joint rad/s, positions)
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop sampling."""
        self._closed.set()
        self._thread.join()

    def inject(self, action: Callable[[], None]) -> None:
        """Do something with the emulator between two samples."""
        with self._lock:
            action()

    def at_rest(self, since: float) -> float | None:
        """Return when the arm had come to rest for good after a time, or None."""
        later = [(t, speed) for t, speed, _ in self.samples if t >= since]
        moving = [t for t, speed in later if speed > REST_RAD_S]
        rest = moving[-1] if moving else since
        return rest if later and later[-1][0] - rest >= REST_S else None

    def travel(self, since: float) -> float:
        """Return how far any joint went from where it was at a time, rad."""
        positions = [q for t, _, q in self.samples if t >= since]
        return float(np.abs(np.array(positions) - positions[0]).max())

    def _run(self) -> None:
        while not self._closed.wait(0.01):
            with self._lock:
                arrays = self._emulator.look().arrays
            fastest = float(np.abs(arrays["qvel"][self._qvel]).max())
            self.samples.append((time.monotonic(), fastest, arrays["qpos"][self._qpos].copy()))


def try_fault(fault: Fault, robot: str) -> Row:
    """Run the loop, inject one fault while the arm moves, and return what was seen."""
    model = SCENES.load(system_of_robot(robot).scene)(0.005)
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    with EmulatorProcess(robot, model) as emulator:
        emulator.reset(PlantStart(data.qpos, data.qvel, data.ctrl), 0)
        command = [sys.executable, "-m", "benchmarks.loop_process", robot, *emulator.settings]
        loop = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert loop.stdout is not None
        if (said := loop.stdout.readline().strip()) != "moving":
            loop.kill()
            loop.communicate()
            raise NotBegunError(said)
        watcher = Watcher(emulator, model, robot)
        time.sleep(0.7)
        begun = time.monotonic()
        watcher.inject(lambda: fault.inject(emulator, loop))
        report = _report(loop)
        deadline = time.monotonic() + PATIENCE_S
        rest = None
        while rest is None and time.monotonic() < deadline:
            time.sleep(0.05)
            rest = watcher.at_rest(begun)
        figures = emulator.look().values["figures"]
        watcher.close()
        went_on = fault.bearable and not report and loop.poll() is None and rest is None
        loop.kill()
        loop.communicate()
    if went_on:
        return Row(fault.name, f"went on for {PATIENCE_S:g} s, within its limits", None, None, 0.0, False)
    if rest is None:
        raise RuntimeError(f"{robot}: the arm never came to rest after: {fault.name}")
    stopped = report.get("stopped")
    if stopped is not None and stopped < begun:
        raise NotBegunError(report["reason"])
    noticed = None if stopped is None else (stopped - begun) * 1e3
    had_error = fault.name.startswith(("collision", "safety", "motor overload", "the supply"))
    cleared = had_error and not (figures.get("error") or figures.get("errors"))
    return Row(fault.name, _did(report, figures), noticed, (rest - begun) * 1e3, watcher.travel(begun), cleared)


def _patiently(fault: Fault, robot: str) -> Row:
    """Try again where the loop did not get as far as the fault."""
    for _ in range(ATTEMPTS - 1):
        try:
            return try_fault(fault, robot)
        except NotBegunError as error:
            print(f"(once more: {error})", file=sys.stderr)
    return try_fault(fault, robot)


def _report(loop: subprocess.Popen[str]) -> Mapping[str, Any]:
    """Return the last line that the loop's process says, or nothing if it was killed."""
    assert loop.stdout is not None
    ready, _, _ = select.select([loop.stdout], [], [], PATIENCE_S)
    line = loop.stdout.readline() if ready else ""
    return dict(json.loads(line)) if line.strip() else {}


def _did(report: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """Return in a few words what the loop did."""
    tripped = figures.get("stopped_by_watchdog")
    if not report:
        if tripped:
            return f"was gone; bus watchdog stopped {len(tripped)} motors"
        return "was gone; the driver's process stopped the arm" if figures.get("state") == STOPPED else "was gone"
    if report["outcome"] == "interrupted":
        return "parked and held"
    return f"stopped softly: {report['reason']}"


def main(robots: tuple[str, ...] = ("xarm7", "aloha")) -> None:
    """Print the table of each robot."""
    for robot in robots:
        print(f"\n### {robot}, {1 / PERIOD_S:g} Hz, through the vendor's SDK\n")
        print("| fault | what the loop did | noticed after | arm at rest after | largest joint travel |")
        print("|---|---|---|---|---|")
        for fault in FAULTS:
            if robot in fault.robots:
                row = _patiently(fault, robot)
                noticed = "-" if row.noticed_ms is None else f"{row.noticed_ms:.0f} ms"
                rest = "-" if row.rest_ms is None else f"{row.rest_ms:.0f} ms"
                travel = "-" if row.rest_ms is None else f"{row.travel_rad:.3f} rad"
                did = row.did + ("; ERROR CLEARED BY ITSELF" if row.cleared else "")
                print(f"| {row.fault} | {did} | {noticed} | {rest} | {travel} |", flush=True)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or ("xarm7", "aloha"))
