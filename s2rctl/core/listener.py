"""A listening TCP socket that lets in a bounded number of peers, and does not fall silent when descriptors run out."""

import contextlib
import errno
import select
import socket
import threading
import time
from typing import Any

POLL_S = 0.2
_PASSING = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EPROTO}


class Listener(socket.socket):
    """Listens on an IPv4 address; ``most`` connections may be open at one time, more are closed at once.

    Raises OSError when the address cannot be listened on; port 0 takes a free one.
    """

    def __init__(self, host: str, port: int, most: int) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self._most = most
        self._open: list[socket.socket] = []
        self._counting = threading.Lock()
        try:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                self.bind((host, port))
            except UnicodeError as error:  # the resolver does not take every text
                raise OSError(errno.EINVAL, "this is no host name") from error
            self.listen()
            self.settimeout(0.0)
        except OSError:
            self.close()
            raise

    @property
    def peers(self) -> list[socket.socket]:
        """The connections that are still open."""
        with self._counting:
            self._open = [peer for peer in self._open if peer.fileno() >= 0]
            return list(self._open)

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection, blocking, and its address; OSError once this socket is closed."""
        while (number := self.fileno()) >= 0:
            poll = select.poll()
            poll.register(number, select.POLLIN)
            if not poll.poll(POLL_S * 1000):
                continue
            try:
                peer, address = super().accept()
            except BlockingIOError:
                continue  # it has gone again
            except OSError as error:
                if error.errno not in _PASSING:
                    raise
                time.sleep(POLL_S)
                continue
            if len(self.peers) >= self._most:
                peer.close()
                continue
            peer.settimeout(None)
            with self._counting:
                self._open.append(peer)
            return peer, address
        raise OSError(errno.EBADF, "closed")

    def hang_up(self) -> None:
        """Shut every open connection down, whatever its thread waits for."""
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
