"""Device emulators as a command: a robot that speaks the vendor's protocol, with MuJoCo as its body."""

import difflib
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from s2rctl.core.errors import UsageError
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import Reporter
from s2rctl.emulation.device import Device
from s2rctl.scene import SCENES
from s2rctl.systems import system_of_robot


def run(
    robot: str,
    address: str | None,
    folder: Path | None,
    seconds: float | None,
    faults: Sequence[str],
    reporter: Reporter,
    interrupt: Interrupt,
) -> dict[str, Any]:
    """Emulate ``robot`` until Ctrl-C or for ``seconds``; return what it did.

    ``address`` is where an xArm listens, ``folder`` where the Aloha's ports get lasting names; ``faults`` are
    ``name@seconds``. Raises UsageError for a fault that the robot does not have, for an option of the other robot and
    for a folder in which something has a port's name, and MissingEnvironmentError for an address that cannot be
    listened on.
    """
    device = _make(robot, address, folder)
    plan = sorted(_fault(device, robot, text) for text in faults)
    with device:
        settings = device.settings()
        reporter.start(f"emulate {robot}", seconds or 0.0, "s")
        reporter.note("running; connect with " + " ".join(f"--set {setting}" for setting in settings))
        begun = time.monotonic()
        elapsed = 0.0
        while not interrupt.requested and (seconds is None or elapsed < seconds):
            time.sleep(0.05)
            elapsed = time.monotonic() - begun
            while plan and elapsed >= plan[0][0]:
                name = plan.pop(0)[1]
                device.faults[name]()
                reporter.note(f"fault: {name}")
            reporter.update(round(elapsed, 1), {"commands": device.figures()["commands"]})
        figures = device.figures()
    reporter.finish(f"{figures['commands']} commands")
    return {"robot": robot, "settings": settings, "seconds": round(elapsed, 3), **figures}


def _make(robot: str, address: str | None, folder: Path | None) -> Device:
    """Return the emulator, not yet running."""
    if robot == "xarm7":
        if folder is not None:
            raise UsageError("an xArm controller has an address, not serial ports", "omit --ports")
        from s2rctl.emulation.xarm.server import EmulatedXArm

        return EmulatedXArm(SCENES.load(system_of_robot(robot).scene)(0.005), address or "127.0.0.1")
    if address is not None:
        raise UsageError("the Aloha has serial ports, not an address", "omit --address")
    from s2rctl.emulation.dynamixel.ports import PortNames
    from s2rctl.emulation.dynamixel.server import EmulatedAloha

    names = PortNames(folder) if folder is not None else None  # refuses before anything is made
    return EmulatedAloha(SCENES.load(system_of_robot(robot).scene)(0.005), names=names)


def _fault(device: Device, robot: str, text: str) -> tuple[float, str]:
    """Return (s, name) of ``name@seconds``."""
    name, _, at = text.partition("@")
    if name not in device.faults:
        close = difflib.get_close_matches(name, list(device.faults), 1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(sorted(device.faults))}"
        raise UsageError(f"the emulated {robot} has no fault '{name}'", hint)
    try:
        seconds = float(at or 0.0)
    except ValueError:
        seconds = math.nan
    if not 0.0 <= seconds < math.inf:
        raise UsageError(f"'{at}' is not a time in seconds", f"--fault {name}@5")
    return seconds, name
