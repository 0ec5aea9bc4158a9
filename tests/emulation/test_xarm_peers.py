"""Whatever comes over the emulated controller's wire: it is answered, and a good client goes on."""

import contextlib
import os
import socket
import struct
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2rctl.emulation.xarm import server as servers
from s2rctl.emulation.xarm.controller import Controller
from s2rctl.emulation.xarm.server import EmulatedXArm
from s2rctl.emulation.xarm.wire import HEADER, Function, Request, Status, split
from s2rctl.scene import SCENES
from tests.waiting import wait_for

HOST = f"127.{os.getpid() % 200 + 1}.{os.getpid() // 200 % 200 + 1}.11"  # its own address: report ports are fixed
HANG_S = 60
"""Far beyond what anything here takes: only a hang is caught."""
HOME_LINE = struct.pack("<8f", 400, 0, 300, np.pi, 0, 0, 100, 1000)


def floats(*values):
    return struct.pack(f"<{len(values)}f", *values)


NAN, INF = float("nan"), float("inf")
PAYLOADS = {
    "empty": b"",
    "one zero": b"\0",
    "one byte too large": b"\xff",
    "three bytes": b"\x08\x01\x02",
    "half a number": b"\1\2\3\4\5\6",
    "almost long enough": bytes(23),
    "zeros": bytes(43),
    "ones": b"\xff" * 43,
    "not a number": floats(*[NAN] * 10),
    "one not a number": floats(0.1, 0, 0.1, 0, 0, 0, 0.1, NAN, 0, 0),
    "infinite": floats(*[INF] * 10),
    "minus infinite": floats(*[-INF] * 10),
    "the largest": floats(*[3.4e38] * 10),
    "the smallest": floats(*[-3.4e38] * 10),
    "denormal": floats(*[1e-45] * 10),
    "negative": floats(*[-1.0] * 10),
    "far": floats(*[1e6] * 10),
    "newer firmware, not a number": floats(*[NAN] * 9) + bytes(3),
    "a kilobyte": bytes(1024),
    "as long as a frame can be": b"\x41" * (0xFFFF - 1),
}


@pytest.fixture(scope="module")
def model():
    return SCENES.load("reach")(0.005)


def ready(controller, mode=7):
    for function, payload in (
        (Function.CLEAN_ERROR, b""),
        (Function.FENCE, b"\0"),
        (Function.TCP_OFFSET, bytes(24)),
        (Function.REDUCED_TCP_SPEED, floats(1000)),
        (Function.MOTION_ENABLE, b"\x08\x01"),
        (Function.SET_MODE, bytes([mode])),
        (Function.SET_STATE, b"\0"),
    ):
        assert not status(controller.handle(Request(1, 2, function, payload))) & Status.INVALID, function


def status(reply):
    return reply[7]


def works(controller):
    """A good client: the arm is made ready, moves, and is reported whole."""
    ready(controller)
    before = controller.commands
    assert status(controller.handle(Request(9, 2, Function.MOVE_LINE, HOME_LINE))) == Status.OK
    assert controller.commands == before + 1
    for _ in range(20):
        controller.tick()
    told = controller.report()
    assert np.isfinite([*told.joints, *told.pose, *told.torque, *told.tcp_offset]).all()
    assert (len(told.real()), len(told.normal()), len(told.rich())) == (87, 145, 245)
    joints = controller.handle(Request(9, 2, Function.JOINTS, b""))
    assert status(joints) == Status.OK and np.isfinite(struct.unpack("<7f", joints[8:])).all()


@pytest.mark.parametrize("mode", [0, 1, 5, 6, 7])
def test_every_command_with_every_payload_leaves_a_controller_that_works(model, mode):
    controller = Controller(model)
    for function in range(256):
        for name, payload in PAYLOADS.items():
            if mode != 7 and len(payload) > 100:
                continue
            ready(controller, mode)
            reply = controller.handle(Request(3, 2, function, payload))
            head = HEADER.unpack_from(reply)
            assert head == (3, 2, len(reply) - 6, function), (function, name)
            controller.tick()
            controller.tick()
            told = controller.report()
            assert np.isfinite([*told.joints, *told.pose, *told.torque, *told.tcp_offset]).all(), (function, name)
            assert told.real() and told.normal() and told.rich()
        works(controller)


KNOWN_BAD = [
    *((function, b"") for function in Function if function not in (1, 2, 13, 14, 15, 16, 17, 41, 42, 49)),
    *((function, floats(*[NAN] * 10)) for function in (21, 23, 29, 30, 35, 43, 44, 47, 48, 82)),
    *((function, floats(*[INF] * 10)) for function in (21, 23, 29, 30, 35, 43, 44, 47, 48, 82)),
    *((function, floats(*[3.4e38] * 10)) for function in (21, 23, 29, 30, 35, 43, 44, 47, 48, 82)),
    *((Function.SET_MODE, bytes([mode])) for mode in (8, 16, 127, 255)),
    *((Function.SET_STATE, bytes([state])) for state in (1, 2, 3, 5, 7, 255)),
    *((Function.MOTION_ENABLE, payload) for payload in (b"\x08", b"\x08\x02", b"\x00\x01", b"\xff\x01")),
    *((function, b"\x02") for function in (Function.REDUCED_MODE, Function.FENCE)),
    *((Function.REDUCED_TCP_SPEED, floats(speed)) for speed in (0.0, -5.0)),
    (Function.TCP_BOUNDARY, bytes(23)),
    (Function.TCP_BOUNDARY, struct.pack("<6i", -1, 1, 1, -1, 1, -1)),
    (Function.LINE_VELOCITY, bytes(25) + floats(NAN)),
    (Function.MOVE_LINE, bytes(31)),
    (Function.MOVE_LINE, bytes(500)),
    (Function.GET_STATE, bytes(500)),
    (Function.JOINT_VELOCITY, bytes(40)),
    (0, b""),
    (255, bytes(8)),
]


@pytest.mark.parametrize(("function", "payload"), KNOWN_BAD)
def test_what_cannot_be_used_is_invalid_and_changes_nothing(model, function, payload):
    controller = Controller(model)
    mode = {Function.SERVO_JOINT: 1, Function.SERVO_LINE: 1, Function.LINE_VELOCITY: 5, Function.MOVE_JOINT: 6}
    ready(controller, mode.get(function, 7))
    before = controller.report(), controller.commands, controller._tcp_speed, tuple(controller._boundary)
    assert status(controller.handle(Request(1, 2, function, payload))) == Status.INVALID
    assert (controller.report(), controller.commands, controller._tcp_speed, tuple(controller._boundary)) == before


def test_a_line_with_a_speed_below_zero_does_not_lead_away(model):
    controller = Controller(model)
    ready(controller)
    start = np.array(controller.report().pose[:3])
    line = struct.pack("<8f", start[0], start[1] + 100, start[2], np.pi, 0, 0, -200, 1000)
    controller.handle(Request(1, 2, Function.MOVE_LINE, line))
    for _ in range(100):
        controller.tick()
    assert controller.report().pose[1] > start[1] - 1.0


def test_goals_that_wait_are_bounded_and_their_number_is_always_reported(model):
    controller = Controller(model)
    ready(controller, 0)
    answers = [status(controller.handle(Request(1, 2, Function.MOVE_LINE, HOME_LINE))) for _ in range(3000)]
    assert answers[0] == Status.OK and answers[-1] == Status.INVALID
    assert controller.report().real()
    counted = controller.handle(Request(1, 2, Function.COMMAND_COUNT, b""))
    assert struct.unpack(">H", counted[8:])[0] == answers.count(Status.OK)


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=50)), max_size=8))
@settings(max_examples=200, deadline=None)
def test_no_sequence_of_commands_breaks_the_controller(one, commands):
    for function, payload in commands:
        one.handle(Request(1, 2, function, payload))
        one.tick()
        told = one.report()
        assert told.real() and np.isfinite([*told.joints, *told.torque]).all()


@pytest.fixture(scope="module")
def one(model):
    return Controller(model)


@given(st.binary(max_size=200))
def test_any_stream_is_cut_into_requests_and_a_rest_that_is_shorter_than_a_frame(data):
    buffer = bytearray(data)
    used = sum(6 + (len(one.payload) + 1 if one.function or one.payload else 0) for one in split(buffer))
    assert used <= len(data)
    if len(buffer) >= 6:
        assert len(buffer) < 6 + int.from_bytes(buffer[4:6], "big")


@pytest.fixture
def arm(model):
    with EmulatedXArm(model, HOST, 5502) as emulator:
        yield emulator


def connect(port=5502):
    link = socket.create_connection((HOST, port))
    link.settimeout(HANG_S)
    return link


def exactly(link, count):
    data = b""
    while len(data) < count:
        part = link.recv(count - len(data))
        assert part, "closed"
        data += part
    return data


def ask(link, function, payload=b""):
    link.sendall(HEADER.pack(7, 2, len(payload) + 1, function) + payload)
    head = exactly(link, 6)
    return exactly(link, int.from_bytes(head[4:6], "big"))


def report(link):
    size = int.from_bytes(exactly(link, 4), "big")
    return exactly(link, size - 4)


def test_bad_frames_on_one_connection_leave_reports_and_other_connections_alone(arm):
    good, bad, reports = connect(), connect(), connect(30003)
    for function in range(256):
        for payload in PAYLOADS.values():
            if len(payload) <= 100:
                ask(bad, function, payload)
        assert ask(good, Function.GET_STATE)[0] == Function.GET_STATE
        report(reports)
    bad.sendall(bytes(6))  # a frame of length 0
    assert ask(bad, Function.VERSION)[0] == 0  # its answer: there is no such function
    assert report(reports) and ask(good, Function.VERSION)[2:] != b""


@pytest.mark.parametrize("half", [b"\0", b"\0\1\0\2\0\x08", b"\0\1\0\2\xff\xff\x15" + bytes(1000)])
def test_half_a_frame_holds_nobody_up(arm, half):
    slow, good, reports = connect(), connect(), connect(30003)
    slow.sendall(half)
    assert ask(good, Function.VERSION) and report(reports)
    slow.close()
    assert ask(good, Function.VERSION) and report(reports)


def test_a_client_that_reads_no_answers_loses_its_connection_only(arm):
    deaf, good, reports = connect(), connect(), connect(30003)
    deaf.settimeout(1.0)
    frame = (HEADER.pack(7, 2, 1, Function.VERSION)) * 1000
    with contextlib.suppress(OSError):
        for _ in range(2000):
            deaf.sendall(frame)
    assert ask(good, Function.VERSION) and report(reports)


def test_more_connections_than_are_served_are_closed_and_places_come_free(arm):
    good = [connect() for _ in range(servers.MOST_CLIENTS)]
    assert ask(good[-1], Function.VERSION)
    over = connect()
    with contextlib.suppress(ConnectionResetError):
        assert over.recv(1) == b""
    for link in good[1:]:
        link.close()

    def comes_in():
        with contextlib.suppress(OSError, AssertionError), connect() as link:
            return bool(ask(link, Function.VERSION))

    assert wait_for(comes_in, HANG_S)
    assert ask(good[0], Function.VERSION)


def test_clients_that_come_and_go_leave_nothing_behind(arm):
    keeps = connect(30003)
    report(keeps)
    before = threading.active_count()
    for _ in range(3):
        for port in (5502, 30001, 30002, 30003):
            for link in [connect(port) for _ in range(servers.MOST_CLIENTS - 1)]:
                link.close()
    assert wait_for(lambda: threading.active_count() <= before + 1, HANG_S)
    assert len(arm._threads) <= before + servers.MOST_CLIENTS
    report(keeps)


def test_the_genuine_sdks_mode_16_is_refused_and_the_reports_go_on(arm):
    pytest.importorskip("xarm", reason="the vendor's SDK is an extra")
    from s2rctl.robots.xarm7.driver import XArm7
    from s2rctl.schema.deployment import Safety

    reports = connect(30003)
    driver = XArm7(arm.address, Safety(), 5.0, 0.05)
    driver.connect()
    try:
        for mode in (16, 255):
            assert driver._arm.set_mode(mode) != 0
        assert driver._arm.set_state(9) != 0
        for function in range(255):  # the SDK takes 255 for news from the controller
            driver._arm._arm.arm_cmd.set_nu8(function, [0xFF], 1)
        driver.recover()
        newest = driver.read().t
        assert wait_for(lambda: driver.read().t > newest, HANG_S)
        report(reports)
    finally:
        driver.close()
