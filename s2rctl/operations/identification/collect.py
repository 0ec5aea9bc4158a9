"""Excites a robot through its own driver and the safety filter, and records it as a deployment is recorded."""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from s2rctl.control.envelope import STATE
from s2rctl.control.recorder import McapRecorder
from s2rctl.control.watchdog import Watchdog
from s2rctl.core.clock import Clock, RealClock
from s2rctl.core.errors import RunError, UsageError
from s2rctl.operations.calibration.arm import WATCHDOG_PERIODS, Driven
from s2rctl.operations.identification.rehearsal import Emulated
from s2rctl.operations.identification.work import TRUTH, Work, bench_of, planned
from s2rctl.robots import make_joint_driver
from s2rctl.robots.cameras.stream import Shot
from s2rctl.robots.protocol import Robot, StopLevel, Target
from s2rctl.schema.cameras import Intrinsics

TRIES = 3
LOST_S = 0.02
"""A rehearsed round in which the emulated arm stood still for longer, as on a busy computer, is played again."""


class _NoEye:
    """Nobody looks."""

    serial = ""
    lens: Intrinsics | None = None

    def shot(self) -> Shot | None:
        """Return nothing."""
        return None

    def close(self) -> None:
        """Nothing is open."""


class Excited(Driven):
    """A robot that is driven along ways in time; every command passes the safety filter."""

    def play(self, way: np.ndarray, columns: np.ndarray, recorder: McapRecorder, clock: Clock, period: float) -> None:
        """Drive slowly to the beginning of a way (steps, j), then along it, a row each period, and record that.

        Raises SafetyStop for what the filter or the robot says, Interrupted on Ctrl-C; the arm then holds.
        """
        robot = self._robot
        reading = self.where()
        reading[columns] = way[0]
        try:
            guard = Watchdog(lambda: robot.stop(StopLevel.SOFT), WATCHDOG_PERIODS * period, clock)
            with guard if clock.realtime else contextlib.nullcontext() as watchdog:
                feed = watchdog.feed if watchdog is not None else lambda: None
                self._drive(reading, feed)
                deadline = clock.now()
                for number, row in enumerate(way):
                    reading[columns] = row
                    self._record(number, reading, recorder, clock)
                    feed()
                    deadline += period
                    clock.sleep_until(deadline)
                    deadline = max(deadline, clock.now() - period)
            robot.hold()
        except KeyboardInterrupt:
            robot.stop(StopLevel.HARD)
            raise
        except BaseException:
            robot.stop(StopLevel.SOFT)
            raise

    def _record(self, number: int, reading: np.ndarray, recorder: McapRecorder, clock: Clock) -> None:
        """Send one command and note it with what was read before."""
        self._look_for_stop()
        begun = clock.now()
        state = self._read()
        ages = {STATE: begun - state.t}
        space = self._robot.specification.space
        wanted = self._memory.last.copy()
        arm = space.of_kind("joint", "slide")
        wanted[arm] = space.values(reading, state.tool)[arm]
        action = np.clip((wanted - self._memory.last) / self._step, -1.0, 1.0)
        self._memory, verdict = self._filter.step(self._memory, action, state, ages)
        for name in verdict.interventions:
            self.interventions[name] = self.interventions.get(name, 0) + 1
        self._robot.send(Target(verdict.target))
        values = {
            "step": number,
            "ages": ages,
            "joint_pos": state.joint_pos,
            "joint_vel": state.joint_vel,
            "codes": list(state.codes),
            "target": verdict.target,
            "sent": True,
            "interventions": list(verdict.interventions),
            "sent_ms": (clock.now() - begun) * 1e3,
        }
        recorder.step(begun, values, {})


def collect(work: Work, fresh: bool) -> dict[str, Any]:
    """Play the rounds that are still missing; return what there is."""
    profile, settings = work.profile, work.profile.identification
    if work.mode == "recordings":
        raise UsageError(
            "recordings that are there already need no collecting", f"s2rctl sysid solve -p {profile.name} --from FILE"
        )
    work.folder.mkdir(parents=True, exist_ok=True)
    if fresh:
        shutil.rmtree(work.folder)
        work.folder.mkdir()
    bench = bench_of(profile)
    clock = RealClock()
    safety, period = settings.safety(profile.deploy.safety), profile.simulation.period_s
    work.reporter.start("collect", settings.rounds, "rounds")
    with _opened(work) as (robot, lost):
        ways, amplitude = planned(profile, bench, robot.specification)
        if amplitude < settings.amplitude_rad:
            work.reporter.note(f"joints move by {amplitude:.2f} rad only: there is no more room around home")
        source = Excited(robot, _NoEye(), safety, clock, work.interrupt, period_s=period, settle_s=0.0)
        try:
            for number, way in enumerate(ways):
                path = work.folder / f"round-{number + 1:02d}.mcap"
                if not path.is_file():
                    header = _header(work, source, safety.joint_speed)
                    _played(work, lost, path, partial(_play, source, way, bench.columns, path, header, clock, period))
                work.reporter.update(number + 1, {})
        finally:
            source.close()
            bench.close()
    held = source.interventions
    return {"rounds": len(ways), "seconds": sum(len(way) for way in ways) * period, "limited": held,
            "amplitude_rad": amplitude, "folder": str(work.folder)}  # fmt: skip


def _played(work: Work, lost: Callable[[], float], path: Path, play: Callable[[], None]) -> None:
    """Play a round, again where the emulated arm was kept from running; RunError where it always is."""
    for _ in range(TRIES):
        before = lost()
        play()
        if lost() - before <= LOST_S:
            return
        path.unlink()
        work.reporter.note(f"{path.stem} again: this computer kept the emulated arm from running")
    raise RunError("this computer is too busy for an emulated arm in real time", "close other programs and run again")


def _play(
    source: Excited,
    way: np.ndarray,
    columns: Sequence[int] | np.ndarray,
    path: Path,
    header: dict[str, str],
    clock: Clock,
    period: float,
) -> None:
    """Record one round; a round that was not finished leaves no recording."""
    part = path.with_suffix(".part")
    recorder = McapRecorder(part, header, images=False)
    try:
        source.play(way, np.asarray(columns), recorder, clock, period)
    except BaseException:
        with contextlib.suppress(OSError):
            recorder.close({"outcome": "stopped"})
            part.unlink()
        raise
    recorder.close({"outcome": "finished"})
    part.replace(path)


@contextlib.contextmanager
def _opened(work: Work) -> Iterator[tuple[Robot, Callable[[], float]]]:
    """Yield the robot that the mode asks for, and what tells how many seconds it was kept from running."""
    profile = work.profile
    safety = profile.identification.safety(profile.deploy.safety)
    if work.mode == "live":
        yield make_joint_driver(profile.robot, safety, profile.simulation.period_s), lambda: 0.0
        return
    noted = work.folder / TRUTH
    seed = json.loads(noted.read_text())["seed"] if noted.is_file() else profile.seed
    emulated = Emulated(profile, seed)
    try:
        noted.write_text(json.dumps({"seed": seed, **emulated.truth()}, indent=1))
        yield emulated.robot, emulated.lost
    finally:
        emulated.close()


def _header(work: Work, source: Excited, joint_speed: float) -> dict[str, str]:
    """Return what a recording says of itself."""
    profile = work.profile
    speed = profile.setpoint_speed(joint_speed)
    return {
        "profile": profile.name,
        "system": profile.system,
        "robot": profile.robot.name,
        "rate_hz": f"{profile.simulation.rate_hz:g}",
        "mode": "live" if work.mode == "live" else "rehearse",
        "command": "joints",
        "serial": source.identity.serial,
        "setpoint_speed": "" if speed is None else f"{speed:g}",
        "made_at": f"{time.time():.0f}",
    }
