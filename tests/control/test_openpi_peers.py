"""What a client may do to the policy server: be refused, and harm nobody else."""

import contextlib
import http.client
import itertools
import socket
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("msgpack", reason="the policy server is an extra")
pytest.importorskip("websockets", reason="the policy server is an extra")

import msgpack
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from s2rctl.control.openpi import server as servers
from s2rctl.control.openpi import wire
from s2rctl.control.openpi.layout import Layout
from s2rctl.core.errors import S2rError, UsageError
from s2rctl.schema.cameras import CameraDevice
from s2rctl.schema.load import load_profile
from tests.control.policy_server import ALOHA, Client, encode, observation, server, student_card

HANG_S = 60
"""Far beyond what anything here takes: only a hang is caught."""


@pytest.fixture(scope="module")
def profile():
    return load_profile("aloha-smoke").profile


@pytest.fixture
def served(tmp_path, profile):
    with server(tmp_path / "p.onnx", profile, action=0.0) as running:
        yield running


def comes_in(served):
    """Wait until a new client is served."""
    deadline = time.monotonic() + HANG_S
    while True:
        try:
            client = Client(served)
            break
        except (InvalidStatus, OSError, EOFError, InvalidMessage):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    with client.link:
        assert client.infer(observation())["actions"].shape == (1, 14)


def array(data, dtype, shape):
    return {b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": shape}


def scalar(data, dtype):
    return {b"__npgeneric__": True, b"data": data, b"dtype": dtype}


ANNOUNCED = {
    "nothing, many times": array(b"", "S0", [2**33]),
    "a type that Python would read": array(b"0", "010", [1]),
    "two numbers in one": array(b"000", "i1,i2", [1]),
    "no text, many times": array(b"", "<U0", [2**33]),
    "void": array(b"", "V0", [2**33]),
    "text": array(b"1234", "S4", [1]),
    "dates": array(b"12345678", "<M8[s]", [1]),
    "objects": array(b"12345678", "|O", [1]),
    "a structure": array(b"12345678", "f4,f4", [1]),
    "an array as a type": array(b"12345678", "(2,)f4", [1]),
    "a type made of a list": array(b"1234", [["a", "f4"]], [1]),
    "a long type": array(b"1234", "f4," * 100_000, [1]),
    "more than was sent": array(b"1234", "<f4", [2**40]),
    "less than was sent": array(b"12345678", "<f4", [1]),
    "a product that overflows": array(b"", "<f4", [2**32, 2**32]),
    "an overflow hidden by a zero": array(b"", "<f4", [0, 2**62, 2**62]),
    "a negative size": array(b"1234", "<f4", [-1]),
    "a size that is no integer": array(b"1234", "<f4", [1.0]),
    "a size that is true": array(b"1234", "<f4", [True]),
    "a shape that is no list": array(b"1234", "<f4", 1),
    "many dimensions": array(b"1234", "<f4", [1] * 33),
    "data that is text": array("1234", "<f4", [1]),
    "data that is a list": array([1], "<f4", [1]),
    "no data": {b"__ndarray__": True, b"dtype": "<f4", b"shape": [1]},
    "a scalar that does not fit": scalar(300, "|u1"),
    "a scalar that is text": scalar("9" * 100_000, "<f8"),
    "a scalar of infinite integer": scalar(float("inf"), "<i4"),
    "a scalar of text": scalar(7, "<U10"),
}


@pytest.mark.parametrize("name", ANNOUNCED)
def test_what_an_array_announces_is_held_against_what_was_sent(name):
    with pytest.raises(UsageError, match="not an openpi message"):
        wire.unpack(msgpack.packb({"x": ANNOUNCED[name]}))


@pytest.mark.parametrize(
    "data",
    [
        b"\x91" * (wire.DEEPEST + 1) + b"\xc0",
        b"\x81\xa1a" * (wire.DEEPEST + 1) + b"\xc0",
        b"\x91" * 1_000_000,
        b"\x81\xa1a" * 1_000_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\xdd\x00\x00\x10\x00" * 100_000,
        msgpack.packb([0] * (wire.MOST_ITEMS + 1)),
        msgpack.packb([[0] * 1000] * 1000),
        msgpack.packb([{str(key): 0 for key in range(1000)}] * 10),
        msgpack.packb("a" * (wire.LONGEST_TEXT + 1)),
        msgpack.packb(msgpack.ExtType(5, b"x")),
        b"\xd6\xff\x00\x00\x00\x00",
    ],
    ids=itertools.count(),
)
def test_messages_too_deep_or_of_too_many_parts_are_refused(data):
    with pytest.raises(UsageError, match="not an openpi message"):
        wire.unpack(data)


def test_a_message_beyond_the_bound_is_refused():
    with pytest.raises(UsageError, match="not an openpi message"):
        wire.unpack(msgpack.packb(bytes(wire.LARGEST_MESSAGE)))


UNUSABLE = {
    "no map": [1, 2],
    "a number": 7,
    "nothing": None,
    "joints that are text": observation(joint_pos="x" * 16),
    "joints that are a list of text": observation(joint_pos=["a"] * 16),
    "joints that are ragged": observation(joint_pos=[[1], [2, 3]]),
    "joints that are a map": observation(joint_pos={"a": 1}),
    "joints that are missing": observation(joint_pos=None),
    "very many joints": observation(joint_pos=np.zeros(1 << 20, np.uint8)),
    "joints beyond any number": observation(joint_pos=np.full(16, 1.7e308)),
    "speeds that are text": observation(joint_vel="fast"),
    "speeds that are no numbers": observation(joint_vel=np.full(16, np.nan)),
    "a state that is a map": {"state": {"a": 1}},
    "a state that is no numbers": {**observation(), "state": np.full(14, np.nan), "joint_pos": None},
    "images that are a list": observation(images=[1]),
    "images that are a flag": observation(images=False),
    "a picture that is text": observation(rgb_wrist_cam_left="x"),
    "a picture that is ragged": observation(rgb_wrist_cam_left=[[1], [2, 3]]),
    "a picture without pixels": observation(rgb_wrist_cam_left=np.zeros((0, 7, 3), np.uint8)),
    "a picture that is a line": observation(rgb_wrist_cam_left=np.zeros((1, 1 << 20, 3), np.uint8)),
    "depth that is a list": observation(depth_wrist_cam_left=[[0]]),
    "ages that are a list": observation(ages=[1]),
    "an age that is text": observation(ages={"wrist_cam_left": "old"}),
    "an age that is a map": observation(ages={"wrist_cam_left": {}}),
    "an age that is no number": observation(ages={"wrist_cam_left": float("nan")}),
    "a goal that is text": observation(goal="there"),
    "a reset that is many": observation(reset=np.zeros(3)),
    "a reset that is a list": observation(reset=[0, 1]),
}


def test_what_a_client_says_wrongly_it_hears_in_two_lines_and_others_go_on(served, caplog):
    good = Client(served)
    good.infer(observation())
    wrong = {**UNUSABLE, **{name: observation(joint_vel=value) for name, value in ANNOUNCED.items()}}
    for name, message in wrong.items():
        client = Client(served)
        client.infer(observation())  # an episode has begun: every field is looked at
        answer = client.infer(message)
        assert isinstance(answer, str), name
        assert answer.startswith("error: ") and answer.count("\n") <= 1, (name, answer)
        assert "internal error" not in answer and "Traceback" not in answer, (name, answer)
        with pytest.raises(ConnectionClosed):
            client.link.recv()
        assert good.infer(observation())["actions"].shape == (1, 14), name
    assert served.figures.errors == len(wrong)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_frame_beyond_the_bound_ends_its_connection_only(served):
    good, bad = Client(served), Client(served)
    with contextlib.suppress(ConnectionClosed, OSError):
        bad.link.send(bytes(wire.LARGEST_MESSAGE + 1))
    with pytest.raises(ConnectionClosed) as caught:
        bad.link.recv()
    assert caught.value.sent is not None or caught.value.rcvd is not None
    assert good.infer(observation())["actions"].shape == (1, 14)


@pytest.mark.parametrize("number", range(3))
def test_a_client_that_stops_in_the_middle_holds_nobody_up(served, number):
    """Nothing at all, half a handshake, half a frame."""
    good = Client(served)
    half = [b"", b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: webso", None][number]
    if half is None:
        slow = Client(served).link.socket
        half = b"\x82\xff" + (wire.LARGEST_MESSAGE // 2).to_bytes(8, "big") + b"mask" + b"x" * 1000
    else:
        slow = socket.create_connection(("127.0.0.1", served.port))
    slow.sendall(half)
    for _ in range(3):
        assert good.infer(observation())["actions"].shape == (1, 14)
    slow.close()


def test_more_clients_than_are_served_are_told_so_and_the_health_is_still_answered(served, monkeypatch):
    monkeypatch.setattr(servers, "MOST_CLIENTS", 3)
    clients = [Client(served) for _ in range(3)]
    with pytest.raises(InvalidStatus) as caught:
        Client(served)
    assert caught.value.response.status_code == 503
    link = http.client.HTTPConnection("127.0.0.1", served.port, timeout=HANG_S)
    link.request("GET", "/healthz")
    assert link.getresponse().read() == b"OK\n"
    assert clients[2].infer(observation())["actions"].shape == (1, 14)
    clients[0].link.close()

    comes_in(served)


def test_a_flood_of_connections_is_turned_away_and_passes(served):
    good = Client(served)
    before = threading.active_count()
    flood = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(servers.MOST_SOCKETS * 4)]
    assert good.infer(observation())["actions"].shape == (1, 14)
    assert threading.active_count() - before <= servers.MOST_SOCKETS * 3  # the library has helpers for each
    for one in flood:
        one.close()

    comes_in(served)


def test_the_server_ends_though_clients_are_half_way_or_do_not_read(tmp_path, profile):
    running = server(tmp_path / "p.onnx", profile).__enter__()
    half = socket.create_connection(("127.0.0.1", running.port))
    half.sendall(b"GET / HT")
    deaf = Client(running)
    deaf.link.recv_bufsize = 1
    raw, message = deaf.link.socket, msgpack.packb(observation(), default=encode)
    frame = b"\x82\xfe" + len(message).to_bytes(2, "big") + bytes(4) + message
    if len(message) >= 1 << 16:
        frame = b"\x82\xff" + len(message).to_bytes(8, "big") + bytes(4) + message
    raw.settimeout(1.0)
    with contextlib.suppress(TimeoutError):
        for _ in range(200):
            raw.sendall(frame)
    ended = threading.Thread(target=running.__exit__, args=(None, None, None), daemon=True)
    ended.start()
    ended.join(timeout=HANG_S)
    assert not ended.is_alive()
    assert not [thread for thread in threading.enumerate() if thread.name == "openpi server"]


def test_pictures_of_ever_new_sizes_do_not_fill_the_memory(profile):
    device = CameraDevice(kind="uvc", device="x", width=640, height=480, fovy_deg=50.0)
    layout = Layout(student_card(depth=False), ALOHA, {"wrist_cam_left": device, "wrist_cam_right": device})
    sizes = [(48 + n, 64 + n, 3) for n in range(40)]
    for size in sizes:
        message = {"joint_pos": np.zeros(16)}
        message |= {f"rgb_wrist_cam_{side}": np.zeros(size, np.uint8) for side in ("left", "right")}
        assert layout.read(message).frames["wrist_cam_left"].rgb.shape == (32, 32, 3)
    assert len(layout._fits) < len(sizes)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
NAMES = ("joint_pos", "joint_vel", "goal", "ages", "images", "rgb_wrist_cam_left", "depth_wrist_cam_left", "state")


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4), st.sets(st.sampled_from(NAMES), max_size=1))
def test_no_observation_can_do_more_than_be_refused(changes, dropped):
    device = CameraDevice(kind="uvc", device="x", width=640, height=480, fovy_deg=50.0)
    layout = Layout(student_card(), ALOHA, {"wrist_cam_left": device, "wrist_cam_right": device})
    message = {name: value for name, value in observation(**changes).items() if name not in dropped}
    with contextlib.suppress(S2rError):
        layout.read(message)
