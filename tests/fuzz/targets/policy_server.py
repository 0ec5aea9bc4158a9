"""Frames of the policy server: what a client sends, decoded and answered by one session."""

from functools import cache
from typing import Any

import msgpack
import numpy as np

from s2rctl.control.openpi.session import Session
from s2rctl.control.openpi.wire import pack, unpack
from s2rctl.robots import ROBOTS
from s2rctl.schema.load import load_profile
from tests.fuzz.box import Box
from tests.fuzz.harness import Target
from tests.fuzz.mutate import NUMBERS, Chooser, edit_tree, pick
from tests.fuzz.stores import card

ALOHA = ROBOTS.load("aloha")
_TEXT = {"__ndarray__": b"__ndarray__", "data": b"data", "dtype": b"dtype", "shape": b"shape"}
DTYPES = (
    "S0",
    "|S0",
    "V8",
    "O",
    "c16",
    "<f8",
    ">f2",
    "|b1",
    "<U3",
    "M8[s]",
    "i1,i2",
    "(2,)f4",
    "f" * 200,
    7,
    None,
    b"<f4",
)


def observation(**changes: Any) -> bytes:
    """Return an observation as a client packs it."""
    values: dict[str, Any] = {
        "joint_pos": ALOHA.joints_from_targets(np.array(ALOHA.home)),
        "rgb_wrist_cam_left": np.zeros((32, 32, 3), np.uint8),
        "depth_wrist_cam_left": np.zeros((32, 32), np.uint16),
    }
    return pack({**values, **changes})


@cache
def seeds() -> list[bytes]:
    picture = np.zeros((3, 24, 24), np.uint8)
    aloha = {"state": np.array(ALOHA.home), "images": {"cam_left_wrist": np.zeros((3, 32, 32), np.uint8)}}
    return [
        observation(),
        observation(goal=np.zeros(3), ages={"robot": 0.01}, joint_vel=np.zeros(16, np.float32), reset=True),
        pack({**aloha, "depth_wrist_cam_left": np.zeros((32, 32), np.uint16)}),
        observation(rgb_wrist_cam_left=picture),
        pack({"joint_pos": np.float32(3.0), "ages": {"robot": np.float64(1.0)}}),
    ]


class _Zeros:
    """A policy; the graph is not what is fuzzed here."""

    def infer(self, inputs: Any) -> Any:
        return {"action": np.zeros((1, 14), np.float32)}


def session() -> Session:
    """Return a session as the server makes one for each connection."""
    from s2rctl.control.action import action_mapping
    from s2rctl.control.envelope import envelope
    from s2rctl.control.observation import ObservationBuilder
    from s2rctl.control.openpi.layout import Layout
    from s2rctl.control.safety import SafetyFilter

    profile, contract = _profile(), card()
    mapping = action_mapping(ALOHA, contract, profile.deploy.safety.tracking_error)
    guard = SafetyFilter(envelope(ALOHA, profile.deploy.safety, 20.0), mapping, ALOHA)
    layout = Layout(contract, ALOHA, profile.robot.cameras)
    return Session(_Zeros(), ObservationBuilder(contract, ALOHA), guard, layout, ALOHA)


@cache
def _profile() -> Any:
    return load_profile("aloha-smoke").profile


def _plain(value: Any) -> Any:
    """Return a message as a tree with text for keys, and back with ``_wire``."""
    if isinstance(value, dict):
        return {k.decode("latin1") if isinstance(k, bytes) else k: _plain(v) for k, v in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _wire(value: Any) -> Any:
    if isinstance(value, dict):
        array = "__ndarray__" in value or "__npgeneric__" in value
        keys = {k: _TEXT.get(k, k.encode() if array and isinstance(k, str) else k) for k in value}
        return {keys[k]: _wire(v) for k, v in value.items()}
    return [_wire(item) for item in value] if isinstance(value, list) else value


def shape(choose: Chooser, data: bytes) -> bytes:
    """Change the message as a tree; often the type or the shape that an array announces."""
    try:
        tree = _plain(msgpack.unpackb(data, strict_map_key=False))
        arrays = [key for key, value in tree.items() if isinstance(value, dict) and "dtype" in value]
        if arrays and choose.below(2):
            array = tree[pick(choose, arrays)]
            if choose.below(2):
                array["dtype"] = pick(choose, DTYPES)
            if choose.below(2):
                array["shape"] = [pick(choose, NUMBERS) for _ in range(choose.below(4))]
            if choose.below(2):
                array["data"] = bytes(choose.below(64))
        else:
            tree = edit_tree(choose, tree)
        return bytes(msgpack.packb(_wire(tree), unicode_errors="surrogatepass"))
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, msgpack.UnpackException, KeyError):
        return data


def run(data: bytes, box: Box) -> Any:
    client = session()
    client.infer(unpack(seeds()[0]))
    answer = client.infer(unpack(data))
    assert np.isfinite(answer["actions"]).all() and answer["actions"].shape == (1, 14)
    pack(answer)
    return tuple(answer["interventions"])


TARGET = Target("policy_server", run, seeds, shape, pure=True)
