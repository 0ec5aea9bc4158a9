"""The page beside a calibration, in a process of its own: ``python -m s2rctl.view.collect_process DESCRIPTOR``.

Drawing a page takes a core, and the arm's watchdogs wait for nobody. What the parent tells over the socket is shown;
when the parent closes it, or ends, the page ends. It also gives way to whatever else wants to run.
"""

import contextlib
import json
import os
import socket
import sys

import numpy as np

from s2rctl.core.channel import BadMessage, Message, fault, receive, send
from s2rctl.core.errors import S2rError
from s2rctl.core.interrupt import leave_to_parent
from s2rctl.schema.deployment import Board
from s2rctl.schema.load import load_resolved
from s2rctl.view.collecting import CollectPage
from s2rctl.view.glance import of_message

NICE = 10


def opened(message: Message) -> CollectPage:
    """Return the page that the first message asks for; BadMessage for one that asks for none."""
    try:
        profile, board = json.loads(message.text("profile")), Board.model_validate_json(message.text("board"))
    except ValueError as error:
        raise BadMessage(f"a page of no profile: {error}") from error
    return CollectPage(load_resolved(profile).profile, board, message.text("host"), int(message.number("port", 0)))


def serve(connection: socket.socket) -> None:
    """Show what comes until the parent closes."""
    first = receive(connection)
    if first is None:
        return
    try:
        page = opened(first)
    except S2rError as error:
        send(connection, fault(error))
        return
    with contextlib.suppress(OSError):
        os.nice(NICE)
    send(connection, Message("ready", {"url": page.url}))
    try:
        while (told := receive(connection)) is not None:
            if told.name == "picture":
                page.see(np.array(told.array("picture")))
            else:
                page(of_message(told))
    finally:
        page.close()


def main() -> None:
    """Serve the parent on the socket whose descriptor is the argument."""
    leave_to_parent()
    connection = socket.socket(fileno=int(sys.argv[1]))
    with contextlib.suppress(ConnectionError):  # the parent has gone
        serve(connection)


if __name__ == "__main__":
    main()
