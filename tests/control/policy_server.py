"""A policy server with a tiny policy, and a client of it that knows nothing of this project's code."""

import time

import msgpack
import numpy as np
from websockets.sync.client import connect

from s2rctl.control.policy import Policy
from s2rctl.operations.serve import make_server
from s2rctl.robots import ROBOTS
from s2rctl.schema.contract import CameraContract, Tensor
from tests.control.rigs import contract, write_policy

ALOHA = ROBOTS.load("aloha")


def tensor(name, dtype, *shape, **more):
    return Tensor(name=name, dtype=dtype, shape=("batch", *shape), meaning=name, **more)


def student_card(depth=True):
    """The Aloha student's contract."""
    cameras, inputs = [], [tensor("joint_pos", "float32", 16), tensor("joint_target", "float32", 14)]
    for side in ("left", "right"):
        name = f"wrist_cam_{side}"
        fields = {"name": name, "width": 32, "height": 32, "fovy_deg": 50.0, "parent": side}
        more = {"position_m": (0, 0, 0), "quaternion": (1, 0, 0, 0)}
        more |= {"depth_unit_m": 1e-4, "depth_range_m": (0.0, 0.4)} if depth else {}
        cameras.append(CameraContract.model_validate({**fields, **more}))
        inputs.append(tensor(f"rgb_{name}", "uint8", 32, 32, 3))
        inputs += [tensor(f"depth_{name}", "uint16", 32, 32)] if depth else []
    inputs.append(tensor("switched", "float32", 1))
    return contract(ALOHA, inputs=tuple(inputs), cameras=tuple(cameras))


def server(path, profile, action=0.5, card=None, weights=None, clock=time.monotonic):
    """Write a policy to a path and return its server, not yet started."""
    card = card or student_card()
    write_policy(path, card, np.full(14, action), weights)
    return make_server(Policy(path, ALOHA, 20.0), ALOHA, profile, "abc", "127.0.0.1", 0, clock)


def encode(value):
    """OpenPI's encoding, written down independently of the code under test."""
    if isinstance(value, np.ndarray):
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    if isinstance(value, np.generic):
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    raise TypeError(type(value))


def decode(value):
    if b"__ndarray__" in value:
        return np.frombuffer(value[b"data"], value[b"dtype"]).reshape(value[b"shape"])
    return value


class Client:
    """A client made of websockets and msgpack alone."""

    def __init__(self, server):
        self.link = connect(f"ws://127.0.0.1:{server.port}", compression=None, max_size=None)
        self.metadata = msgpack.unpackb(self.link.recv(), object_hook=decode)

    def infer(self, observation):
        self.link.send(msgpack.packb(observation, default=encode))
        answer = self.link.recv()
        return answer if isinstance(answer, str) else msgpack.unpackb(answer, object_hook=decode)


def observation(target=None, **changes):
    """Plain form: the policy's inputs; the arm is where the last command sent it."""
    joints = ALOHA.joints_from_targets(np.array(ALOHA.home) if target is None else np.asarray(target, float))
    values = {"joint_pos": joints}
    for side in ("left", "right"):
        values[f"rgb_wrist_cam_{side}"] = np.zeros((32, 32, 3), np.uint8)
        values[f"depth_wrist_cam_{side}"] = np.zeros((32, 32), np.uint16)
    return {**values, **changes}
