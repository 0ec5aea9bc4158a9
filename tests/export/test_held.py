"""A student that tells where its objects are says so in its graph while its hands hold them."""

import jax
import numpy as np
import pytest

from s2rctl.control.mismatch import card_faults
from s2rctl.export import card, graph
from s2rctl.export.session import open_session, run
from s2rctl.learning.student import holding
from s2rctl.learning.student import network as student
from s2rctl.robots import ROBOTS
from s2rctl.scene import SCENES
from s2rctl.schema.contract import Estimate, given, start
from s2rctl.schema.simulation import Delays
from s2rctl.schema.tensors import held_name
from tests.export.conftest import OPSET, livelier, observations

LEFT, RIGHT = held_name("wrist_cam_left"), held_name("wrist_cam_right")
ALOHA = ROBOTS.load("aloha")
FINGERS, GRIPPERS = (6, 14), (6, 13)  # in joints and in targets


@pytest.fixture(scope="module")
def telling(student_parts):
    settings = student_parts[0].model_copy(update={"estimates": 12, "filters": (0.9,)})
    return settings, livelier(student.init(jax.random.key(0), settings), jax.random.key(1))


def seen(exported, left_gap, right_gap):
    """Inputs of four steps whose fingers are kept so many m from where they are sent, and no memory yet."""
    inputs = observations(exported, 4)
    for finger, target, gap in zip(FINGERS, GRIPPERS, (left_gap, right_gap), strict=True):
        inputs["joint_pos"][:, finger] = inputs["joint_target"][:, target] + gap
    return inputs | {
        name: np.asarray(value) for name, value in given(exported.memory, start(exported.memory, 4)).items()
    }


def test_only_what_fingers_hold_is_told_and_by_onnx_as_by_jax(telling):
    exported = graph.student_graph(*telling)
    assert set(exported.outputs) == {"action", LEFT, RIGHT}
    session = open_session(graph.to_onnx(exported, OPSET).SerializeToString())
    inputs = seen(exported, 0.01, 0.001)
    found, expected = run(session, inputs), exported(inputs)
    assert np.all(np.linalg.norm(found[LEFT], axis=1) > 1e-4), "the left fingers lack 1 cm: they hold something"
    assert np.all(found[RIGHT] == 0), "the right ones are where they were sent"
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


def test_what_is_told_is_what_the_image_s_first_three_numbers_say(telling):
    settings, params = telling
    exported = graph.student_graph(settings, params)
    inputs = seen(exported, 0.01, 0.01)
    told = student.tell(params, settings, student.latents(params["encoder"], settings, inputs)).told
    found = exported(inputs)
    np.testing.assert_allclose(found[LEFT], 0.1 * told[:, :3], atol=1e-6)
    np.testing.assert_allclose(found[RIGHT], 0.1 * told[:, 12:15], atol=1e-6)


def test_a_student_that_tells_nothing_or_has_no_camera_on_each_hand_says_nothing(student_parts, telling):
    assert holding.names(student_parts[0]) == ()
    assert holding.names(telling[0].model_copy(update={"cameras": telling[0].cameras[:1]})) == ()


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
    assert not [fault for fault in faults if "estimate" in fault]
