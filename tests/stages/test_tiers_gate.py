"""The gate on tiers, and what is kept of them: live runs, the contract card, the newest results."""

import json
from dataclasses import replace

import pytest

from s2rctl.cli.deploy import latest_evaluation, latest_in_tiers, latest_with_input
from s2rctl.core.errors import GateError
from s2rctl.schema.contract import Contract, TierResult
from s2rctl.schema.load import load_profile
from s2rctl.schema.manifest import InputRef
from s2rctl.stages import live
from s2rctl.stages.certificate import preflight, tier_gate, tiers_digest
from s2rctl.stages.tier_table import tier_results
from s2rctl.store.store import Store
from tests.stages.test_deploy import STEPS, publish, reach_card, ready


@pytest.fixture(scope="module")
def profile():
    return load_profile("xarm7-smoke", [f"tasks.reach.episode_steps={STEPS}"]).profile


def result(low, void=False):
    return {
        "title": "another physics", "episodes": 100, "successes": 90, "success_rate": 0.9, "wilson_low": low,
        "wilson_high": 0.95, "text": "90/100", "failures": {}, "void": void,
    }  # fmt: skip


def tiers(store, profile, policy, folder, role="onnx", digest=None, **rows):
    """Publish an evaluation of a policy in tiers."""
    metrics = {
        "policy": policy.ref, "policy_id": policy.id, "task": "reach", "tiers": rows,
        "settings_sha256": digest or tiers_digest(profile, "reach"),
    }  # fmt: skip
    (folder / "tiers.json").write_text(json.dumps(metrics))
    files = {"tiers.json": folder / "tiers.json"}
    return publish(store, profile, "evaluation", "t", files, [InputRef(role=role, id=policy.id)], metrics)


def asking(job, **bounds):
    """The same job with a profile whose gate names tiers."""
    gate = job.profile.evaluate.gate.model_copy(update={"tiers": bounds})
    return replace(
        job, profile=job.profile.model_copy(update={"evaluate": job.profile.evaluate.model_copy(update={"gate": gate})})
    )


def joined(job, profile, folder, **more):
    played = tiers(job.store, profile, job.inputs["onnx"], folder, **more)
    return replace(job, inputs={**job.inputs, "tiers": played})


@pytest.mark.parametrize(
    ("played", "text"),
    [
        (None, "never evaluated in the tiers"),
        ({"T0": result(0.9)}, "the tier T3 was not played"),
        ({"T3": result(0.9, void=True)}, "the tier T3 is void"),
        ({"T3": result(0.79)}, "did not pass the tier T3: the Wilson lower bound 79.0 % is below 80 %"),
        ({"T3": result(0.9), "digest": "0" * 64}, "in other worlds than today's profile describes"),
    ],
)
def test_live_is_refused_without_the_tiers_that_the_profile_names(tmp_path, profile, played, text):
    job = asking(ready(tmp_path, profile), T3=0.8)
    job = job if played is None else joined(job, profile, tmp_path, **played)
    with pytest.raises(GateError, match=text) as caught:
        live.run_live(job)
    assert caught.value.hint


def test_what_passed_is_let_through_and_other_tiers_do_not_matter(tmp_path, profile):
    job = ready(tmp_path, profile)
    preflight(joined(asking(job, T3=0.8), profile, tmp_path, T3=result(0.8), T5=result(0.1)))
    preflight(job)  # a profile that names none asks for none


def easier(profile):
    looks = profile.vision.appearance
    calmer = looks.model_copy(update={"pixel_noise": looks.pixel_noise / 2 + 0.001})
    return profile.model_copy(update={"vision": profile.vision.model_copy(update={"appearance": calmer})})


def test_an_evaluation_that_was_made_easier_does_not_open_the_gate_and_hides_none_that_does(tmp_path, profile):
    job = ready(tmp_path, profile)
    onnx, own = job.inputs["onnx"], job.inputs["evaluation"]
    made_from = [InputRef(role="onnx", id=onnx.id)]
    files = {"evaluation.json": tmp_path / "evaluation.json"}
    figures = {"gate_passed": True, "wilson_low": 0.99}
    other = publish(job.store, easier(profile), "evaluation", "e", files, made_from, figures)
    with pytest.raises(GateError, match="in other worlds than today's profile describes"):
        preflight(replace(job, inputs={**job.inputs, "evaluation": other}))
    assert latest_with_input(onnx, "evaluation").id == other.id
    assert latest_evaluation(onnx, job.profile).id == own.id
    assert latest_evaluation(onnx, easier(easier(profile))).id == other.id  # the newest, where none fits


def test_ranges_that_changed_since_are_other_worlds(profile):
    def digest(*sets):
        return tiers_digest(load_profile("xarm7-smoke", [f"tasks.reach.episode_steps={STEPS}", *sets]).profile, "reach")

    assert digest() == digest("evaluate.tiers.episodes=7", "evaluate.tiers.names=[T3]", "evaluate.worlds=3")
    for other in (
        "tasks.reach.dynamics.gain=[1, 1]",
        "evaluate.tiers.camera.fovy_deg=0",
        "evaluate.tiers.controls.pictures=0",
    ):
        assert digest(other) != digest()


def test_a_void_tier_meets_no_bound():
    rows = tier_gate({"T3": 0.5, "T5": 0.1}, {"T3": result(0.9, void=True), "T4": result(0.0)})
    assert rows == {"T3": {"needed": 0.5, "wilson_low": 0.9, "void": True, "passed": False}}


def test_evaluations_in_tiers_are_not_taken_for_the_plain_one(tmp_path, profile):
    job = ready(tmp_path, profile)
    onnx = job.inputs["onnx"]
    whole = tiers(job.store, profile, onnx, tmp_path, T0=result(0.9), T3=result(0.9))
    part = tiers(job.store, profile, onnx, tmp_path, T0=result(0.91))
    assert latest_with_input(onnx, "evaluation").id == job.inputs["evaluation"].id
    assert latest_in_tiers(onnx, ["T3"]).id == whole.id
    assert latest_in_tiers(onnx, ["T5"]).id == part.id


def test_the_card_keeps_the_newest_result_of_every_tier(tmp_path, profile):
    store = Store(tmp_path / "store")
    (tmp_path / "w").write_text("1")
    policy = publish(store, profile, "reach", "p", {"w": tmp_path / "w"})
    other = publish(store, profile, "reach", "q", {"w": tmp_path / "w"})
    assert tier_results(store, policy) == ()
    onnx = publish(
        store, profile, "onnx", "p", {"w": tmp_path / "w"}, [InputRef(role="policy", id=policy.id)],
        contract=reach_card(trained_from={"policy": policy.id}),
    )  # fmt: skip
    tiers(store, profile, policy, tmp_path, "policy", digest="1" * 64, T5=result(0.5))  # in other worlds
    tiers(store, profile, onnx, tmp_path, T0=result(0.8), T3=result(0.7))
    tiers(store, profile, policy, tmp_path, "policy", T3=result(0.6, void=True))
    tiers(store, profile, other, tmp_path, "policy", T0=result(0.1))
    found = tier_results(store, policy)
    assert [(tier.name, tier.wilson_low, tier.void) for tier in found] == [("T0", 0.8, False), ("T3", 0.6, True)]


def test_a_card_without_tiers_stays_what_it_was():
    card = reach_card()
    assert "tiers" not in card.model_dump() and Contract.model_validate_json(card.model_dump_json()) == card
    known = TierResult(name="T3", title="another physics", episodes=8, successes=7, wilson_low=0.5, wilson_high=0.9)
    told = reach_card(tiers=(known,))
    assert Contract.model_validate_json(told.model_dump_json()).tiers == (known,)
