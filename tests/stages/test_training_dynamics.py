"""Policies train in worlds whose dynamics differ as far as the profile says, and never in those of an evaluation."""

import numpy as np
import pytest

from s2rctl.env.build import profile_dynamics, training_dynamics
from s2rctl.schema.dynamics import KINDS
from s2rctl.schema.load import load_profile


@pytest.mark.parametrize(("name", "task"), [("aloha", "insertion"), ("xarm7-reach", "reach")])
def test_worlds_that_train_are_drawn_within_the_share_and_are_not_those_of_an_evaluation(name, task):
    profile = load_profile(name).profile
    assert training_dynamics(profile, task, 64, 3, 0.0) is None
    half = training_dynamics(profile, task, 64, 3, 0.5)
    assert half is not None and {"gain", "latency"} <= set(half)
    for axis, values in half.items():
        (low, high), nominal = getattr(profile.task(task).dynamics, axis), KINDS[axis].nominal
        reach = nominal + 0.5 * (np.array([low, high]) - nominal)
        assert np.all((values >= reach[0] - 1e-12) & (values <= reach[1] + 1e-12)), axis
        assert np.ptp(values) > 0 or low == high, axis
        whole = np.round(nominal + (values - nominal) / 0.5, 9)
        judged = training_dynamics(profile, task, 64, 3, 1.0, judging=True)
        assert judged is not None
        for others in (profile_dynamics(profile, task, 64, 3), judged):
            assert low == high or not np.isin(np.round(others[axis], 9), whole).any(), axis


def test_worlds_can_go_from_nominal_to_all_the_way():
    profile = load_profile("aloha").profile
    whole, spread = (training_dynamics(profile, "insertion", 400, 3, 1.0, mildest=m) for m in (1.0, 0.25))
    assert whole is not None and spread is not None
    shares = []
    for axis, values in whole.items():
        nominal = KINDS[axis].nominal
        far = np.abs(values - nominal) > 1e-9
        shares.append(np.where(far, (spread[axis] - nominal) / np.where(far, values - nominal, 1.0), np.nan))
    each = np.nanmean(shares, axis=0)
    assert np.nanmax(np.nanstd(shares, axis=0)) < 1e-6, "one share for all axes of a world"
    assert 0.25 <= each.min() < 0.3 and 0.95 < each.max() <= 1.0
