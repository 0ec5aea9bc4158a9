"""Names of tensors, and the contract's memory and estimates, which old cards and manifests must not notice."""

import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2rctl.robots import ROBOTS
from s2rctl.robots.tensors import elements_of, limits_of
from s2rctl.schema.contract import Contract, Estimate, Memory
from s2rctl.schema.manifest import Content
from s2rctl.schema.tensors import QUANTITIES, depth_name, image_of, is_depth, is_memory, is_rgb, memory_in, memory_out
from s2rctl.schema.tensors import rgb_name as rgb
from s2rctl.store.canonical import canonical, digest

PRETRAINED = sorted((Path(__file__).parents[2] / "assets" / "pretrained").glob("*.tar"))


@given(st.from_regex(r"\A[A-Za-z][A-Za-z0-9_]{0,63}\Z"))
def test_images_are_named_after_their_camera_and_found_again(camera):
    assert image_of(rgb(camera)) == ("rgb", camera) and image_of(depth_name(camera)) == ("depth", camera)
    assert is_rgb(rgb(camera)) and not is_depth(rgb(camera)) and is_depth(depth_name(camera))


@pytest.mark.parametrize("name", [*QUANTITIES, "action", "rgb", "rgb_", "depth_", "", memory_in("rgb_x"), "x_rgb_y"])
def test_what_is_no_image_is_none(name):
    assert image_of(name) is None and not is_rgb(name) and not is_depth(name)


def test_memory_is_known_by_its_name():
    assert (memory_in("h"), memory_out("h")) == ("memory_in/h", "memory_out/h")
    assert is_memory(memory_in("h")) and is_memory(memory_out("h"))
    assert not any(is_memory(name) for name in (*QUANTITIES, "action", rgb("memory"), "memory"))


@pytest.mark.parametrize("robot", ["aloha", "xarm7"])
def test_elements_and_limits_are_those_of_the_robot(robot):
    spec = ROBOTS.load(robot)
    assert elements_of("joint_pos", spec) == elements_of("joint_vel", spec) == spec.joints
    assert elements_of("joint_target", spec) == spec.targets
    assert elements_of("goal", spec) == elements_of("position", spec) == ("x", "y", "z")
    assert elements_of("switched", spec) == elements_of("rgb_side", spec) == ()
    assert limits_of("joint_pos", spec) == (spec.joint_low, spec.joint_high)
    assert limits_of("joint_target", spec) == (spec.target_low, spec.target_high)
    assert limits_of("joint_vel", spec) is None and limits_of("goal", spec) is None


def published():
    for archive in PRETRAINED:
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                if member.name.startswith("manifests/"):
                    stream = tar.extractfile(member)
                    assert stream is not None
                    yield Path(member.name).stem, json.loads(stream.read())


def test_the_ids_of_published_artifacts_are_what_they_were():
    contracts = 0
    for identity, manifest in published():
        content = Content.model_validate(manifest["content"])
        again = content.model_dump(mode="json")
        assert canonical(again) == canonical(manifest["content"])
        assert digest(again) == identity
        contracts += content.contract is not None
    assert contracts >= 1


def card(**changes):
    fields = {"policy": "p", "robot": "aloha", "rate_hz": 20, "inputs": (), "outputs": (), "action_meaning": "x"}
    return Contract.model_validate({**fields, "action_scale": (1.0,), **changes})


def test_a_card_without_memory_does_not_mention_it():
    for text in (card().model_dump_json(), json.dumps(card().model_dump(mode="json")), repr(card().model_dump())):
        assert "memory" not in text
    assert card().memory == () and card().graph_inputs == card().inputs and card().graph_outputs == card().outputs


def test_memory_survives_json_and_stands_beside_the_graphs_tensors():
    memory = (Memory(name="h", shape=(2,), initial=(0.5, -1)), Memory(name="n", shape=()))
    made = card(memory=memory)
    assert Contract.model_validate_json(made.model_dump_json()) == made == Contract.model_validate(made.model_dump())
    assert [(t.name, t.shape, t.dtype) for t in made.graph_inputs] == [
        ("memory_in/h", ("batch", 2), "float32"),
        ("memory_in/n", ("batch",), "float32"),
    ]
    assert [t.name for t in made.graph_outputs] == ["memory_out/h", "memory_out/n"]
    assert memory[0].start(2).tolist() == [[0.5, -1.0]] * 2 and memory[1].start(3).tolist() == [0.0] * 3


def test_one_name_is_one_memory():
    with pytest.raises(ValueError, match="memory 'h' is declared twice"):
        card(memory=(Memory(name="h", shape=(2,)), Memory(name="h", shape=(3,))))


FIGURES = {"median_m": 0.01, "p95_m": 0.02, "p99_m": 0.03, "filtered_max_m": 0.025, "filter_s": 0.35, "episodes": 64}


def test_a_card_without_estimates_does_not_mention_any_and_one_that_does_survives_json():
    assert "estimates" not in card().model_dump() and "estimates" not in card().model_dump_json()
    made = card(estimates=(Estimate(output="position", of="tcp", **FIGURES),))
    assert Contract.model_validate_json(made.model_dump_json()) == made == Contract.model_validate(made.model_dump())
    assert "memory" not in made.model_dump() and made.estimates[0].frame == "base"
    assert card(**{name: value for name, value in made.model_dump().items() if name != "estimates"}) == card()


@pytest.mark.parametrize("change", [{"p95_m": 0.04}, {"median_m": -1}, {"filter_s": 0}, {"episodes": 0}, {"extra": 1}])
def test_figures_that_cannot_be_are_refused(change):
    with pytest.raises(ValueError):
        card(estimates=({"output": "position", "of": "tcp", **FIGURES, **change},))
