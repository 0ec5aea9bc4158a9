"""A policy with memory from its files through the ONNX graph and the gate to closed episodes."""

import jax
import numpy as np
import onnx
import pytest

from s2rctl.core.errors import ArtifactError
from s2rctl.evaluation.actors import Actor, as_actor
from s2rctl.evaluation.policies import onnx_policy
from s2rctl.export import card, parity
from s2rctl.export.graph import GRAPHS, of_policy, to_onnx
from s2rctl.export.session import open_session, run
from s2rctl.learning.policy_files import KINDS, load_policy, save_policy
from s2rctl.schema.contract import Contract, Memory, Tensor, start
from s2rctl.stages import export
from s2rctl.stages.policies import Player
from s2rctl.tasks.protocol import Observation
from tests.export.conftest import OPSET
from tests.stages.test_export import WORLDS, Threshold, context

SIZE = 4


@pytest.fixture
def stored(monkeypatch, tmp_path):
    """Save a policy of the tests' own kind and load it as any other."""
    monkeypatch.setitem(KINDS.rows, "remembering", "tests.remembering:make")
    monkeypatch.setitem(GRAPHS.rows, "remembering", "tests.remembering:graph")

    def make(gain=0.05, initial=0.25):
        config = {"size": SIZE, "initial": initial, "gain": gain}
        weights = {"weights": np.linspace(0.1, 1.0, SIZE, dtype=np.float32)[None]}
        save_policy(tmp_path, "remembering", config, weights)
        return load_policy(tmp_path)

    return make


def contract(graph, memory=None):
    return Contract(
        policy="student/test",
        robot="aloha",
        rate_hz=20.0,
        inputs=(Tensor(name="goal", dtype="float32", shape=("batch", 1), meaning="goal"),),
        outputs=(Tensor(name="action", dtype="float32", shape=("batch", 1), meaning="action"),),
        action_meaning="x",
        action_scale=(1.0,),
        memory=graph.memory if memory is None else memory,
    )


def exported(graph, memory=None):
    made = contract(graph, memory)
    return card.attach(to_onnx(graph, OPSET), made), made


def player(policy):
    return Player(None, "scripted", Actor(policy.memory, jax.jit(policy.step)), images=False, pilot=None)


def recorded(policy, graph, count=200):
    recorder = export.Recorder(player(policy).act, tuple(graph.inputs))
    driven = export._drive(Threshold(), recorder, player(policy), context(count))
    return driven, recorder.observations(count)


def test_every_kind_of_policy_that_comes_with_s2rctl_becomes_a_graph():
    assert set(GRAPHS.rows) == set(KINDS.rows)
    assert all(callable(GRAPHS.load(name)) for name in GRAPHS.names())


def seen(value):
    goal = np.full((3, 1), value, np.float32)
    return Observation(goal, goal, {"goal": goal})


def test_a_policy_file_brings_its_memory_and_steps_with_it(stored):
    policy = stored()
    assert policy.memory == (Memory(name="sum", shape=(SIZE,), initial=0.25),)
    memory = start(policy.memory, 3)
    first, memory = policy.step(seen(1.0), memory)
    second, _ = policy.step(seen(1.0), memory)
    assert np.all(np.asarray(second) > np.asarray(first))
    with pytest.raises(ArtifactError, match=r"with memory \(sum\) cannot be a pilot or a teacher"):
        policy.reflex()


def test_a_policy_without_memory_passes_it_through(stored, tmp_path, student_parts):
    settings, params = student_parts
    save_policy(tmp_path / "student", "student", settings.model_dump(mode="json"), params)
    policy = load_policy(tmp_path / "student")
    assert policy.memory == () and policy.reflex() is policy.act
    assert of_policy(policy).all_inputs == of_policy(policy).inputs


def test_the_graph_takes_and_gives_the_memory_beside_inputs_and_outputs(stored):
    policy = stored()
    graph = of_policy(policy)
    model = to_onnx(graph, OPSET)
    assert [node.name for node in model.graph.input] == ["goal", "memory_in/sum"]
    assert [node.name for node in model.graph.output] == ["action", "memory_out/sum"]
    onnx.checker.check_model(model)
    session = open_session(model.SerializeToString())
    memory = start(policy.memory, 3)
    for value in (1.0, -2.0, 0.5):
        found = run(session, {"goal": seen(value).actor, "memory_in/sum": memory["sum"]})
        action, after = policy.step(seen(value), memory)
        np.testing.assert_allclose(found["action"], action, atol=1e-6)
        np.testing.assert_allclose(found["memory_out/sum"], after["sum"], atol=1e-6)
        memory = {"sum": found["memory_out/sum"]}


def test_the_gate_records_feeds_and_compares_memory_and_tries_forgetting(stored):
    policy = stored()
    graph = of_policy(policy)
    _, inputs = recorded(policy, graph)
    assert inputs["memory_in/sum"].shape == (200, SIZE)
    assert np.any(inputs["memory_in/sum"] == 0.25) and np.ptp(inputs["memory_in/sum"]) > 1.0
    content, _ = exported(graph)
    report = parity.check(graph, open_session(content), inputs, 1e-5, np.random.default_rng(0))
    parity.require(report)
    assert "forgetting (memory of zeros)" in [row.change for row in report.sensitivity]


def test_memory_that_comes_out_wrong_fails_the_gate_although_the_action_is_right(stored):
    policy = stored()
    graph = of_policy(policy)
    _, inputs = recorded(policy, graph)

    def leaking(arrays):
        found = graph.call(arrays)
        return found | {"memory_out/sum": found["memory_out/sum"] + 1e-3}

    wrong = type(graph)(graph.inputs, graph.outputs, leaking, graph.memory)
    session = open_session(to_onnx(wrong, OPSET).SerializeToString())
    report = parity.check(graph, session, inputs, 1e-5, np.random.default_rng(0))
    assert not any(row.passed for row in report.agreement)


def test_a_policy_that_does_not_use_its_memory_fails_the_gate(stored):
    policy = stored(gain=0.0)
    graph = of_policy(policy)
    _, inputs = recorded(policy, graph)
    report = parity.check(
        graph, open_session(to_onnx(graph, OPSET).SerializeToString()), inputs, 1e-5, np.random.default_rng(0)
    )
    failed = [row.change for row in report.sensitivity if not row.passed]
    assert "forgetting (memory of zeros)" in failed


def test_onnx_and_jax_play_the_same_episodes_each_with_its_own_memory(stored):
    policy = stored()
    graph = of_policy(policy)
    driven, _ = recorded(policy, graph, 40)
    content, made = exported(graph)
    acting = onnx_policy(content, made)
    assert isinstance(acting, Actor)
    loop = export._closed_loop(context(), Threshold(), driven, player(policy), acting)
    assert loop.passed and loop.max_difference < 1e-6
    assert 0 < loop.onnx_successes == loop.jax_successes < WORLDS


def test_an_onnx_policy_that_forgets_does_not_pass(stored):
    policy = stored()
    graph = of_policy(policy)
    driven, _ = recorded(policy, graph, 40)
    content, made = exported(graph)
    acting = as_actor(onnx_policy(content, made))
    forgetful = Actor(acting.memory, lambda seen, memory: (acting.step(seen, memory)[0], memory))
    assert not export._closed_loop(context(), Threshold(), driven, player(policy), forgetful).passed


@pytest.mark.parametrize(
    ("memory", "text"),
    [
        ((), "input 'memory_in/sum' is .4. in the graph and missing in the contract"),
        ((Memory(name="sum", shape=(5,)),), "is .4. in the graph and .5. in the contract"),
        ((Memory(name="sum", shape=(4,)), Memory(name="more", shape=(1,))), "'memory_in/more' is missing in the graph"),
    ],
)
def test_an_onnx_policy_whose_memory_is_not_the_contracts_is_refused(stored, memory, text):
    content, made = exported(of_policy(stored()), memory)
    with pytest.raises(ArtifactError, match=text) as caught:
        onnx_policy(content, made)
    assert caught.value.hint


def test_random_memory_is_one_that_the_policy_could_have_written(stored):
    """What a policy divides by, as a filter does by its weight, is never near zero when it was not while recording."""
    graph = of_policy(stored())
    generator = np.random.default_rng(0)
    written = generator.uniform(2.0, 3.0, (50, SIZE)).astype(np.float32)
    inputs = {"goal": generator.normal(size=(50, 1)).astype(np.float32), "memory_in/sum": written}
    drawn = parity.random_inputs(graph, inputs, 400, generator)
    low, high = written.min(axis=0), written.max(axis=0)
    assert drawn["memory_in/sum"].shape == (400, SIZE) and drawn["memory_in/sum"].dtype == np.float32
    assert (drawn["memory_in/sum"] >= low).all() and (drawn["memory_in/sum"] <= high).all()
    assert len(np.unique(drawn["memory_in/sum"], axis=0)) > 390
    assert np.ptp(drawn["goal"]) > 1.5 * np.ptp(inputs["goal"])  # other numbers still go beyond
