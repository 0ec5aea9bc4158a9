"""Real sweeps on a Ray cluster of two nodes: the same artifacts as one after the other, also when a node is killed."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from s2rctl.cli.main import main
from s2rctl.store.store import Store
from s2rctl.store.verify import verify

pytestmark = pytest.mark.slow
TOP = Path(__file__).parents[2]
SWEEP = ("sweep", "-p", "xarm7-smoke", "--seeds", "0..3", "--stage", "train-reach", "--json")
SETS = ("--set", "reach.steps=600", "--set", "reach.warmup=200", "--set", "extractor.images=128")
SIZE = 200 << 20  # bytes of each node's object store


@pytest.fixture
def nodes(tmp_path, monkeypatch):
    """Two raylets, each with a core for one cell; the second one can be removed."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    size = {"num_cpus": 1, "object_store_memory": SIZE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=size)
    other = cluster.add_node(num_cpus=1, object_store_memory=SIZE)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster, other
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """Return the sweep one after the other, in a process of its own, and its store."""
    root = tmp_path_factory.mktemp("serial") / "store"
    call = [sys.executable, "-m", "s2rctl.cli.main", *SWEEP, *SETS, "--store", str(root)]
    done = subprocess.run(
        call, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(TOP)}, timeout=3600, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["data"], Store(root)


def same(found: dict, store: Store, serial: tuple[dict, Store]) -> None:
    """Compare artifact by artifact: every cell, the sweep, and all that they were made from."""
    expected, other = serial
    assert [cell["artifact"] for cell in found["cells"]] == [cell["artifact"] for cell in expected["cells"]]
    assert found["artifact"] == expected["artifact"] and found["failed"] == []
    assert list(store.ids()) == list(other.ids()) and store.keys() == other.keys()
    assert verify(store, full=True).clean


@pytest.mark.parametrize("way", ["probe", "sent"])
def test_two_nodes_make_the_same_artifacts_as_one_after_the_other(way, nodes, serial, tmp_path, capsys):
    store = Store(tmp_path / "store")
    chosen = ("--on", "ray", "--set", f"launcher.store={way}", "--store", str(store.root))
    assert main([*SWEEP, *SETS, *chosen]) == 0
    same(json.loads(capsys.readouterr().out)["data"], store, serial)


def test_a_node_killed_in_the_middle_loses_its_running_cell_and_the_sweep_ends_complete(
    nodes, serial, tmp_path, capsys
):
    cluster, other = nodes
    store = Store(tmp_path / "store")
    killed = []

    def kill() -> None:
        """Kill the second node, processes and all, once two cells are under way and something has been made."""
        end = time.monotonic() + 1800
        while time.monotonic() < end and not (len(list(store.ids())) >= 2 and _under_way(store) >= 2):
            time.sleep(0.2)
        killed.append((len(list(store.ids())), _under_way(store)))
        cluster.remove_node(other, allow_graceful=False)

    thread = threading.Thread(target=kill)
    thread.start()
    code = main([*SWEEP, *SETS, "--on", "ray", "--store", str(store.root)])
    thread.join()
    captured = capsys.readouterr()
    assert code == 0, captured.err
    assert killed and killed[0][1] >= 2 and killed[0][0] < len(list(serial[1].ids()))
    same(json.loads(captured.out)["data"], store, serial)


def _under_way(store: Store) -> int:
    """Return how many stages are running."""
    return len(list(store.root.glob("runs/*/progress.json")))
