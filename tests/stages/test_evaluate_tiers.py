"""A real policy in tiers: T0 is the plain evaluation, equal seeds give equal tables, and a cut-off run goes on."""

import json

import numpy as np
import pytest

from s2rctl.core.errors import Interrupted, RunError, UsageError
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.core.resources import pretrained
from s2rctl.evaluation.tiers import TIERS, applying, chosen_tiers, require_same_starts, tier_worlds
from s2rctl.evaluation.worlds import Worlds
from s2rctl.pipeline.graph import evaluation_stage, sensitivity_stage, tiers_stage
from s2rctl.schema.load import load_resolved
from s2rctl.stages import evaluate, evaluate_sensitivity, evaluate_tiers
from s2rctl.stages.protocol import Context
from s2rctl.store.archive import import_archive
from s2rctl.store.store import Store
from s2rctl.systems import policy_named

WORLDS = 6
SETS = (
    f"evaluate.worlds={WORLDS}", f"evaluate.gate.episodes={WORLDS}", f"evaluate.tiers.episodes={WORLDS}",
    "evaluate.videos=0", "evaluate.tiers.films=0",
    "evaluate.tiers.sensitivity={episodes: 2, multiples: [1], worlds: 64}",
)  # fmt: skip


class StopsIn(NullReporter):
    """Asks to stop when a tier begins."""

    def __init__(self, interrupt, tier):
        self.interrupt, self.tier = interrupt, tier

    def start(self, stage, total, unit):
        self.interrupt.requested = stage.startswith(self.tier)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    import_archive(store, pretrained()["aloha-teachers"])
    return store.resolve("teacher/pick:pretrained")


def job(teacher, folder, stage=tiers_stage, interrupt=None, reporter=None, sets=()):
    system, policy = policy_named("teacher", "pick")
    profile = load_resolved(teacher.manifest.content.profile, (*SETS, *sets)).profile
    folder.mkdir(exist_ok=True)
    return Context(
        stage(system, policy), profile, {"policy": teacher}, teacher.store, folder, reporter or NullReporter(),
        interrupt or Interrupt(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def played(teacher, tmp_path_factory):
    context = job(teacher, tmp_path_factory.mktemp("run"))
    return context, evaluate_tiers.run(context)


def lines(result, name):
    return [json.loads(line) for line in result.files[name].read_text().splitlines()]


def test_own_worlds_are_those_of_the_plain_evaluation_episode_by_episode(teacher, played, tmp_path):
    plain = evaluate.run(job(teacher, tmp_path / "plain", evaluation_stage))
    found = lines(played[1], "T0-episodes.jsonl")
    assert len(found) == WORLDS and all(line.pop("drawn") for line in found)
    assert found == lines(plain, "episodes.jsonl")
    figures = played[1].metrics["tiers"]["T0"]
    assert all(figures[name] == plain.metrics[name] for name in ("successes", "wilson_low", "failures"))


def test_the_table_has_everything_and_both_controls(played):
    _, result = played
    found = json.loads(result.files["tiers.json"].read_text())
    assert list(found["tiers"]) == ["T0", "T3"] and list(found["left_out"]) == ["T1", "T2", "T4", "T5"]
    own, physics = found["tiers"].values()
    assert (
        own["paired"] is None
        and sum(physics["paired"][n] for n in ("both", "only_first", "only_second", "neither")) == WORLDS
    )
    for tier in (own, physics):
        assert tier["controls"]["positive"]["successes"] > WORLDS / 2 and tier["controls"]["negative"]["successes"] == 0
        assert tier["void"] is False and "pictures" not in tier["controls"]
    drawn = [line["drawn"] for line in lines(result, "T3-episodes.jsonl")]
    assert len({line["friction"] for line in drawn}) == WORLDS and all(0.7 <= line["friction"] <= 1.3 for line in drawn)
    assert "friction" not in lines(result, "T0-episodes.jsonl")[0]["drawn"]
    assert result.metrics["tiers"]["T3"]["text"] == physics["text"] and "clusters" not in result.metrics["tiers"]["T3"]


def test_equal_seeds_give_equal_tables_and_a_run_that_was_cut_off_goes_on(teacher, played, tmp_path):
    stop = Interrupt()
    with pytest.raises(Interrupted):
        evaluate_tiers.run(job(teacher, tmp_path, interrupt=stop, reporter=StopsIn(stop, "T3")))
    assert (tmp_path / "T0.json").is_file() and not (tmp_path / "T3.json").exists()
    kept = (tmp_path / "T0.json").stat().st_mtime_ns
    again = evaluate_tiers.run(job(teacher, tmp_path))
    assert (tmp_path / "T0.json").stat().st_mtime_ns == kept
    assert again.files["tiers.json"].read_text() == played[1].files["tiers.json"].read_text()
    assert lines(again, "T3-episodes.jsonl") == lines(played[1], "T3-episodes.jsonl")


def test_single_axes_begin_where_all_others_do(teacher, tmp_path):
    narrow = [f"tasks.pick.dynamics.{name}=[1, 1]" for name in ("mass", "inertia", "damping", "armature")]
    context = job(teacher, tmp_path / "axes", sensitivity_stage, sets=narrow)
    found = json.loads(evaluate_sensitivity.run(context).files["sensitivity.json"].read_text())["sensitivity"]
    assert (
        {"friction", "gain", "latency", "gravity_sag"} <= set(found)
        and "mass" not in found
        and "tolerance" not in found
    )
    friction = found["friction"]
    assert [row["value"] for row in friction["values"]] == [0.7, 1.3] and friction["nominal_rate"]["episodes"] == 2
    costs = [row["cost"] for row in found.values()]
    assert costs == sorted(costs, reverse=True)


def test_perturbed_profiles_are_refused(teacher, tmp_path):
    for stage, run in ((tiers_stage, evaluate_tiers.run), (sensitivity_stage, evaluate_sensitivity.run)):
        with pytest.raises(UsageError, match="cannot be combined"):
            run(job(teacher, tmp_path, stage, sets=("evaluate.perturb={latency: 0.05}",)))


def test_which_tiers_there_are():
    assert applying(True) == tuple(TIERS) and applying(False) == ("T0", "T3")
    assert chosen_tiers(("T5", "T3"), True) == ("T0", "T3", "T5")
    assert chosen_tiers((), False) == ("T0", "T3")
    with pytest.raises(UsageError, match="changes what cameras see"):
        chosen_tiers(("T5",), False)
    with pytest.raises(UsageError, match="no tier"):
        chosen_tiers(("T7",), True)


def own_worlds(teacher, count=WORLDS):
    profile = load_resolved(teacher.manifest.content.profile, SETS).profile
    return Worlds(profile, "pick", count, 7, images=False, perturb={})


def test_each_batch_of_drawn_dynamics_has_worlds_of_its_own(teacher):
    first, second = (tier_worlds(TIERS["T3"], own_worlds(teacher), batch).dynamics for batch in (0, 1))
    assert first.keys() == second.keys() and not np.any(first["friction"] == second["friction"])
    again = tier_worlds(TIERS["T5"], own_worlds(teacher), 0).dynamics
    assert all(np.array_equal(again[name], first[name]) for name in first)  # T5 is T3 and more
    assert tier_worlds(TIERS["T0"], own_worlds(teacher), 0) is not None
    assert tier_worlds(TIERS["T0"], own_worlds(teacher), 0).dynamics is None


def test_episodes_that_begin_elsewhere_are_no_pairs(teacher):
    own = own_worlds(teacher)
    start = np.zeros((2, 15))  # 8 joints, a block's position and quaternion
    higher, aside = start.copy(), start.copy()
    higher[:, 10] += 0.001
    aside[1, 9] += 0.001
    require_same_starts(start, higher, "T3", own)
    with pytest.raises(RunError, match="T3 did not start from the same states as T0"):
        require_same_starts(start, aside, "T3", own)
    with pytest.raises(RunError):
        require_same_starts(start, start[:1], "T3", own)
