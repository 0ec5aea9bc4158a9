import numpy as np
import onnx
import pytest

from s2rctl.export.graph import observation_graph, to_onnx
from s2rctl.export.session import open_session, run
from tests.export.conftest import OPSET, observations


@pytest.mark.parametrize("batch", [1, 5])
def test_student_graph_says_what_jax_says(student_graph, student_session, batch):
    inputs = observations(student_graph, batch)
    found, expected = run(student_session, inputs), student_graph(inputs)
    assert found["action"].shape == (batch, 14)
    assert np.ptp(expected["action"]) > 1e-2
    np.testing.assert_allclose(found["action"], expected["action"], atol=1e-5)


@pytest.mark.parametrize("batch", [1, 5])
def test_reach_graph_gives_metres_within_the_step_and_a_position(reach_graph, reach_model, batch):
    inputs = observations(reach_graph, batch)
    found = run(open_session(reach_model.SerializeToString()), inputs)
    expected = reach_graph(inputs)
    for name in ("action", "position"):
        assert found[name].shape == (batch, 3)
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
    assert np.max(np.abs(found["action"])) <= 0.03


def test_inputs_are_raw_and_the_graph_needs_nothing_else(student_model):
    kinds = {i.name: i.type.tensor_type.elem_type for i in student_model.graph.input}
    assert kinds == {
        "rgb_wrist_cam_left": onnx.TensorProto.UINT8,
        "depth_wrist_cam_left": onnx.TensorProto.UINT16,
        "rgb_wrist_cam_right": onnx.TensorProto.UINT8,
        "depth_wrist_cam_right": onnx.TensorProto.UINT16,
        "joint_pos": onnx.TensorProto.FLOAT,
        "joint_target": onnx.TensorProto.FLOAT,
        "switched": onnx.TensorProto.FLOAT,
    }
    assert all(node.domain in ("", "ai.onnx") for node in student_model.graph.node)
    assert not any(t.data_location == onnx.TensorProto.EXTERNAL for t in student_model.graph.initializer)
    onnx.checker.check_model(student_model)


def test_a_teacher_becomes_a_graph_over_its_observation():
    import jax.numpy as jnp

    weights = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    graph = observation_graph(lambda seen: jnp.tanh(seen.actor @ weights), 6, 2)
    session = open_session(to_onnx(graph, OPSET).SerializeToString())
    inputs = observations(graph, 3)
    np.testing.assert_allclose(run(session, inputs)["action"], np.tanh(inputs["observation"] @ weights), atol=1e-6)
