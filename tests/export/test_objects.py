"""A student that tells where its objects are says so in its graph, and the card says whose hand each belongs to."""

import jax
import numpy as np
import pytest

from s2rctl.control.mismatch import card_faults
from s2rctl.export import card, graph
from s2rctl.export.session import open_session, run
from s2rctl.learning.student import network as student
from s2rctl.learning.student import objects
from s2rctl.robots import ROBOTS
from s2rctl.scene import SCENES
from s2rctl.schema.contract import Estimate, given, start
from s2rctl.schema.simulation import Delays
from s2rctl.schema.tensors import object_name
from tests.export.conftest import OPSET, livelier, observations

LEFT, RIGHT = object_name("wrist_cam_left"), object_name("wrist_cam_right")
ALOHA = ROBOTS.load("aloha")


@pytest.fixture(scope="module")
def telling(student_parts):
    settings = student_parts[0].model_copy(update={"estimates": 12, "filters": (0.9,)})
    return settings, livelier(student.init(jax.random.key(0), settings), jax.random.key(1))


def test_onnx_tells_as_jax_does_what_the_image_s_first_three_numbers_say(telling):
    settings, params = telling
    exported = graph.student_graph(settings, params)
    assert set(exported.outputs) == {"action", LEFT, RIGHT}
    memory = given(exported.memory, start(exported.memory, 4))
    inputs = observations(exported, 4) | {name: np.asarray(value) for name, value in memory.items()}
    session = open_session(graph.to_onnx(exported, OPSET).SerializeToString())
    found, expected = run(session, inputs), exported(inputs)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
    told = student.tell(params, settings, student.latents(params["encoder"], settings, inputs)).told
    np.testing.assert_allclose(found[LEFT], 0.1 * told[:, :3], atol=1e-5)
    np.testing.assert_allclose(found[RIGHT], 0.1 * told[:, 12:15], atol=1e-5)


def test_a_student_that_tells_nothing_says_nothing(student_parts):
    assert objects.names(student_parts[0]) == ()
    assert set(graph.student_graph(*student_parts).outputs) == {"action"}


def test_the_card_says_whose_hand_it_is(telling):
    exported, model = graph.student_graph(*telling), SCENES.load("insertion")(0.002)
    assert card.checkable(exported, ALOHA, model) == {
        LEFT: ("left/gripper", "gripper"),
        RIGHT: ("right/gripper", "gripper"),
    }
    made = card.build(
        exported,
        policy="test",
        specification=ALOHA,
        rate_hz=20.0,
        action_scale=(0.02,) * 14,
        vision=None,
        model=model,
        delays=Delays(),
        trained_from={},
        versions={},
    )
    (output,) = (tensor for tensor in made.outputs if tensor.name == LEFT)
    assert (output.unit, output.elements, output.shape) == ("m", ("x", "y", "z"), ("batch", 3))
    errors = {"median_m": 0.005, "p95_m": 0.01, "p99_m": 0.02, "filtered_max_m": 0.02, "filter_s": 0.35, "episodes": 64}
    figures = Estimate(output=LEFT, of="left/gripper", frame="gripper", **errors)
    faults = card_faults(made.model_copy(update={"estimates": (figures,)}), ALOHA)
    assert not [fault for fault in faults if LEFT in fault]
    other = figures.model_copy(update={"of": "tcp"})
    xarm = card_faults(made.model_copy(update={"estimates": (other,)}), ROBOTS.load("xarm7"))
    assert [fault for fault in xarm if "no fingers" in fault]
