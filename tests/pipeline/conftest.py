"""A Ray cluster for those tests that need one; without Ray they are skipped."""

import pytest


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A Ray cluster of one node with two places, as small as can be, whose processes have a cache of their own."""
    patch = pytest.MonkeyPatch()
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, object_store_memory=100 << 20, include_dashboard=False, log_to_driver=False)
    patch.undo()
    yield ray
    ray.shutdown()
