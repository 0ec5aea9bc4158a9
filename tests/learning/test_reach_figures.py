import numpy as np
import pytest

from s2rctl.learning.reach import figures as reach_figures

PNG = b"\x89PNG"


def records(slope: float, step: int = 100, count: int = 40):
    return [{"step": step * n, "success": slope * n / count} for n in range(1, count + 1)]


def test_bands_are_the_mean_and_its_t_interval_over_runs():
    steps, mean, half = reach_figures.bands([records(0.4), records(0.6), records(0.8)], "success", points=10)
    assert len(steps) == 10 and steps[-1] == 4000
    np.testing.assert_allclose(mean / mean[-1], np.linspace(0.1, 1.0, 10), atol=0.06)
    ratio = half / mean  # the three runs are 0.4, 0.6 and 0.8 of one line
    np.testing.assert_allclose(ratio, 4.30 * 0.2 / np.sqrt(3) / 0.6, rtol=1e-6)


def test_runs_with_other_steps_compare_and_one_run_has_no_interval():
    steps, mean, half = reach_figures.bands([records(0.5), records(0.5, step=50, count=80)], "success", points=8)
    assert len(steps) == 8
    np.testing.assert_allclose(half / mean, 0, atol=0.6)
    _, _, alone = reach_figures.bands([records(0.5)], "success")
    assert np.isnan(alone).all()
    assert all(len(part) == 0 for part in reach_figures.bands([[{"step": 1}]], "success"))


def test_the_map_holds_the_median_of_each_cell():
    x, z = np.repeat([0.0, 1.0], 5), np.zeros(10)
    error = np.array([1, 2, 3, 4, 90, 7, 7, 7, 7, 7.0])
    values, x_edges, _ = reach_figures.error_map(error, x, z)
    assert values[0, 0] == 3 and values[-1, 0] == 7 and np.isnan(values[2]).all()
    assert x_edges[0] == 0 and x_edges[-1] == pytest.approx(1)


def test_pictures_are_written(tmp_path):
    generator = np.random.default_rng(0)
    goal = generator.uniform([0.25, -0.15, 0.08], [0.55, 0.15, 0.38], (300, 3))
    error = generator.gamma(2.0, 0.006, 300) * (1 + 4 * np.abs(goal[:, 1]))
    reach_figures.draw(tmp_path / "errors.png", error, goal, 0.05)
    runs = {name: [records(s) for s in (a, a + 0.1)] for name, a in (("best", 0.8), ("plain", 0.4))}
    reach_figures.compare(tmp_path / "curves.png", runs)
    for name in ("errors.png", "curves.png"):
        assert (tmp_path / name).read_bytes().startswith(PNG)
