"""What the other side of a socket may announce, and what it may not."""

import contextlib
import json
import socket
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2rctl.core import channel
from s2rctl.core.channel import Message, as_error, fault, receive, send
from s2rctl.core.errors import MissingEnvironmentError, S2rError, SafetyStop


def head(arrays=(), name="x", values=None):
    return json.dumps({"name": name, "values": values or {}, "arrays": list(arrays)}).encode()


def framed(raw, data=b""):
    return len(raw).to_bytes(4, "little") + raw + data


def heard(data):
    """Return what is received of bytes after which the other side closes."""
    ours, theirs = socket.socketpair()
    writer = threading.Thread(target=_write, args=(ours, data), daemon=True)
    writer.start()
    with theirs:
        return receive(theirs)


def _write(connection, data):
    with connection, contextlib.suppress(OSError):
        connection.sendall(data)


BAD = {
    "a head of four gigabytes": b"\xff\xff\xff\xff",
    "no JSON": framed(b"\xff\xfe{"),
    "JSON that is deep": framed(b"[" * 200_000),
    "JSON that is a list": framed(b"[]"),
    "nothing": framed(b"{}"),
    "a name that is a number": framed(b'{"name": 1, "values": {}, "arrays": []}'),
    "values that are a list": framed(b'{"name": "x", "values": [], "arrays": []}'),
    "arrays that are a number": framed(b'{"name": "x", "values": {}, "arrays": 3}'),
    "very many arrays": framed(head([[str(n), "<f4", [0]] for n in range(channel.MOST_ARRAYS + 1)])),
    "an array that is a number": framed(head([1])),
    "an array without a shape": framed(head([["a", "<f4"]])),
    "a type that is a number": framed(head([["a", 4, [1]]])),
    "a type that is none": framed(head([["a", "quux", [1]]])),
    "a type made of types": framed(head([["a", "f4,f4", [1]]]), bytes(8)),
    "nothing, many times": framed(head([["a", "S0", [2**33]]])),
    "text": framed(head([["a", "<U1", [1]]]), bytes(4)),
    "void": framed(head([["a", "V4", [1]]]), bytes(4)),
    "objects": framed(head([["a", "|O", [1]]]), bytes(8)),
    "a negative size": framed(head([["a", "<f4", [-1]]])),
    "two negative sizes": framed(head([["a", "<f4", [-2, -2]]]), bytes(16)),
    "a size that is no integer": framed(head([["a", "<f4", [1.5]]]), bytes(4)),
    "a size that is true": framed(head([["a", "<f4", [True]]]), bytes(4)),
    "eight exabytes": framed(head([["a", "<f8", [2**60]]])),
    "a product that overflows": framed(head([["a", "<f4", [2**32, 2**32]]])),
    "much in many arrays": framed(head([[str(n), "<f8", [1 << 22]] for n in range(64)])),
    "many dimensions": framed(head([["a", "<f4", [1] * 40]]), bytes(4)),
    "two of one name": framed(head([["a", "<f4", [1]], ["a", "<f4", [1]]]), bytes(8)),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_message_is_refused_before_anything_is_made_for_it(name):
    with pytest.raises(ValueError):
        heard(BAD[name])


@pytest.mark.parametrize("cut", [0, 3, 4, 10, -1])
def test_a_message_that_breaks_off_is_the_end_of_the_stream(cut):
    whole = framed(head([["a", "<f4", [2]]]), bytes(8))
    assert heard(whole[:cut]) is None
    assert heard(whole).arrays["a"].shape == (2,)


def test_bytes_that_trickle_do_not_buy_time():
    ours, theirs = socket.socketpair()
    ended = threading.Event()

    def trickle():
        for byte in framed(head(values={"text": "x" * 5000})):
            if ended.wait(0.02):
                return
            with contextlib.suppress(OSError):
                ours.sendall(bytes([byte]))

    writer = threading.Thread(target=trickle, daemon=True)
    writer.start()
    try:
        with pytest.raises(TimeoutError):
            receive(theirs, 0.3)
        assert writer.is_alive()  # it would have gone on for minutes
    finally:
        ended.set()
        writer.join()


def test_errors_come_over_as_they_are_and_nothing_else_is_made_of_their_names():
    stop = as_error(fault(SafetyStop("a", "b")))
    assert isinstance(stop, SafetyStop) and (stop.message, stop.hint) == ("a", "b")
    for kind in ("ExitCode", "__doc__", "Exception", "nonsense"):
        error = as_error(Message("error", {"kind": kind, "message": "a", "hint": "b"}))
        assert type(error) is MissingEnvironmentError
    for values in ({}, {"kind": 1}, {"kind": "RunError", "message": [], "hint": ""}):
        with pytest.raises(ValueError):
            as_error(Message("error", values))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80) | st.builds(framed, st.binary(max_size=60), st.binary(max_size=20)))
def test_no_bytes_can_do_more_than_be_refused(data):
    with contextlib.suppress(ValueError):
        heard(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)
KINDS = st.sampled_from(["<f4", "|b1", "S0", "|O", "f4,f4", ">i8", "<M8[s]"])
ROWS = st.lists(st.tuples(st.text(max_size=3), KINDS, st.lists(st.integers(-2, 2**40), max_size=3)) | JSON, max_size=3)


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries({}, optional={"name": st.text(max_size=4) | JSON, "values": JSON, "arrays": ROWS | JSON}))
def test_no_head_can_do_more_than_be_refused(said):
    with contextlib.suppress(ValueError, S2rError):
        heard(framed(json.dumps(said).encode(), bytes(64)))


def test_large_arrays_come_whole():
    ours, theirs = socket.socketpair()
    sent = np.arange(1 << 19, dtype="<f8").reshape(2, -1)
    writer = threading.Thread(target=send, args=(ours, Message("x", {}, {"a": sent})))
    writer.start()
    np.testing.assert_array_equal(receive(theirs).arrays["a"], sent)
    writer.join()
