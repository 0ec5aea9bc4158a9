"""Which task a policy does, who drives before it, and how an ONNX file becomes an artifact."""

from pathlib import Path

import numpy as np
import pytest

from s2rctl.cli.deploy import latest_with_input
from s2rctl.cli.evaluate import tables
from s2rctl.core.errors import ArtifactError
from s2rctl.schema.contract import Contract
from s2rctl.schema.manifest import InputRef, StageRef
from s2rctl.stages.policies import import_onnx, pilot_of, policy_of, stored_onnx
from s2rctl.store.store import Artifact, Store
from tests.control.rigs import TINY, contract, write_policy

PROFILE = {"name": "p", "system": "aloha"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def publish(store: Store, kind: str, name: str, folder: Path, **more: object) -> Artifact:
    path = folder / "file.json"
    path.write_text(f"{kind}/{name} {more}")
    files = {"file.json": path}
    return store.publish(kind, name, files, stage=StageRef(name="t", version=1), profile=PROFILE, seed=0, **more)


def card(policy: str, **more: object) -> Contract:
    return contract(TINY, policy=policy, **more)


@pytest.mark.parametrize(
    ("kind", "name", "task"),
    [
        ("teacher", "pick", "pick"),
        ("teacher", "insert", "insertion"),
        ("student", "aloha", "insertion"),
        ("reach", "xarm7", "reach"),
    ],
)
def test_every_policy_and_its_export_do_the_same_task(store, tmp_path, kind, name, task):
    policy = publish(store, kind, name, tmp_path)
    export = publish(store, "onnx", "anything", tmp_path, contract=card(f"{kind}/{name}"))
    found = policy_of(policy)
    assert found == policy_of(export)
    assert (found.kind, found.name, found.task) == (kind, name, task)


def test_what_is_no_policy_is_refused(store, tmp_path):
    with pytest.raises(ArtifactError, match="which is not a policy"):
        policy_of(publish(store, "encoder", "aloha", tmp_path))
    with pytest.raises(ArtifactError, match="has no contract"):
        policy_of(publish(store, "onnx", "aloha-pick", tmp_path))


def test_the_pick_teacher_is_found_by_lineage_also_for_an_export(store, tmp_path):
    pick = publish(store, "teacher", "pick", tmp_path)
    insert = publish(store, "teacher", "insert", tmp_path, inputs=[InputRef(role="pick", id=pick.id)])
    lineage = {"policy": insert.id, "pick": pick.id}
    export = publish(store, "onnx", "aloha-insert", tmp_path, contract=card("teacher/insert", trained_from=lineage))
    policy = policy_of(insert)
    assert pilot_of(insert, policy).id == pilot_of(export, policy).id == pick.id
    with pytest.raises(ArtifactError, match="does not record which pick policy"):
        pilot_of(publish(store, "teacher", "insert", tmp_path), policy)


def test_an_onnx_file_is_the_artifact_with_its_bytes_or_a_new_one_without_a_ref(store, tmp_path):
    path = write_policy(tmp_path / "mine.onnx", card("teacher/insert"), np.zeros(3))
    assert stored_onnx(store, path) is None
    made = import_onnx(store, path, PROFILE, 7)
    assert (made.ref, made.manifest.content.seed) == ("onnx/aloha-insert", 7)
    assert made.manifest.content.contract == card("teacher/insert")
    assert store.refs.all() == {}
    again = stored_onnx(store, path)
    assert again is not None and again.id == made.id
    assert import_onnx(store, path, {"name": "other"}, 1).id == made.id


def test_a_file_that_holds_no_known_policy_is_refused(store, tmp_path):
    with pytest.raises(ArtifactError, match="cannot read"):
        stored_onnx(store, tmp_path / "none.onnx")
    with pytest.raises(ArtifactError, match="unknown policy 'test'"):
        import_onnx(store, write_policy(tmp_path / "p.onnx", card("test"), np.zeros(3)), PROFILE, 0)


def test_deploy_takes_the_plain_evaluation_of_this_very_policy(store, tmp_path):
    onnx = publish(store, "onnx", "aloha-student", tmp_path, contract=card("student/aloha"))
    own = [InputRef(role="onnx", id=onnx.id)]
    plain = publish(store, "evaluation", "plain", tmp_path, inputs=own, metrics={"gate_passed": False, "perturb": {}})
    publish(store, "evaluation", "easy", tmp_path, inputs=own, metrics={"gate_passed": True, "perturb": {"noise": 0.0}})
    against = [InputRef(role="against", id=onnx.id), InputRef(role="policy", id="ab" * 32)]
    publish(store, "evaluation", "other", tmp_path, inputs=against, metrics={"gate_passed": True})
    found = latest_with_input(onnx, "evaluation")
    assert found is not None and found.id == plain.id


def test_the_command_line_prints_failures_and_the_comparison():
    row = {
        "kind": "not_lifted", "episodes": 3, "share": 0.3, "interval_low": 0.067, "interval_high": 0.652,
        "steps_median": 160.0, "ever_successful": 1,
    }  # fmt: skip
    pairs = {
        "both": 5, "only_first": 2, "only_second": 1, "neither": 2, "statistic": 0.0, "p_value": 1.0,
        "difference": 0.1, "difference_low": -0.2, "difference_high": 0.4,
    }  # fmt: skip
    other = {"policy": "student/aloha", "policy_id": "ab" * 32, "text": "6/10 [26.2, 87.8]"}
    text = tables({"failure_rows": [row], "paired": pairs, "against": other})
    assert "not lifted" in text and "30.0 % [6.7, 65.2]" in text
    assert "both 5, only this 2, only the other 1, neither 2" in text
    assert "+10.0 % [-20.0, +40.0]" in text and "exact p = 1" in text
    assert tables({"failure_rows": []}) == ""
