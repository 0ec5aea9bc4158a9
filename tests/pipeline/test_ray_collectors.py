"""Collectors as actors: the same student as with all groups in one process, and one that dies is begun again."""

import json
import os
import signal
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pytest

from s2rctl.cli.main import main
from s2rctl.core.errors import MissingEnvironmentError, RunError
from s2rctl.learning.student.collect import Group
from s2rctl.pipeline.launch import launcher_of
from s2rctl.schema.launcher import Launcher
from s2rctl.store.store import Store
from tests.learning.test_collect import BUDGET, HALF, WHOLE, distiller, groups, params_of, trained


@dataclass(frozen=True)
class ToyRecipe:
    number: int
    store: str
    fixed: tuple[str, ...] = ()
    mark: str = ""  # the process dies in the second iteration: "once", or "always"

    def build(self, store: Store, params, folder: Path) -> Group:
        own = BUDGET.model_copy(update={"worlds": 8})
        made = Group(distiller(own, HALF, 5 + 100 * self.number), params)
        return Mortal(made, Path(self.store).parent / "killed", self.mark == "always") if self.mark else made

    def needs(self, store: Store) -> Set[str]:
        return set()


class Mortal(Group):
    def __init__(self, inner: Group, mark: Path, always: bool) -> None:
        self.inner, self.mark, self.always = inner, mark, always

    def ask(self, iteration, acting):
        if iteration == 1 and (self.always or not self.mark.exists()):
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        self.inner.ask(iteration, acting)

    def take(self):
        return self.inner.take()


def recipes(folder: Path, **options) -> list[ToyRecipe]:
    return [ToyRecipe(number, str(folder / "store"), **options) for number in range(2)]


@pytest.fixture
def launcher(cluster):
    return launcher_of(Launcher(on="ray", attempts=2))


def test_actors_make_the_same_student_as_groups_here(launcher, tmp_path):
    params = params_of(distiller(BUDGET, WHOLE))
    here, figures = trained(distiller(BUDGET, WHOLE, collector=groups(BUDGET, 2, params)), params)
    with launcher.collector(recipes(tmp_path), params, tmp_path) as collector:
        there, others = trained(distiller(BUDGET, WHOLE, collector=collector), params)
    jax.tree.map(np.testing.assert_array_equal, there.params, here.params)
    assert others == figures


def test_a_collector_that_dies_is_begun_again_and_one_that_always_dies_is_named(launcher, tmp_path):
    params = params_of(distiller(BUDGET, WHOLE))
    with launcher.collector(recipes(tmp_path, mark="once")[:1], params, tmp_path) as collector:
        begun = distiller(BUDGET, WHOLE, collector=collector).start(params)
        for iteration in range(3):
            samples = collector.collect(begun._replace(iteration=np.array(iteration)))
            assert samples.rows["label"].shape[1] == 8
    assert (tmp_path / "killed").exists()
    with launcher.collector(recipes(tmp_path, mark="always")[:1], params, tmp_path) as collector:
        collector.collect(begun)
        with pytest.raises(RunError, match="a collector was lost"):
            collector.collect(begun._replace(iteration=np.array(1)))


def test_more_collectors_than_the_cluster_has_room_for(launcher, tmp_path):
    many = [ToyRecipe(number, str(tmp_path / "store")) for number in range(50)]
    with pytest.raises(MissingEnvironmentError, match="room for 2 of 50 collectors"):
        with launcher.collector(many, {}, tmp_path):
            pass


@pytest.mark.slow
def test_a_real_student_is_the_same_wherever_its_collectors_are(cluster, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("S2RCTL_STORE", str(tmp_path / "store"))
    assert main(["artifacts", "import", "aloha-teachers"]) == 0
    capsys.readouterr()
    sets = ["worlds=32", "iterations=4", "steps=3", "collectors=2", "batch=32", "encoder=random"]
    words = ["distill", "-p", "aloha-smoke", "--json", "--force"]
    words += [word for text in sets for word in ("--set", f"distill.{text}")]
    found = []
    for on in ("local", "ray"):
        assert main([*words, "--on", on]) == 0
        found.append(json.loads(capsys.readouterr().out)["data"])
    assert found[0]["samples"] == found[1]["samples"] == 4 * 3 * 32
    here, there = (Store(tmp_path / "store").get(one["artifact"]).files for one in found)
    weights = [name for name in here if name.endswith(".safetensors")]
    assert weights and all(here[name].sha256 == there[name].sha256 for name in weights)
