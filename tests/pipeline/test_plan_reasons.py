"""Why a stage has to run: what it reads and what has changed, and nothing else."""

from types import SimpleNamespace

from s2rctl.pipeline.graph import graph_of, stage_named
from s2rctl.pipeline.plan import differences
from s2rctl.schema.load import load_profile


def test_what_came_later_and_says_nothing_yet_is_no_reason():
    profile = load_profile("xarm7-smoke", ["extractor.batch=96"]).profile
    stage = stage_named(graph_of(profile.system), "init-extractor")
    before = profile.model_dump(mode="json")
    before["extractor"]["batch"] = 64
    del before["extractor"]["stem"], before["tasks"]["reach"]["dynamics"]
    content = SimpleNamespace(
        stage=SimpleNamespace(version=stage.version), seed=profile.seed, inputs=[], profile=before
    )
    previous = SimpleNamespace(manifest=SimpleNamespace(content=content))
    assert differences(stage, profile, {}, previous) == ["extractor.batch 64 -> 96"]
    before["extractor"]["stem"] = "fine"
    assert differences(stage, profile, {}, previous)[1:] == ['extractor.stem "fine" -> "coarse"']
