"""Device emulators as a command: a robot that speaks the vendor's protocol, with MuJoCo as its body."""

import time
from typing import Any

from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import Reporter


def run(
    robot: str, address: str, seconds: float | None, seed: int, reporter: Reporter, interrupt: Interrupt
) -> dict[str, Any]:
    """Emulate ``robot`` until Ctrl-C or for ``seconds``; return what it did.

    ``seed`` is kept for emulators with random faults. Raises MissingEnvironmentError for Aloha and for an address that
    cannot be listened on.
    """
    del seed
    if robot != "xarm7":
        raise MissingEnvironmentError(
            f"there is no wire-level emulator of '{robot}' in this version",
            "rehearse in the simulated twin: s2rctl deploy REF --mode rehearse",
        )
    from s2rctl.emulation.xarm.server import EmulatedXArm
    from s2rctl.scene import SCENES

    with EmulatedXArm(SCENES.load("reach")(0.005), address) as emulator:
        reporter.start("emulate xarm7", seconds or 0.0, "s")
        reporter.note(f"listening; connect with --set robot.address={emulator.address}")
        begun = time.monotonic()
        while not interrupt.requested and (seconds is None or time.monotonic() - begun < seconds):
            time.sleep(0.05)
            reporter.update(round(time.monotonic() - begun, 1), {"commands": emulator.controller.commands})
        elapsed = time.monotonic() - begun
    reporter.finish(f"{emulator.controller.commands} commands")
    return {"robot": robot, "address": emulator.address, "seconds": round(elapsed, 3), **emulator.figures()}
