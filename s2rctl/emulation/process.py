"""An emulated device in a process of its own: ``python -m s2rctl.emulation.process ROBOT MODEL DESCRIPTOR``.

The vendor's protocol runs on the device's own wire; a socket that the parent left open (its descriptor is the last
argument) carries resets, state queries and camera shots. When the parent exits, the process ends. Ctrl-C and hang-ups
are left to the parent: a device must not disappear while its arm is being parked.
"""

import contextlib
import socket
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

import mujoco
import numpy as np

from s2rctl.core.channel import BadMessage, Message, fault, number, receive, send
from s2rctl.core.errors import S2rError, UsageError
from s2rctl.core.interrupt import leave_to_parent
from s2rctl.core.tables import Table
from s2rctl.emulation.device import Device
from s2rctl.emulation.plant import PlantStart

# Each row is a function (model) -> Device.
DEVICES = Table(
    "emulated device",
    {
        "aloha": "s2rctl.emulation.dynamixel.server:make",
        "xarm7": "s2rctl.emulation.xarm.server:make",
    },
)


@dataclass
class _Episode:
    """What happens in the running episode, times in s of the plant."""

    begun: float = 0.0
    period: float = 0.0  # of camera shots; 0: none
    next_shot: float = 0.0
    faults: list[tuple[float, str]] = field(default_factory=list)  # (s since the beginning, name), soonest first


class Host:
    """Serves one device to one parent."""

    def __init__(self, device: Device, connection: socket.socket) -> None:
        self._device, self._connection = device, connection
        self._episode = _Episode()
        self._sending = threading.Lock()
        device.on_tick = self._on_tick

    def serve(self) -> None:
        """Answer until the parent closes."""
        self._send(Message("ready", {"settings": self._device.settings()}))
        while (message := receive(self._connection)) is not None:
            try:
                answer = self._answer(message)
            except BadMessage as error:
                answer = fault(UsageError(f"the emulator cannot use this: {error}"))
            self._send(answer)

    def _answer(self, message: Message) -> Message:
        if message.name == "reset":
            return self._reset(message)
        if message.name == "fault":
            self._device.faults[self._fault(message.values.get("fault"))]()
            return Message("done")
        if message.name == "look":
            return self._look()
        raise BadMessage(f"unknown message '{message.name[:64]}'")

    def _reset(self, message: Message) -> Message:
        """Begin an episode and return how it looks; nothing is touched unless all of the message can be used."""
        seed = message.values.get("seed")
        if type(seed) is not int or seed < 0:
            raise BadMessage("a seed that is none")
        rng = np.random.default_rng(seed)
        low, high = (number(value, "a latency that is none", 0.0) for value in _pair(message.items("latency_s")))
        if high < low:
            raise BadMessage("a latency that is no range")
        rows = [_pair(row) for row in message.items("faults")]
        faults = sorted((number(at, "a fault without a time"), self._fault(name)) for at, name in rows)
        period = message.number("period", 0.0)
        start = self._start(message)
        device = self._device
        with device.lock:
            device.set_latency(lambda: float(rng.uniform(low, high)))
            device.reset(start)
            now = device.plant.time
            self._episode = _Episode(now, period, now, faults)
            self._shoot()
        return self._look()

    def _fault(self, name: Any) -> str:
        if not isinstance(name, str) or name not in self._device.faults:
            raise BadMessage(f"a fault that is none: {str(name)[:64]}")
        return name

    def _start(self, message: Message) -> PlantStart:
        """Return where the episode begins; BadMessage for what does not fit the model."""
        model, data = self._device.plant.model, self._device.plant.data
        found = {name: message.array(name) for name in ("qpos", "qvel", "ctrl")}
        fields = {name.partition(":")[2]: a for name, a in message.arrays.items() if name.startswith("field:")}
        places = [(array, getattr(data, name)) for name, array in found.items()]
        places += [(array, getattr(model, name, None)) for name, array in fields.items()]
        for array, place in places:
            if not isinstance(place, np.ndarray) or place.shape != array.shape or not np.isfinite(array).all():
                raise BadMessage("an array that is no part of the model, or of another size, or not finite")
        return PlantStart(found["qpos"], found["qvel"], found["ctrl"], fields)

    def _look(self) -> Message:
        """Return the whole state now, as it would look to a sensor."""
        device = self._device
        with device.lock:
            model, data = device.plant.model, device.plant.data
            mujoco.mj_forward(model, data)
            arrays = {name: getattr(data, name).copy() for name in ("qpos", "qvel", "ctrl", "sensordata")}
            values = {"t": device.plant.time + device.lost(), "lost": device.lost(), "figures": device.figures()}
            return Message("look", values, arrays)

    def _on_tick(self) -> None:
        """Inject what is due and take a camera shot at every control period."""
        device, episode = self._device, self._episode
        t = device.plant.time
        while episode.faults and t - episode.begun >= episode.faults[0][0] - 1e-9:
            device.faults[episode.faults.pop(0)[1]]()
        if t >= episode.next_shot - 1e-9:
            self._shoot()

    def _shoot(self) -> None:
        """Send what the cameras can see now, and set the time of the next shot."""
        device, episode = self._device, self._episode
        if not episode.period:
            return
        episode.next_shot += episode.period
        mujoco.mj_forward(device.plant.model, device.plant.data)
        poses = device.plant.poses()._asdict()
        lost = device.lost()
        self._send(Message("shot", {"t": device.plant.time + lost, "begun": episode.begun + lost}, poses))

    def _send(self, message: Message) -> None:
        with self._sending:
            send(self._connection, message)


def _pair(values: Any) -> list[Any]:
    if not isinstance(values, list) or len(values) != 2:
        raise BadMessage("a list that is no pair")
    return values


def main(arguments: list[str]) -> int:
    """Run until the parent closes the socket; return the exit code."""
    name, model, descriptor = arguments
    leave_to_parent()
    connection = socket.socket(fileno=int(descriptor))
    try:
        device: Device = DEVICES.load(name)(mujoco.MjModel.from_binary_path(model))
        with device, contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the parent may go at any time
            try:
                Host(device, connection).serve()
            except BadMessage as error:  # where the next message begins is not known any more
                raise UsageError(f"the emulator cannot use this: {error}") from error
    except S2rError as error:
        with contextlib.suppress(OSError):
            send(connection, fault(error))
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise UsageError("usage: python -m s2rctl.emulation.process ROBOT MODEL DESCRIPTOR")
    sys.exit(main(sys.argv[1:]))
