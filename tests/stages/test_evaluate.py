"""How many episodes the perception check would have stopped."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from s2rctl.evaluation.episodes import Episode, Episodes
from s2rctl.pipeline.demonstration import SETTINGS
from s2rctl.schema.contract import Estimate
from s2rctl.schema.load import load_profile
from s2rctl.stages import evaluate
from s2rctl.stages.export import WORLDS

ESTIMATE = Estimate(
    output="position", of="tcp", median_m=0.01, p95_m=0.02, p99_m=0.03, filtered_max_m=0.03, filter_s=0.35, episodes=64
)
GOOD, LOST = [0.01] * 20, [0.01] * 10 + [0.06] * 4 + [0.01] * 6


def episode(world, errors, success=True):
    return Episode(world, 0, success, success, "none" if success else "timeout", len(errors), 0.0, None, None, errors)


def result(*rows):
    episodes = [episode(i, {"position": tuple(errors)}, success) for i, (errors, success) in enumerate(rows)]
    return Episodes(tuple(episodes), (), np.zeros((0, 0)))


def figures(estimates, played, *sets):
    context = SimpleNamespace(profile=load_profile("xarm7-smoke", list(sets)).profile)
    return evaluate._perception(context, SimpleNamespace(estimates=estimates), played)


def test_stops_are_counted_and_the_successes_among_them():
    played = result((GOOD, True), (LOST, True), (LOST, False), ([np.nan] * 20, False), ([0.06] * 3 + GOOD, True))
    found = figures((ESTIMATE,), played)
    assert (found["perception_stops"], found["perception_stopped_successes"]) == (3, 1)
    assert found["perception_limit_m"] == {"position": pytest.approx(0.05)}
    assert found["perception_error_m"] == {"position": pytest.approx(0.01)}
    json.dumps(found, allow_nan=False)


def test_factor_and_filter_are_the_profile_s():
    played = result((LOST, True))
    assert figures((ESTIMATE,), played, "deploy.safety.perception.factor=3.5")["perception_stops"] == 0
    assert figures((ESTIMATE,), played, "deploy.safety.perception.filter_s=0.6")["perception_stops"] == 0


def test_an_old_card_has_no_such_figures():
    assert figures((), Episodes((episode(0, {}),), (), np.zeros((0, 0)))) == {}


@pytest.mark.parametrize("name", ["aloha-smoke", "xarm7-smoke"])
def test_smoke_evaluations_play_in_worlds_that_export_has_compiled(name):
    assert load_profile(name).profile.evaluate.worlds == WORLDS
    assert f"evaluate.worlds={WORLDS}" in SETTINGS


def test_errors_that_are_not_finite_are_null_in_the_episodes_lines():
    line = json.loads(evaluate._line(episode(0, {"position": (0.1, np.nan)})))
    assert line["estimate_errors"] == {"position": [0.1, None]} and line["world"] == 0
