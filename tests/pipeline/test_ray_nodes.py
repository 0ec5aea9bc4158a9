"""Sweeps on a Ray cluster of two nodes: the same artifacts as one after the other, also when a node is killed."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from s2rctl.cli.main import main
from s2rctl.pipeline import graph
from s2rctl.pipeline.launch import launcher_of
from s2rctl.schema.launcher import Launcher
from s2rctl.store.store import Store
from s2rctl.store.verify import verify
from tests.pipeline import ray_cells
from tests.waiting import wait_for

pytestmark = pytest.mark.slow
TOP = Path(__file__).parents[2]
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


@pytest.fixture
def serial(tmp_path, monkeypatch):
    """Return the sweep of the pipeline that costs nothing, one cell after the other, and its store."""
    monkeypatch.setattr(graph, "graph_of", lambda system: ray_cells.GRAPH)
    (tmp_path / "serial").mkdir()
    return ray_cells.sweep(tmp_path / "serial", launcher_of(Launcher())).figures, Store(tmp_path / "serial" / "store")


def same(found: dict, store: Store, serial: tuple[dict, Store]) -> None:
    """Compare artifact by artifact: every cell, the sweep, and all that they were made from."""
    expected, other = serial
    assert [cell["artifact"] for cell in found["cells"]] == [cell["artifact"] for cell in expected["cells"]]
    assert found["failed"] == [] and len(found["cells"]) == 4
    assert list(store.ids()) == list(other.ids()) and store.keys() == other.keys()
    assert verify(store, full=True).clean


def lives(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@pytest.mark.parametrize("way", ["probe", "sent"])
def test_two_nodes_make_the_same_artifacts_as_one_after_the_other(way, nodes, serial, tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    found = ray_cells.sweep(folder, launcher_of(Launcher(on="ray", store=way)))
    same(found.figures, Store(folder / "store"), serial)


def test_a_node_killed_in_the_middle_loses_its_running_cell_and_the_sweep_ends_complete(nodes, serial, tmp_path):
    cluster, other = nodes
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / ray_cells.HOLD).touch()
    killed = []

    def kill() -> None:
        """Kill the second node, processes and all, once a cell runs on each."""
        killed.append(wait_for(lambda: len(list(folder.glob("begun-*"))) == 2))
        processes = [int(path.name.split("-")[2]) for path in folder.glob("begun-*")]
        cluster.remove_node(other, allow_graceful=False)
        killed.append(wait_for(lambda: sum(map(lives, processes)) == 1))
        (folder / ray_cells.HOLD).unlink()

    thread = threading.Thread(target=kill)
    thread.start()
    found = ray_cells.sweep(folder, launcher_of(Launcher(on="ray")))
    thread.join()
    assert killed == [True, True]
    same(found.figures, Store(folder / "store"), serial)
    begun = [path.name.split("-")[1] for path in folder.glob("begun-*")]
    assert len(begun) == 5 and len(set(begun)) == 4, "the cell that was lost was begun twice, every other one once"


REAL = ("sweep", "-p", "xarm7-smoke", "--seeds", "0..3", "--stage", "train-reach", "--json")
SETS = ("--set", "reach.steps=600", "--set", "reach.warmup=200", "--set", "extractor.images=128")


def content(store: Store, kind: str) -> dict[tuple[str, int], dict[str, object]]:
    """Return what artifacts of a kind hold, by name and seed; without the times that logs of trainings hold."""
    found: dict[tuple[str, int], dict[str, object]] = {}
    for artifact in store.list(kind):
        made = artifact.manifest.content
        files: dict[str, object] = {
            name: file.sha256 for name, file in artifact.files.items() if not name.startswith("events/")
        }
        records = [json.loads(line) for line in artifact.path("metrics.jsonl").read_text().splitlines()]
        files["metrics.jsonl"] = [record | {"minutes": 0} for record in records]
        found[made.name, made.seed] = files
    return found


def test_real_training_on_two_nodes_gives_the_same_policies(nodes, tmp_path, capsys):
    """Those of four seeds, and what they were made from: every file to the bit, but for times in logs."""
    here = [sys.executable, "-m", "s2rctl.cli.main", *REAL, *SETS, "--store", str(tmp_path / "serial" / "store")]
    done = subprocess.run(
        here, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(TOP)}, timeout=3600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert main([*REAL, *SETS, "--on", "ray", "--store", str(tmp_path / "store")]) == 0
    found = json.loads(capsys.readouterr().out)["data"]
    assert found["settings"] == json.loads(done.stdout)["data"]["settings"] and found["failed"] == []
    one, other = Store(tmp_path / "serial" / "store"), Store(tmp_path / "store")
    for kind in ("encoder", "reach"):
        assert content(other, kind) == content(one, kind) and len(content(one, kind)) == 4
    assert verify(other, full=True).clean
