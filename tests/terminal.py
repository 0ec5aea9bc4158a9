"""A terminal that a command runs in and that can hang up, as one does whose ssh session drops."""

import fcntl
import os
import pty
import select
import subprocess
import termios
import threading
from collections.abc import Mapping, Sequence


class Terminal:
    """Runs a command as the leader of a session whose controlling terminal this is; use as a context."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=dict(environment),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self._gone = threading.Event()
        self._said = bytearray()
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self.process.kill()
        self.process.wait()

    @property
    def said(self) -> str:
        """What was written to it."""
        return self._said.decode(errors="replace")

    def hang_up(self) -> None:
        """Hang up: the kernel signals, and every write to the terminal fails from now on."""
        if not self._gone.is_set():
            self._gone.set()
            self._reader.join()
            os.close(self._master)

    def _read(self) -> None:
        while not self._gone.is_set():
            if select.select([self._master], [], [], 0.05)[0]:
                try:
                    self._said += os.read(self._master, 65536)
                except OSError:  # nobody has it open any more
                    return
