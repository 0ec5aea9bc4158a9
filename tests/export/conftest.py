import jax
import numpy as np
import pytest

from s2rctl.export import graph as graphs
from s2rctl.export.session import open_session
from s2rctl.learning.reach import networks as reach_networks
from s2rctl.learning.reach.networks import ReachSettings
from s2rctl.learning.student import network as student
from s2rctl.learning.student.settings import StudentSettings
from s2rctl.learning.vision.encoder import Size, settings_for
from s2rctl.learning.vision.preprocess import Camera
from s2rctl.tasks.peg_insertion import READY

OPSET = 21


def livelier(params, key):
    """Untrained outputs are close to zero: shake the parameters so that a difference can be seen."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        tree, [x + 0.05 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    )


@pytest.fixture(scope="session")
def student_parts():
    cameras = tuple(
        Camera(name=f"wrist_cam_{side}", width=20, height=20, depth=True, depth_range_m=(0.0, 0.4))
        for side in ("left", "right")
    )
    settings = StudentSettings(
        cameras=cameras,
        encoder=settings_for(Size(20, 20), 4, 8),
        hidden=(16,),
        robot="aloha",
        ready=(*READY["left"], *READY["right"]),
        switched=True,
        action_size=14,
    )
    return settings, livelier(student.init(jax.random.key(0), settings), jax.random.key(1))


@pytest.fixture(scope="session")
def student_graph(student_parts):
    return graphs.student_graph(*student_parts)


@pytest.fixture(scope="session")
def student_model(student_graph):
    return graphs.to_onnx(student_graph, OPSET)


@pytest.fixture(scope="session")
def student_session(student_model):
    return open_session(student_model.SerializeToString())


@pytest.fixture(scope="session")
def reach_graph():
    camera = Camera(name="side", width=36, height=36)
    settings = ReachSettings(
        cameras=(camera,),
        encoder=settings_for(Size(36, 36), 3, 8),
        hidden=(16,),
        action_scale_m=0.03,
        centre_m=(0.4, 0.0, 0.3),
        spread_m=0.1,
    )
    return graphs.reach_graph(
        settings, livelier(reach_networks.init_actor(jax.random.key(0), settings), jax.random.key(1))
    )


@pytest.fixture(scope="session")
def reach_model(reach_graph):
    return graphs.to_onnx(reach_graph, OPSET)


def observations(graph, count, seed=0):
    """Observations like those of a rollout: images of blobs and depths within the range."""
    generator = np.random.default_rng(seed)
    found = {}
    for name, (shape, dtype) in graph.inputs.items():
        if dtype == "float32":
            found[name] = generator.uniform(-0.5, 0.5, (count, *shape)).astype(dtype)
        else:
            top = 255 if dtype == "uint8" else 4500
            found[name] = generator.integers(0, top, (count, *shape), dtype, endpoint=True)
    return found
