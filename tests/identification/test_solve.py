"""Parameters are found within their intervals, what a recording cannot tell is left alone, the check is honest."""

import numpy as np
import pytest

pytest.importorskip("tabulate")  # the extra ``sysid``

from s2rctl.identification.check import errors_of
from s2rctl.identification.rehearse import draw_values
from s2rctl.identification.solve import solve
from s2rctl.identification.trace import Trace, averaged, hold_out
from tests.identification.helpers import HOME, PERIOD_S, make_bench, recorded


@pytest.fixture(scope="module")
def bench():
    made = make_bench()
    yield made
    made.close()


@pytest.fixture(scope="module")
def solved(bench):
    """Some arms that are drawn at random, and what is found of them."""
    found = []
    for seed in range(2):
        truth = draw_values(bench, np.random.default_rng(seed))
        traces = recorded(bench, truth, seed)
        found.append((truth, traces, solve(bench, traces)))
    return found


def test_intervals_hold_the_truth(bench, solved):
    held = []
    for truth, _, solution in solved:
        low, high = solution.interval
        held += list(((low <= truth) & (truth <= high))[solution.told])
        assert solution.told.sum() >= 9
    assert np.mean(held) >= 0.8


def test_the_delay_is_found_within_three_milliseconds(solved):
    assert max(abs(solution.values[-1] - truth[-1]) for truth, _, solution in solved) < 0.003


def test_the_held_out_part_is_foreseen_nearly_as_by_the_truth(bench, solved):
    for truth, traces, solution in solved:
        before, after, own = (errors_of(bench, v, traces) for v in (bench.space.mean, solution.values, truth))
        assert after.total < 0.2 * before.total
        assert after.total < 1.5 * own.total
        assert np.all(after.one_step <= 1.05 * before.one_step)


def test_what_stands_still_tells_nothing_and_is_left_at_its_prior(bench):
    truth = draw_values(bench, np.random.default_rng(7))
    still = [trace_without(trace, 1) for trace in recorded(bench, truth, 7)]
    solution = solve(bench, still)
    armature = bench.space.names.index("elbow armature")
    assert not solution.told[armature]
    assert solution.values[armature] == bench.space.mean[armature]
    assert solution.sigma[armature] == pytest.approx(bench.space.sigma[armature])
    assert solution.told[bench.space.names.index("shoulder gain")]


def test_outliers_do_not_spoil_the_delay(bench):
    truth = draw_values(bench, np.random.default_rng(3))
    traces = list(recorded(bench, truth, 3))
    spoilt = traces[0].joints.copy()
    spoilt[::25] += 0.2  # a damaged reading now and then
    traces[0] = Trace(**{**vars(traces[0]), "joints": spoilt})
    assert abs(solve(bench, traces).values[-1] - truth[-1]) < 0.003


def trace_without(trace: Trace, joint: int) -> Trace:
    """Return a trace in which a joint neither was told to move nor moved."""
    targets, joints = trace.targets.copy(), trace.joints.copy()
    targets[:, joint], joints[:, joint] = HOME[joint], trace.start[joint]
    return Trace(**{**vars(trace), "targets": targets, "joints": joints})


def test_a_command_counts_for_its_part_of_a_step():
    times, values = np.array([0.0, 0.05]), np.array([[1.0], [3.0]])
    edges = np.array([0.0, 0.05, 0.06, 0.07])
    np.testing.assert_allclose(averaged(times, values, edges, 0.004)[:, 0], [1.0, 1.0 + 2.0 * 0.6, 3.0])
    np.testing.assert_allclose(averaged(times, values, edges + 5.0, 0.0)[:, 0], 3.0)


def test_the_last_of_three_traces_is_held_out_and_of_one_its_last_quarter(bench):
    traces = recorded(bench, bench.space.mean)
    assert [bool(trace.held.all()) for trace in traces] == [False, False, True]
    (one,) = hold_out(traces[:1])
    assert 0.2 < one.held.mean() < 0.3
    assert np.all(np.diff(one.held.astype(int)) >= 0)


def test_without_noise_the_truth_foresees_its_own_recording(bench):
    truth = draw_values(bench, np.random.default_rng(1))
    traces = recorded(bench, truth, 1, noise=0.0, tick=0.0)
    assert errors_of(bench, truth, traces).total < 1e-9
    assert PERIOD_S > bench.timestep
