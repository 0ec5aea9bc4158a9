"""The parent's side of an emulator process: start it, begin episodes, look at it, receive its camera shots."""

import contextlib
import queue
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import mujoco
import numpy as np

from s2rctl.core.channel import BadMessage, Message, as_error, receive, send
from s2rctl.core.errors import RunError
from s2rctl.core.interpreter import python
from s2rctl.emulation.plant import PlantStart
from s2rctl.scene.poses import Poses

START_S = 30.0
"""A process that has not started its device by then will not."""
ANSWER_S = 5.0


@dataclass(frozen=True)
class Shot:
    """What the cameras could see at one time."""

    t: float  # s, monotonic
    begun: float  # s, when the episode began
    poses: Poses


class EmulatorProcess:
    """A device in its own process; use as a context. ``on_shot`` is called from a thread for every camera shot."""

    def __init__(self, robot: str, model: mujoco.MjModel, on_shot: Callable[[Shot], None] = lambda shot: None) -> None:
        self.robot = robot
        self.settings: list[str] = []
        self._on_shot = on_shot
        self._connection, theirs = socket.socketpair()
        for end in (self._connection, theirs):
            end.settimeout(None)  # the xArm SDK sets a process-wide time-out, also later, from its threads
        self._answers: queue.Queue[Message | None] = queue.Queue()
        with tempfile.TemporaryDirectory(prefix="s2rctl-") as folder:
            path = Path(folder) / "scene.mjb"
            mujoco.mj_saveModel(model, str(path))
            command = python("-m", "s2rctl.emulation.process", robot, str(path), str(theirs.fileno()))
            # A session of its own: what the terminal says is this process's to answer, which parks the arm first.
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            theirs.close()
            self._reader = threading.Thread(target=self._read, name="emulator", daemon=True)
            self._reader.start()
            try:
                self.settings = self._greeted(self._answer(START_S))
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> "EmulatorProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Process number of the emulator."""
        return self._process.pid

    def reset(
        self,
        start: PlantStart,
        seed: int,
        *,
        latency_s: tuple[float, float] = (0.0, 0.0),
        period: float = 0.0,
        faults: Sequence[tuple[float, str]] = (),
    ) -> Message:
        """Begin an episode and return how it looks; ``period`` s between camera shots, 0 for none.

        ``faults`` are (s since the beginning, name in the device's ``faults``).
        """
        arrays = {"qpos": start.qpos, "qvel": start.qvel, "ctrl": start.ctrl}
        arrays |= {f"field:{name}": np.asarray(value) for name, value in start.fields.items()}
        values = {"seed": seed, "latency_s": list(latency_s), "period": period, "faults": [list(f) for f in faults]}
        return self._ask(Message("reset", values, arrays))

    def look(self) -> Message:
        """Return qpos, qvel, ctrl and sensordata now, with the time ``t`` and the device's ``figures``."""
        return self._ask(Message("look"))

    def inject(self, fault: str) -> None:
        """Disturb the device now."""
        self._ask(Message("fault", {"fault": fault}))

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(OSError):  # it has gone by itself
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()
        try:
            self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, message: Message) -> Message:
        try:
            send(self._connection, message)
        except OSError as error:
            raise _gone(self.robot) from error
        return self._answer(ANSWER_S)

    def _answer(self, seconds: float) -> Message:
        """Return the next answer; raise the device's own error, or RunError when there is none."""
        try:
            message = self._answers.get(timeout=seconds)
        except queue.Empty:
            raise RunError(
                f"the emulated {self.robot} does not answer", "check whether the computer is overloaded"
            ) from None
        if message is None:
            raise _gone(self.robot)
        if message.name == "error":
            try:
                failure = as_error(message)
            except BadMessage as error:
                raise _gone(self.robot) from error
            raise failure
        return message

    def _greeted(self, message: Message) -> list[str]:
        try:
            return [str(setting) for setting in message.items("settings")]
        except BadMessage as error:
            raise _gone(self.robot) from error

    def _read(self) -> None:
        """Sort what comes into shots and answers."""
        while True:
            try:
                message = receive(self._connection)
                shot = _shot(message) if message is not None and message.name == "shot" else None
            except (OSError, BadMessage):
                message = shot = None
            if message is None:
                self._answers.put(None)
                return
            if shot is not None:
                self._on_shot(shot)
            else:
                self._answers.put(message)


def _shot(message: Message) -> Shot:
    try:
        poses = Poses(**message.arrays)  # type: ignore[arg-type]
    except TypeError as error:
        raise BadMessage("a shot without the poses of all things") from error
    return Shot(message.number("t"), message.number("begun"), poses)


def _gone(robot: str) -> RunError:
    return RunError(
        f"the process of the emulated {robot} has ended", "see its stderr output above; run the command again"
    )
