from typing import get_args

import pytest

from s2rctl.pipeline.graph import (
    downstream,
    evaluation_stage,
    graph_of,
    producer_of,
    sensitivity_stage,
    stage_named,
    tiers_stage,
)
from s2rctl.pipeline.key import cache_key, read_fields
from s2rctl.pipeline.plan import flat
from s2rctl.schema.load import load_profile
from s2rctl.schema.manifest import Kind
from s2rctl.systems import SYSTEMS
from tests.pipeline.test_both_pipelines import FREE, within

PROFILES = {"aloha": "aloha-smoke", "xarm7-reach": "xarm7-smoke"}


@pytest.mark.parametrize("system", SYSTEMS.names())
def test_graphs_are_in_running_order_and_read_fields_that_exist(system):
    graph = graph_of(system)
    profile = load_profile(PROFILES[system]).profile
    made: set[tuple[str, str]] = set()
    for stage in graph:
        assert stage.kind in get_args(Kind)
        for wanted in stage.inputs:
            assert (wanted.kind, wanted.name) in made, f"{stage.name} runs before {wanted}"
            assert producer_of(graph, wanted) is not None
        assert read_fields(stage, profile.model_dump(mode="json"))
        made.add((stage.kind, stage.output))
    assert len({stage.name for stage in graph}) == len(graph) == len(made)
    assert graph[-1].name == "report" and len(graph[-1].inputs) == len(graph) - 1
    assert downstream(graph, graph[0].name) >= {graph[0].name, "export", "evaluate", "rehearse", "report"}


@pytest.mark.parametrize("system", SYSTEMS.names())
def test_every_profile_value_reaches_some_cache_key(system):
    """A field that no stage declares to read would be ignored by the cache."""
    values = load_profile(PROFILES[system]).profile.model_dump(mode="json")
    row = SYSTEMS.load(system)
    kinds = (evaluation_stage, tiers_stage, sensitivity_stage)
    evaluations = [stage(row, policy) for policy in row.policies for stage in kinds]
    stages = [*graph_of(system), *evaluations]
    read = {prefix for stage in stages if "*" not in stage.reads for prefix in stage.reads}
    unread = [path for path in flat(values) if not within(path, (*FREE, *read))]
    assert unread == []


def test_key_depends_on_inputs_and_nothing_else_changes_it():
    profile = load_profile("aloha-smoke").profile
    stage = stage_named(graph_of("aloha"), "train-teacher-insert")
    key = cache_key(stage, profile, {"pick": "a" * 64})
    assert key == cache_key(stage, load_profile("aloha-smoke", ["distill.epochs=9"]).profile, {"pick": "a" * 64})
    assert key != cache_key(stage, profile, {"pick": "b" * 64})
    assert key != cache_key(stage, load_profile("aloha-smoke", seed=1).profile, {"pick": "a" * 64})
    changed = load_profile("aloha-smoke", ["teacher.insert.ppo.clip=0.1"]).profile
    assert key != cache_key(stage, changed, {"pick": "a" * 64})


DEPTH = "vision.cameras=[{name: side, width: 84, height: 84, depth: true, colour: %s}]"


@pytest.mark.parametrize(
    ("profile", "stage", "change", "old", "new"),
    [
        ("aloha-smoke", "distill", "distill.recurrent=%s", "0", "8"),
        ("aloha-smoke", "distill", "distill.reuse=%s", "1", "2"),
        ("aloha-smoke", "distill", "encoder.stem=%s", "coarse", "fine"),
        ("xarm7-smoke", "init-extractor", "extractor.stem=%s", "coarse", "fine"),
        ("xarm7-smoke", "train-reach", "reach.freeze_extractor=%s", "false", "true"),
        ("xarm7-smoke", "train-reach", DEPTH, "true", "false"),
        ("xarm7-smoke", "export", "simulation.compilation=%s", "full", "quick"),
    ],
)
def test_fields_that_came_later_are_in_a_key_only_where_they_change_anything(profile, stage, change, old, new):
    """So results that older versions kept still count."""

    def told(value):
        loaded = load_profile(profile, [change % value]).profile
        (found,) = (one for one in graph_of(loaded.system) if one.name == stage)
        fields = read_fields(found, loaded.model_dump(mode="json"))
        return {f"{path}={item!r}".lower() for path, item in flat(fields).items()}

    name = "colour" if change == DEPTH else change.split(".")[-1].split("=")[0]
    (added,) = told(new) - told(old)
    assert name not in str(told(old) - told(new))
    assert name in added and new in added


def test_dynamics_are_in_the_keys_of_what_learns_or_plays_in_them():
    def keys(*sets):
        profile = load_profile("aloha-smoke", sets).profile
        return {stage.name: cache_key(stage, profile, {}) for stage in graph_of("aloha") if "*" not in stage.reads}

    before, after = keys(), keys("tasks.insertion.dynamics.friction=[0.9, 1.1]")
    assert [name for name in before if before[name] != after[name]] == ["train-teacher-insert", "distill", "evaluate"]
    assert keys("tasks.insertion.action_scale=0.03")["distill"] != before["distill"]


def test_stages_of_the_graphs_can_be_loaded():
    for graph in (graph_of(name) for name in SYSTEMS.names()):
        for stage in graph:
            assert callable(stage.load()), stage.run
