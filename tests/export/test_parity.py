import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.core.errors import GateError
from s2rctl.core.exits import ExitCode
from s2rctl.export import parity
from s2rctl.export.graph import student_graph as student_graph_of
from s2rctl.export.graph import to_onnx
from s2rctl.export.session import open_session, run
from s2rctl.learning.student import network as student
from s2rctl.schema.contract import start
from s2rctl.schema.tensors import memory_in, memory_out
from tests.export.conftest import OPSET, livelier, observations

LIMIT = 1e-5


def altered(graph, change):
    """The same policy behind another preprocessing."""
    return dataclasses.replace(graph, call=lambda inputs: graph.call(change(dict(inputs))))


def test_an_honest_export_passes_and_says_what_was_checked(student_graph, student_session):
    recorded = observations(student_graph, 300)
    report = parity.check(student_graph, student_session, recorded, LIMIT, np.random.default_rng(0))
    parity.require(report)
    assert report.passed and report.max_difference <= LIMIT
    assert [row.inputs for row in report.agreement] == ["recorded", "single recorded", "random", "extreme"]
    assert [row.observations for row in report.agreement] == [300, 64, 300, 15]
    assert len(report.sensitivity) == 13


def test_a_policy_that_normalises_its_images_passes_too(student_parts):
    """Also on images of one single value, whose spread is 0."""
    settings, params = student_parts
    cameras = tuple(camera.model_copy(update={"normalise": "image"}) for camera in settings.cameras)
    graph = student_graph_of(settings.model_copy(update={"cameras": cameras}), params)
    session = open_session(to_onnx(graph, OPSET).SerializeToString())
    report = parity.check(graph, session, observations(graph, 100), LIMIT, np.random.default_rng(0))
    parity.require(report)
    inputs = observations(graph, 4)
    darker = inputs | {n: (v // 2).astype(v.dtype) for n, v in inputs.items() if n.startswith("rgb")}
    bright, dark = run(session, inputs)["action"], run(session, darker)["action"]
    np.testing.assert_allclose(dark, bright, atol=0.02)
    grey = inputs | {n: np.full_like(v, 128) for n, v in inputs.items() if n.startswith("rgb")}
    assert np.isfinite(run(session, grey)["action"]).all()
    assert np.abs(run(session, grey)["action"] - bright).max() > 1e-3


def remembering(graph, steps=12, worlds=8):
    """Observations with the memory that the policy itself has of them, one step after the other."""
    rows = []
    memory = {memory_in(item.name): start((item,), worlds)[item.name] for item in graph.memory}
    for step in range(steps):
        seen = {name: value[:worlds] for name, value in observations(graph, worlds, seed=step).items()} | memory
        rows.append(seen)
        found = graph(seen)
        memory = {memory_in(item.name): found[memory_out(item.name)] for item in graph.memory}
    return {name: np.concatenate([np.asarray(row[name]) for row in rows]) for name in graph.all_inputs}


def test_a_memory_of_large_sums_is_compared_as_closely_as_actions(student_parts):
    """Weights of sure images are in the thousands, and negative ones, which nobody writes, mean nothing."""
    settings, _ = student_parts
    told = {"estimates": 12, "confidence": True, "ends": (-0.028, 0.068), "filters": (0.5, 0.9), "measured": True}
    settings = settings.model_copy(update=told)
    params = livelier(student.init(jax.random.key(0), settings), jax.random.key(1))
    params["confidence"]["regression"]["bias"] = jnp.full((12,), -8.5)
    graph = student_graph_of(settings, params)
    session = open_session(to_onnx(graph, OPSET).SerializeToString())
    recorded = remembering(graph)
    assert np.abs(recorded[memory_in("estimates")]).max() > 1000
    parity.require(parity.check(graph, session, recorded, 1e-4, np.random.default_rng(0)))
    other = dataclasses.replace(graph, call=lambda inputs: graph.call(inputs | heavier(inputs)))
    assert parity.difference(other, session, recorded) > 1e-3


def heavier(inputs):
    return {memory_in("estimates"): 1.01 * inputs[memory_in("estimates")]}


CHANGES = {
    "255 levels become 256": lambda x: (
        x | {n: (v.astype(jnp.float32) * 255 / 256).astype(v.dtype) for n, v in x.items() if n.startswith("rgb")}
    ),
    "BGR": lambda x: x | {n: v[..., ::-1] for n, v in x.items() if n.startswith("rgb")},
    "cameras swapped": lambda x: (
        x | {"rgb_wrist_cam_left": x["rgb_wrist_cam_right"], "rgb_wrist_cam_right": x["rgb_wrist_cam_left"]}
    ),
    "depth one count off": lambda x: x | {n: v + jnp.uint16(1) for n, v in x.items() if n.startswith("depth")},
    "target forgotten": lambda x: x | {"joint_target": 0 * x["joint_target"]},
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_preprocessing_than_the_trained_one_is_caught(student_graph, student_session, name):
    trained = altered(student_graph, CHANGES[name])
    report = parity.check(trained, student_session, observations(student_graph, 40), LIMIT, np.random.default_rng(0))
    with pytest.raises(GateError, match="FAIL") as caught:
        parity.require(report)
    assert caught.value.exit_code == ExitCode.GATE and "JAX = ONNX" in caught.value.message


def test_a_policy_that_ignores_its_cameras_is_caught(student_graph):
    blind = altered(
        student_graph,
        lambda x: x | {n: jnp.zeros_like(v) for n, v in x.items() if n.startswith(("rgb", "depth"))},
    )
    session = open_session(to_onnx(blind, OPSET).SerializeToString())
    report = parity.check(blind, session, observations(student_graph, 40), LIMIT, np.random.default_rng(0))
    assert all(row.passed for row in report.agreement)
    failed = {row.change for row in report.sensitivity if not row.passed}
    assert failed == {row.change for row in report.sensitivity if "joint" not in row.change}
    with pytest.raises(GateError):
        parity.require(report)


def test_a_graph_that_gives_nan_fails():
    from s2rctl.export.graph import observation_graph

    graph = observation_graph(lambda seen: jnp.log(seen.actor), 2, 2)
    session = open_session(to_onnx(graph, OPSET).SerializeToString())
    report = parity.check(
        graph, session, {"observation": -np.ones((3, 2), np.float32)}, LIMIT, np.random.default_rng(0)
    )
    assert report.max_difference == np.inf and not report.passed


def test_reach_goal_in_millimetres_changes_the_action(reach_graph, reach_model):
    session = open_session(reach_model.SerializeToString())
    report = parity.check(reach_graph, session, observations(reach_graph, 40), LIMIT, np.random.default_rng(0))
    assert "the goal in millimetres" in {row.change for row in report.sensitivity if row.passed}
    assert report.passed, report.table()
