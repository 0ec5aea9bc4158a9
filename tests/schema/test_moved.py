"""Profiles of older shape: named fields in errors, silent upgrade of what stands in manifests."""

import json

import pytest

from s2rctl.core.errors import ArtifactError, ProfileError
from s2rctl.core.resources import data_folder
from s2rctl.schema.load import load_profile, load_resolved
from s2rctl.schema.moved import MOVED, moved_to, upgraded
from s2rctl.store.archive import import_archive
from s2rctl.store.store import Store

PRETRAINED = {
    "aloha-teachers": "aloha",
    "aloha-teachers-robust": "aloha",
    "aloha-student": "aloha",
    "aloha-student-robust": "aloha",
    "xarm7-reach": "xarm7-reach",
    "xarm7-reach-robust": "xarm7-reach",
}


@pytest.mark.parametrize(
    ("old", "value", "new"),
    [
        ("teacher.insert.delays.joint_action", "[1]", "tasks.insertion.delays"),
        ("teacher.pick.tracking", "true", "tasks.pick.tracking"),
        ("teacher.pick.rewards.grip", "3", "tasks.pick.rewards"),
    ],
)
def test_a_field_that_moved_is_named_where_it_stands_now(old, value, new):
    with pytest.raises(ProfileError) as caught:
        load_profile("aloha", [f"{old}={value}"])
    assert f"stands at {new} now" in caught.value.message and f"--set {old}" in caught.value.message


def test_the_reach_fields_moved_too():
    with pytest.raises(ProfileError, match=r"stands at tasks\.reach\.action_scale now"):
        load_profile("xarm7-reach", ["reach.action_scale_m=0.01"])


def test_what_never_moved_is_not_said_to_have():
    assert moved_to("teacher.pick.ppo.steps") is None and moved_to("reach.steps") is None
    assert moved_to("teacher.pick.noise.joint_pos") == "tasks.pick.noise.joint_pos"


@pytest.mark.parametrize("name", ["aloha", "aloha-smoke", "xarm7-reach", "xarm7-smoke"])
def test_a_profile_of_today_is_left_as_it_is(name):
    resolved = load_profile(name).profile.model_dump(mode="json")
    before = json.dumps(resolved)
    assert upgraded(resolved) == resolved and json.dumps(resolved) == before


def test_every_new_place_exists():
    for path in MOVED.values():
        name = "xarm7-reach" if "reach" in path.split(".") else "aloha"
        node = load_profile(name).profile.model_dump()
        for part in path.split("."):
            assert part in node, path
            node = node[part]


@pytest.mark.parametrize("archive", PRETRAINED)
def test_the_profiles_of_the_pretrained_archives_load(archive, tmp_path):
    store = Store(tmp_path)
    import_archive(store, data_folder("assets") / "pretrained" / f"{archive}.tar")
    assert store.list()
    for artifact in store.list():
        loaded = load_resolved(artifact.manifest.content.profile).profile
        assert loaded.system == PRETRAINED[archive]


@pytest.mark.parametrize("wrong", ["text", 3, None, [1], {"reach": "text"}, {"reach": [1]}])
def test_a_hostile_old_manifest_is_a_fault_and_no_bug(wrong):
    profile = load_profile("xarm7-smoke").profile.model_dump(mode="json")
    profile["tasks"] = wrong
    profile["reach"]["episode_steps"] = 50
    profile["reach"]["delays"] = {"joint_action": []}
    with pytest.raises(ArtifactError, match=r"kept with the artifact is invalid: .*tasks"):
        load_resolved(profile)


def test_a_manifest_that_is_invalid_is_an_artifacts_error_and_a_wrong_change_is_the_callers():
    profile = load_profile("xarm7-smoke").profile.model_dump(mode="json")
    with pytest.raises(ProfileError, match="seed"):
        load_resolved(profile, ["seed=many"])
    with pytest.raises(ArtifactError, match=r"seed.*\(and 1 more\)") as caught:
        load_resolved({**profile, "seed": "many", "unknown": 1})
    assert "train or export it again" in caught.value.hint
