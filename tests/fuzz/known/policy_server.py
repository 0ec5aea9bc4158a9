from typing import Any

import msgpack

from tests.fuzz.targets.policy_server import seeds


def _array(dtype: Any, shape: Any, data: bytes) -> dict[bytes, Any]:
    return {b"__ndarray__": True, b"data": data, b"dtype": dtype, b"shape": shape}


def _scalar(data: Any, dtype: Any) -> dict[bytes, Any]:
    return {b"__npgeneric__": True, b"data": data, b"dtype": dtype}


def cases() -> dict[str, bytes]:
    fine = msgpack.unpackb(seeds()[0], strict_map_key=False)
    nan = float("nan")
    changes: dict[str, dict[str, Any]] = {
        "items without size": {"joint_pos": _array("S0", [2**33], b"")},
        "texts without size": {"joint_pos": _array("<U0", [2**20], b"")},
        "octal type": {"joint_pos": _array("010", [1], b"0")},
        "structured type": {"joint_pos": _array("i1,i2", [1], b"000")},
        "negative shape": {"joint_pos": _array("<f8", [-1], b"0" * 128)},
        "floats for a shape": {"joint_pos": _array("<f8", [16.0], b"0" * 128)},
        "many axes": {"joint_pos": _array("<f8", [1] * 100, b"0" * 8)},
        "map for joints": {"joint_pos": {"a": 1}},
        "text for joints": {"joint_pos": "x"},
        "large whole numbers": {"joint_pos": [2**63] * 16},
        "large joints": {"joint_pos": [1e308] * 16},
        "nan joints": {"joint_pos": [nan] * 16},
        "nothing for joints": {"joint_pos": [None] * 16},
        "text for a goal": {"goal": "x"},
        "text in a scalar": {"goal": _scalar("x", "<f8")},
        "date": {"goal": _scalar(1, "M8[s]")},
        "timestamp": {"goal": msgpack.Timestamp(1, 2)},
        "list for ages": {"ages": ["x"]},
        "text for an age": {"ages": {"robot": "x"}},
        "nan age": {"ages": {"robot": nan}},
        "list for images": {"images": [1]},
        "empty picture": {"rgb_wrist_cam_left": _array("|u1", [0, 0, 3], b"")},
        "flat picture": {"rgb_wrist_cam_left": _array("|u1", [1, 6000, 3], bytes(18000))},
    }
    return {name: bytes(msgpack.packb({**fine, **change})) for name, change in changes.items()} | {
        "deep": b"\x91" * 5000 + b"\xc0",
        "extension": bytes(msgpack.packb(msgpack.ExtType(5, b"x"))),
        "map for a state": bytes(msgpack.packb({"state": {}})),
        "nothing": b"",
    }
