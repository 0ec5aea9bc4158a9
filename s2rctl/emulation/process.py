"""An emulated device in a process of its own: ``python -m s2rctl.emulation.process ROBOT MODEL DESCRIPTOR``.

The vendor's protocol runs on the device's own wire; a socket that the parent left open (its descriptor is the last
argument) carries resets, looks and camera shots. When the parent goes, the process ends. Ctrl-C is the parent's: a
device does not go away while its arm is being parked.
"""

import contextlib
import signal
import socket
import sys
import threading
from dataclasses import dataclass, field

import mujoco
import numpy as np

from s2rctl.core.channel import Message, fault, receive, send
from s2rctl.core.errors import S2rError, UsageError
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
            if message.name == "reset":
                self._reset(message)
            elif message.name == "fault":
                self._device.faults[message.values["fault"]]()
                self._send(Message("done"))
            elif message.name == "look":
                self._send(self._look())
            else:
                raise ValueError(f"unknown message '{message.name}'")

    def _reset(self, message: Message) -> None:
        """Begin an episode and answer with how it looks."""
        values, arrays = message.values, message.arrays
        fields = {name.partition(":")[2]: array for name, array in arrays.items() if name.startswith("field:")}
        rng = np.random.default_rng(values["seed"])
        low, high = values["latency_s"]
        device = self._device
        with device.lock:
            device.set_latency(lambda: float(rng.uniform(low, high)))
            device.reset(PlantStart(arrays["qpos"], arrays["qvel"], arrays["ctrl"], fields))
            now = device.plant.time
            faults = sorted((float(at), str(name)) for at, name in values["faults"])
            self._episode = _Episode(now, float(values["period"]), now, faults)
            self._shoot()
        self._send(self._look())

    def _look(self) -> Message:
        """Return the whole state now, as it would look to a sensor."""
        device = self._device
        with device.lock:
            model, data = device.plant.model, device.plant.data
            mujoco.mj_forward(model, data)
            arrays = {name: getattr(data, name).copy() for name in ("qpos", "qvel", "ctrl", "sensordata")}
            return Message("look", {"t": device.plant.time + device.lost(), "figures": device.figures()}, arrays)

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


def main(arguments: list[str]) -> int:
    """Run until the parent closes the socket; return the exit code."""
    name, model, descriptor = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = socket.socket(fileno=int(descriptor))
    try:
        device: Device = DEVICES.load(name)(mujoco.MjModel.from_binary_path(model))
        with device, contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the parent may go at any time
            Host(device, connection).serve()
    except S2rError as error:
        send(connection, fault(error))
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise UsageError("usage: python -m s2rctl.emulation.process ROBOT MODEL DESCRIPTOR")
    sys.exit(main(sys.argv[1:]))
