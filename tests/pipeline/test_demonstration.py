"""What a demonstration changes fits what it shows; that it works is shown by ``test_both_pipelines``."""

import pytest

from s2rctl.core.resources import pretrained
from s2rctl.pipeline.demonstration import SETTINGS, shown
from s2rctl.schema.load import load_profile, load_resolved
from s2rctl.store.archive import import_archive
from s2rctl.store.store import Store
from s2rctl.systems import archive_of, system_named


@pytest.mark.parametrize("system", ["aloha", "xarm7-reach"])
def test_its_settings_fit_the_profile_that_the_ready_policy_was_made_with(system, tmp_path):
    deployed = system_named(system).deployed
    store = Store(tmp_path / "store")
    import_archive(store, pretrained()[archive_of(deployed.kind, deployed.name)])
    made = store.resolve(f"onnx/{deployed.export}:pretrained").manifest.content.profile
    profile = load_resolved(made, [*SETTINGS, "name=mine"]).profile
    assert (profile.system, profile.name, profile.simulation.compilation) == (system, "mine", "quick")
    assert profile.deploy.rehearsal.through == "driver" and profile.deploy.rehearsal.max_safety_stops == 0
    assert (profile.evaluate.gate.success_low, profile.evaluate.gate.episodes) == (0, 32)


def test_only_smoke_profiles_are_compiled_quickly():
    """What is trained to be used is optimised in full."""
    full = {name for name in ("aloha", "aloha-robust", "xarm7-reach", "xarm7-robust")}
    assert {load_profile(name).profile.simulation.compilation for name in full} == {"full"}
    assert {load_profile(name).profile.simulation.compilation for name in shown().values()} == {"quick"}
