"""The policy server against libraries that know nothing of it, and against OpenPI's own client where there is one."""

import http.client
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

pytest.importorskip("msgpack", reason="the policy server is an extra")
pytest.importorskip("websockets", reason="the policy server is an extra")

import msgpack
from websockets.exceptions import ConnectionClosedError

from s2rctl.control.openpi import session as sessions
from s2rctl.control.openpi.layout import Layout
from s2rctl.control.openpi.wire import pack, unpack
from s2rctl.control.policy import Policy
from s2rctl.core.errors import MissingEnvironmentError, UsageError
from s2rctl.operations.serve import make_server
from s2rctl.schema.cameras import CameraDevice
from s2rctl.schema.contract import Memory
from s2rctl.schema.load import load_profile
from tests.control.policy_server import ALOHA, Client, decode, encode, observation, server, student_card
from tests.control.rigs import TINY, contract
from tests.waiting import HANG_S, wait_for


@pytest.fixture(scope="module")
def profile():
    return load_profile("aloha-smoke").profile


@pytest.fixture
def serve(tmp_path, profile):
    servers = []

    def start(action=0.5, card=None, weights=None, used=profile, clock=time.monotonic):
        servers.append(server(tmp_path / "p.onnx", used, action, card, weights, clock))
        return servers[-1].__enter__()

    yield start
    for made in servers:
        made.__exit__(None, None, None)


def test_metadata_actions_and_timing(serve):
    server = serve()
    client = Client(server)
    assert client.metadata["policy"] == "test" and client.metadata["action_horizon"] == 1
    assert client.metadata["inputs"]["rgb_wrist_cam_left"] == {"dtype": "uint8", "shape": [32, 32, 3], "unit": ""}
    assert len(client.metadata["reset_pose"]) == 6
    first = client.infer(observation())
    assert first["actions"].shape == (1, 14) and first["actions"].dtype == np.float32
    assert np.allclose(first["actions"][0, :6], np.array(ALOHA.home[:6]) + 0.01, atol=1e-6)
    assert "prev_total_ms" not in first["server_timing"]
    second = client.infer(observation(first["actions"][0]))
    assert second["server_timing"]["infer_ms"] > 0 and second["server_timing"]["prev_total_ms"] > 0
    assert np.allclose(second["actions"] - first["actions"], np.r_[[0.01] * 6, 0, [0.01] * 6, 0], atol=1e-6)


def test_changes_are_integrated_from_the_last_command_of_each_connection(serve):
    server = serve()
    one, two = Client(server), Client(server)
    for step in range(1, 6):
        moved = one.infer(observation())["actions"][0, 0]  # measured joints lag behind: they do not count
        assert moved == pytest.approx(ALOHA.home[0] + 0.01 * step, abs=1e-6)
    assert two.infer(observation())["actions"][0, 0] == pytest.approx(ALOHA.home[0] + 0.01, abs=1e-6)
    assert one.infer(observation(reset=True))["actions"][0, 0] == pytest.approx(ALOHA.home[0] + 0.01, abs=1e-6)
    again = Client(server)
    assert again.infer(observation())["actions"][0, 0] == pytest.approx(ALOHA.home[0] + 0.01, abs=1e-6)


def test_the_flag_latches_for_a_connection_and_a_pause_begins_anew(serve):
    now = [0.0]
    weights = {"switched": np.full((1, 14), 0.4)}
    client = Client(serve(action=0.0, weights=weights, clock=lambda: now[0]))
    low, high = np.array(ALOHA.home), np.array(ALOHA.home)
    high[[1, 8]] = -0.8  # both hands above 0.17 m

    def moves(joints):
        """Return how much the policy asks for, which tells the flag."""
        before = moves.last
        moves.last = client.infer(observation(joints))["actions"][0]
        return moves.last[0] - (joints[0] if before is None else before[0])

    moves.last = None
    assert moves(low) == pytest.approx(0.0, abs=1e-6)
    now[0] += 1.01 * sessions.EPISODE_GAP_S
    moves.last = None
    assert moves(high) == pytest.approx(0.008, abs=1e-5)
    now[0] += 0.99 * sessions.EPISODE_GAP_S
    assert moves(low) > 0.005  # the same episode: the flag stays
    now[0] += 1.01 * sessions.EPISODE_GAP_S
    moves.last = None
    assert moves(low) == pytest.approx(0.0, abs=1e-6)


def test_the_policys_memory_belongs_to_a_connection_and_begins_anew_with_an_episode(serve):
    now = [0.0]
    memory = (Memory(name="count", shape=(2,), initial=(-0.7, -0.5)),)
    card = student_card().model_copy(update={"memory": memory})
    server = serve(action=0.0, card=card, clock=lambda: now[0])
    one, two = Client(server), Client(server)
    scale = card.action_scale[0]

    def moved(client, steps, **changes):
        """Return what the policy asked for at each step (its memory's mean)."""
        found, before = [], None
        for _ in range(steps):
            target = client.infer(observation(before, **changes))["actions"][0]
            found.append((target[0] - (ALOHA.home[0] if before is None else before[0])) / scale)
            before, changes = target, {}
        return found

    *first, third = moved(one, 3)
    assert first == pytest.approx([-0.6, 0.4], abs=1e-3)
    assert third > 0.6  # 1.4, cut to the rate: equal pictures are new ones, for the client tells no times
    assert moved(two, 1) == pytest.approx([-0.6], abs=1e-3)  # nothing of what the other one's policy remembers
    assert moved(one, 2, reset=True) == pytest.approx([-0.6, 0.4], abs=1e-3)
    now[0] += 1.01 * sessions.EPISODE_GAP_S
    assert moved(one, 1) == pytest.approx([-0.6], abs=1e-3)
    assert moved(Client(server), 1) == pytest.approx([-0.6], abs=1e-3)


def test_openpis_aloha_form_is_understood(serve, profile):
    device = CameraDevice(kind="uvc", device="x", width=640, height=480, fovy_deg=58.0)
    cameras = {"wrist_cam_left": device, "wrist_cam_right": device}
    used = profile.model_copy(update={"robot": profile.robot.model_copy(update={"cameras": cameras})})
    client = Client(serve(card=student_card(depth=False), used=used))
    state = np.array(ALOHA.home)
    low, high = ALOHA.target_low[6], ALOHA.target_high[6]
    state[[6, 13]] = (np.array(ALOHA.home)[[6, 13]] - low) / (high - low)
    image = np.zeros((3, 224, 224), np.uint8)  # channels first; 640 x 480 padded to a square
    images = {"cam_left_wrist": image, "cam_right_wrist": image, "cam_high": image, "cam_low": image}
    answer = client.infer({"state": state, "images": images, "prompt": "insert the peg"})
    assert answer["actions"].shape == (1, 14)
    assert np.allclose(answer["actions"][0, [0, 7]], np.array(ALOHA.home)[[0, 7]] + 0.01, atol=1e-6)
    assert np.all(answer["actions"][0, [6, 13]] == pytest.approx(1.0, abs=0.01))  # 0.037 m is fully open


def test_padded_pictures_are_cut_to_the_policys_view(profile):
    device = CameraDevice(kind="uvc", device="x", width=640, height=480, fovy_deg=50.0)
    layout = Layout(student_card(depth=False), ALOHA, {"wrist_cam_left": device, "wrist_cam_right": device})
    padded = np.zeros((224, 224, 3), np.uint8)
    padded[28:196] = 180  # what a client leaves of 640 x 480
    message = {"joint_pos": np.zeros(16), "rgb_wrist_cam_left": padded, "rgb_wrist_cam_right": padded}
    frame = layout.read(message).frames["wrist_cam_left"]
    assert frame.rgb.shape == (32, 32, 3) and np.all(frame.rgb == 180)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"joint_pos": np.zeros(15)}, "'joint_pos' has 15 numbers"),
        ({"joint_pos": np.full(16, np.nan)}, "not finite"),
        ({"rgb_wrist_cam_left": np.zeros((32, 32), np.uint8)}, "'rgb_wrist_cam_left' is uint8"),
        ({"rgb_wrist_cam_left": np.zeros((48, 64, 3), np.uint8)}, "the camera's intrinsics are unknown"),
        ({"depth_wrist_cam_left": None}, "the observation has no 'depth_wrist_cam_left'"),
        ({"depth_wrist_cam_left": np.zeros((32, 32), np.float32)}, "is float32"),
        ({"ages": {"wrist_cam_left": 0.4}}, "'wrist_cam_left' is 400 ms old"),
    ],
)
def test_errors_are_text_and_close_the_connection_as_openpi_does(serve, changes, text):
    server = serve()
    client = Client(server)
    sent = {name: value for name, value in observation(**changes).items() if value is not None}
    answer = client.infer(sent)
    assert isinstance(answer, str) and text in answer
    with pytest.raises(ConnectionClosedError) as caught:
        client.link.recv()
    assert caught.value.rcvd.code == 1011
    assert Client(server).infer(observation())["actions"].shape == (1, 14)  # others are not disturbed


def test_garbage_is_answered(serve):
    client = Client(serve())
    client.link.send(b"\xc1 no msgpack")
    assert "not an openpi message" in client.link.recv()


def test_health(serve):
    link = http.client.HTTPConnection("127.0.0.1", serve().port, timeout=HANG_S)
    link.request("GET", "/healthz")
    answer = link.getresponse()
    assert (answer.status, answer.read()) == (200, b"OK\n")


def test_a_taken_port_is_exit_7(serve, profile, tmp_path):
    server = serve()
    policy = Policy(tmp_path / "p.onnx", ALOHA, 20.0)
    with pytest.raises(MissingEnvironmentError, match="cannot listen"):
        make_server(policy, ALOHA, profile, "abc", "127.0.0.1", server.port)


def test_500_steps_by_a_plain_client(serve):
    server = serve(action=0.0)
    client = Client(server)
    target = np.array(ALOHA.home)
    for _ in range(500):
        target = client.infer(observation(target))["actions"][0]
    assert np.allclose(target, ALOHA.home, atol=1e-5)
    client.link.close()
    assert wait_for(lambda: server.figures.requests == 500)
    assert server.figures.errors == 0
    assert set(server.figures.timings.summary()) == {"inference", "request"}


def test_500_steps_by_openpis_own_client(serve):
    client_module = pytest.importorskip("openpi_client.websocket_client_policy", reason="installed by make setup")
    server = serve(action=0.0)
    client = client_module.WebsocketClientPolicy("127.0.0.1", server.port)
    assert client.get_server_metadata()["policy"] == "test"
    target = np.array(ALOHA.home)
    for _ in range(500):
        target = client.infer(observation(target))["actions"][0]
    assert np.allclose(target, ALOHA.home, atol=1e-5)
    with pytest.raises(RuntimeError, match="error: 'joint_pos' has 3 numbers"):
        client.infer(observation(joint_pos=np.zeros(3)))


def test_the_server_ends_while_clients_are_connected(serve):
    server = serve()
    client = Client(server)
    client.infer(observation())
    ended = threading.Thread(target=server.__exit__, args=(None, None, None))
    ended.start()
    ended.join(timeout=HANG_S)
    assert not ended.is_alive()


ARRAYS = hnp.arrays(
    st.sampled_from(["<f4", "<f8", "|u1", "<u2", "<i8", "|b1", ">f4"]),
    hnp.array_shapes(min_dims=0, max_dims=3, max_side=4),
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=8), ARRAYS, max_size=4))
def test_arrays_survive_the_wire_both_ways(message):
    through = unpack(msgpack.packb(message, default=encode))
    back = msgpack.unpackb(pack(message), object_hook=decode)
    for name, value in message.items():
        for other in (through[name], back[name]):
            assert other.dtype == value.dtype and other.shape == value.shape
            assert other.tobytes() == value.tobytes()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_can_do_more_than_be_refused(data):
    try:
        unpack(data)
    except UsageError:
        pass


@pytest.mark.parametrize("bad", [np.array([object()]), np.array([1j]), np.zeros(2, "V4")])
def test_nothing_is_pickled(bad):
    with pytest.raises(UsageError, match="cannot be sent"):
        pack({"x": bad})
    with pytest.raises(UsageError, match="not an openpi message"):
        unpack(msgpack.packb({b"__ndarray__": True, b"data": b"\0" * 8, b"dtype": "|O", b"shape": [1]}))


def test_the_server_loads_no_learning_framework():
    code = "import sys, s2rctl.operations.serve; bad={'jax', 'flax', 'mujoco'} & set(sys.modules); assert not bad, bad"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tiny_robots_have_no_aloha_form():
    layout = Layout(contract(TINY), TINY, {})
    with pytest.raises(UsageError, match="'state' has 14 numbers"):
        layout.read({"state": np.zeros(14)})
