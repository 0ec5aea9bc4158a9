"""Everything that uses an exported policy refuses one that lost its seal, also from an archive and from the cache."""

import json

import numpy as np
import onnx
import pytest

from s2rctl.cli.main import main
from s2rctl.core import seal
from s2rctl.core.errors import ArtifactError
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.operations import serve
from s2rctl.operations.sealed import require_sealed
from s2rctl.schema.load import load_profile
from s2rctl.stages import deploy, live
from s2rctl.stages.policies import import_onnx, load_player
from s2rctl.store.store import Store
from tests.control.rigs import write_policy
from tests.stages.test_deploy import context, publish, reach_card

CARD = reach_card(policy="reach/xarm7")


def unsealed(path):
    """Write a policy that is whole but for its seal."""
    model = onnx.load(write_policy(path, CARD, np.zeros(3)))
    model.metadata_props.remove(next(entry for entry in model.metadata_props if entry.key == seal.SEAL_KEY))
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


@pytest.fixture(scope="module")
def profile():
    return load_profile("xarm7-smoke").profile


@pytest.fixture
def bad(tmp_path, profile):
    store = Store(tmp_path / "store")
    files = {"policy.onnx": unsealed(tmp_path / "bad.onnx")}
    made = publish(store, profile, "onnx", "xarm7-reach", files, contract=CARD)
    store.set_ref("onnx/xarm7-reach:latest", made.id, "test")
    return made


@pytest.mark.parametrize(
    "use",
    [
        lambda bad, job, profile: deploy.run_rehearsal(job),
        lambda bad, job, profile: deploy.load_policy(job),
        lambda bad, job, profile: live.run_shadow(job),
        lambda bad, job, profile: serve.run(bad, profile, "127.0.0.1", 0, 0.1, NullReporter(), Interrupt()),
        lambda bad, job, profile: load_player(bad),
        lambda bad, job, profile: require_sealed(bad),
    ],
    ids=["rehearse", "load", "shadow", "serve", "evaluate", "ask"],
)
def test_every_use_refuses_a_policy_without_its_seal(tmp_path, profile, bad, use):
    (tmp_path / "other").mkdir()
    job = context(tmp_path / "other", profile)
    job.inputs["onnx"] = bad
    with pytest.raises(ArtifactError, match="has no seal") as caught:
        use(bad, job, profile)
    assert "s2rctl export" in caught.value.hint


def test_a_file_that_is_not_in_the_store_gets_no_further(tmp_path, profile):
    store = Store(tmp_path / "store")
    with pytest.raises(ArtifactError, match="has no seal"):
        import_onnx(store, unsealed(tmp_path / "bad.onnx"), profile.model_dump(mode="json"), 0)
    assert store.list() == []


@pytest.mark.parametrize("command", ["deploy", "deploy-serve", "evaluate", "evaluate-file", "evaluate-against"])
def test_the_commands_exit_4_before_anything_of_the_cache_is_asked(tmp_path, bad, capsys, monkeypatch, command):
    from s2rctl.pipeline import run as pipeline_run

    def never(*_):
        raise AssertionError("a policy without a seal must not get as far as the cache")

    monkeypatch.setattr(pipeline_run, "run_alone", never)
    ref = "onnx/xarm7-reach"
    words = {
        "deploy": ["deploy", ref],
        "deploy-serve": ["deploy", ref, "--serve", "openpi", "--seconds", "0.1"],
        "evaluate": ["evaluate", ref],
        "evaluate-file": ["evaluate", str(tmp_path / "bad.onnx")],
        "evaluate-against": ["evaluate", ref, "--against", ref],
    }[command]
    assert main([*words, "--store", str(bad.store.root), "--json"]) == 4
    said = capsys.readouterr()
    assert "has no seal" in json.loads(said.out)["error"]["message"]
    assert [line.partition(":")[0] for line in said.err.splitlines()] == ["error", "hint"]


def test_an_archive_does_not_bring_one_in_through_the_back_door(tmp_path, bad, capsys):
    archive, other = tmp_path / "a.tar", tmp_path / "elsewhere"
    assert main(["artifacts", "export", bad.ref, str(archive), "--store", str(bad.store.root), "-q"]) == 0
    assert main(["artifacts", "import", str(archive), "--store", str(other), "-q"]) == 0
    for words in (["deploy", bad.id], ["evaluate", bad.id]):
        capsys.readouterr()
        assert main([*words, "--store", str(other), "-q"]) == 4
        assert "has no seal" in capsys.readouterr().err


def test_a_manifest_that_promises_another_contract_is_refused(tmp_path, profile):
    path = write_policy(tmp_path / "p.onnx", CARD, np.zeros(3))
    store = Store(tmp_path / "store")
    made = publish(
        store, profile, "onnx", "x", {"policy.onnx": path}, contract=reach_card(policy="reach/xarm7", rate_hz=50)
    )
    with pytest.raises(ArtifactError, match="is not the one in its file"):
        require_sealed(made)
    with pytest.raises(ArtifactError, match="has no contract"):
        require_sealed(publish(store, profile, "onnx", "y", {"policy.onnx": path}))


def test_the_pretrained_exports_are_accepted(tmp_path, capsys):
    from s2rctl.core.resources import pretrained

    store = Store(tmp_path / "store")
    found = 0
    for name in pretrained():
        assert main(["artifacts", "import", name, "--store", str(store.root), "-q"]) == 0
    for artifact in store.list("onnx"):
        found += bool(require_sealed(artifact))
    assert found == 4  # of both students, and of reaching from colour and from depth
