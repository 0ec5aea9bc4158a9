"""Messages between two processes of ours: what the other side sends when it is damaged, or not ours at all."""

import json
import socket
import struct
from functools import cache
from typing import Any

import numpy as np

from s2rctl.core.channel import BadMessage, Message, as_error, fault, receive, send
from s2rctl.core.errors import SafetyStop
from tests.fuzz.box import Box
from tests.fuzz.harness import Target
from tests.fuzz.mutate import NUMBERS, Chooser, edit_tree, pick

TYPES = ("<f8", "|b1", "S0", "O", "010", "f4,f4", 4, None)


@cache
def seeds() -> list[bytes]:
    """Return messages as they are sent."""
    messages = (
        Message("read"),
        Message("state", {"t": 0.5, "codes": ["C31"]}, {"joint_pos": np.zeros(7), "tool": np.zeros((1, 7))}),
        fault(SafetyStop("stopped", "look")),
    )
    made = []
    for message in messages:
        one, other = socket.socketpair()
        with one, other:
            send(one, message)
            made.append(other.recv(1 << 16))
    return made


def shape(choose: Chooser, data: bytes) -> bytes:
    """Change the head as a tree, often the type or shape of an array; the length fits again, or not."""
    try:
        (size,) = struct.unpack_from("<I", data)
        head, rest = json.loads(data[4 : 4 + size]), data[4 + size :]
        if head.get("arrays") and choose.below(2):
            row = pick(choose, head["arrays"])
            row[1] = pick(choose, TYPES)
            row[2] = [pick(choose, NUMBERS) for _ in range(choose.below(4))]
        else:
            head = edit_tree(choose, head)
        raw = json.dumps(head).encode()
        length = pick(choose, (0, 1, 1 << 20, (1 << 32) - 1)) if choose.below(8) == 0 else len(raw)
        return struct.pack("<I", length) + raw + rest
    except (ValueError, TypeError, AttributeError, IndexError, KeyError, RecursionError, struct.error):
        return data


def run(data: bytes, box: Box) -> Any:
    one, other = socket.socketpair()
    with one, other:
        one.sendall(data[: 1 << 16])
        one.shutdown(socket.SHUT_WR)
        taken = 0
        try:
            while (message := receive(other, within_s=30.0)) is not None:
                taken += 1
                if message.name == "error":
                    as_error(message)
                message.array("joint_pos")
                message.number("t")
                message.items("codes")
        except BadMessage:
            return "bad", taken
        return "fine", taken


TARGET = Target("channel", run, seeds, shape, pure=True)
