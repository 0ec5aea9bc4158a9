"""The recording profile that tests/pipeline/test_both_pipelines.py rests on."""

from dataclasses import replace

import pytest

from s2rctl.pipeline.graph import graph_of
from s2rctl.pipeline.key import cache_key
from s2rctl.schema.deployment import Perception, Safety
from s2rctl.schema.learning import Encoder
from s2rctl.schema.load import load_profile
from s2rctl.schema.reach import Reach
from s2rctl.store.store import Store
from tests.pipeline.fake_stages import GRAPH
from tests.pipeline.test_both_pipelines import execute
from tests.recording_profile import recording


@pytest.fixture
def reads() -> set[str]:
    return set()


@pytest.fixture(params=["aloha-smoke", "xarm7-smoke", "xarm7-reach"])
def profile(request):
    return load_profile(request.param).profile


def test_it_is_equal_and_has_the_same_keys_and_naming_it_reads_nothing(profile, reads):
    noted = recording(profile, reads)
    assert noted.model_dump_json() == profile.model_dump_json()
    assert isinstance(noted, type(profile)) and isinstance(noted.deploy.safety, Safety)
    for stage in graph_of(profile.system):
        inputs = {wanted.role: "a" * 64 for wanted in stage.inputs}
        assert cache_key(stage, noted, inputs) == cache_key(stage, profile, inputs)
    assert reads <= {"system", "seed"}, "keys name the profile, they do not read it"
    assert noted == profile and noted.vision == profile.vision and hash(noted.simulation) == hash(profile.simulation)


def test_values_are_noted_where_they_are_read_and_not_before(reads):
    noted = recording(load_profile("xarm7-smoke").profile, reads)
    simulation, cameras = noted.simulation, noted.vision
    reach, extractor = noted.section("reach", Reach), noted.section("extractor", Encoder)
    task = noted.task("reach")
    assert reads == set()
    assert simulation.period_s == pytest.approx(0.05), "a property reads"
    assert reads == {"simulation.timestep_s", "simulation.substeps"}
    reads.clear()
    assert [camera.width for camera in cameras.cameras] == [84]
    assert reads == {"vision.cameras", "vision.cameras.width"}
    reads.clear()
    assert noted.tool_limits is not None
    assert reads == {"deploy.safety.tool_speed", "robot.tool_acceleration"}
    reads.clear()
    assert (reach.variant, extractor.latent, task.delays.observation[0]) == ("best", 100, 0.5)
    assert reads == {"reach.variant", "extractor.latent", "tasks.reach.delays.observation"}


def test_copies_note_what_they_still_have(reads):
    noted = recording(load_profile("aloha-smoke").profile, reads)
    changed = noted.model_copy(update={"vision": noted.vision.model_copy(update={"shadows": False})})
    assert not changed.vision.shadows and reads == {"vision.shadows"}
    assert changed.vision.depth_noise.loss == 0.006
    assert reads == {"vision.shadows", "vision.depth_noise", "vision.depth_noise.loss"}


def test_a_section_that_is_dumped_or_compared_is_read_whole(reads):
    noted = recording(load_profile("xarm7-smoke").profile, reads)
    noted.deploy.safety.model_dump(mode="json")
    plain = {f"deploy.safety.{name}" for name in Safety.model_fields if name != "perception"}
    assert reads == plain | {f"deploy.safety.perception.{name}" for name in Perception.model_fields}
    reads.clear()
    assert noted.tasks.reach.delays != noted.tasks.reach.model_copy().delays.model_copy(update={"observation": (1.0,)})
    assert reads == {f"tasks.reach.delays.{name}" for name in ("joint_action", "gripper_action", "observation")}


def test_a_stage_that_reads_what_it_does_not_declare_is_found(tmp_path):
    honest = GRAPH[0]
    assert execute(honest, "xarm7-smoke", (), Store(tmp_path / "one"), {}).undeclared == []
    silent = replace(honest, reads=("robot.name", "simulation.timestep_s", "simulation.compilation"))
    assert execute(silent, "xarm7-smoke", (), Store(tmp_path / "other"), {}).undeclared == ["simulation.substeps"]
