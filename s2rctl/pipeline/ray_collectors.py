"""The collectors of a student as actors on a Ray cluster: each draws and labels in worlds of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from s2rctl.core.errors import MissingEnvironmentError, RunError
from s2rctl.learning.student.collect import Group, Groups
from s2rctl.learning.student.network import Params
from s2rctl.learning.student.snapshot import Samples
from s2rctl.pipeline import ray_node
from s2rctl.pipeline.ray_cluster import connected, last_line, room
from s2rctl.schema.launcher import Launcher
from s2rctl.stages.work import Recipe
from s2rctl.store.parcel import pack
from s2rctl.store.store import Store


class Actor:
    """A group on a node. Where the node died, another one has it begin new episodes."""

    def __init__(self, recipe: Recipe, order: ray_node.Order, params: Params, parcels: Sequence[Any]) -> None:
        self._recipe, self._order, self._params, self._parcels = recipe, order, params, parcels
        self._group: Group | None = None

    def collect(self, iteration: int, acting: Params) -> Samples:
        """Act for one iteration with this student, and label."""
        if self._group is None:
            self._group = self._made()
        self._group.ask(iteration, acting)
        return self._group.take()

    def _made(self) -> Group:
        ray_node.prepare(self._order)
        recipe = self._recipe
        seen = ray_node.sees(self._order, recipe.store)
        store = Store(Path(recipe.store)) if seen else ray_node.receive(recipe.store, self._parcels)
        return recipe.build(store, self._params, store.scratch())


class Remote:
    """Stands for a group that is elsewhere."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self._asked: Any = None

    def ask(self, iteration: int, acting: Params) -> None:
        """Let it act for one iteration; ``acting`` may be a reference to what all of them are sent."""
        self._asked = self._actor.collect.remote(iteration, acting)

    def take(self) -> Samples:
        """Wait for what it collected; RunError if it died too often, or cannot run there."""
        try:
            samples: Samples = self._ray.get(self._asked)
        except Exception as error:  # of Ray's own classes, which wrap what was raised there
            raise RunError(f"a collector was lost: {last_line(error)}", "run the same command again") from error
        return samples


class _Broadcast(Groups):
    """All groups; what they are sent goes into the cluster once, not once for each."""

    def __init__(self, ray: Any, members: Sequence[Remote], fixed: Sequence[str]) -> None:
        super().__init__(members, fixed)
        self._ray = ray

    def shared(self, acting: Params) -> Any:
        """Return a reference."""
        return self._ray.put(acting)


@contextmanager
def collecting(settings: Launcher, recipes: Sequence[Recipe], params: Params) -> Iterator[Groups]:
    """Start an actor for each recipe, and end them all; each gets ``settings.cores``, by default one.

    MissingEnvironmentError where the cluster has no room for all of them: the learner would wait for ever.
    """
    own = settings if settings.cores is not None else settings.model_copy(update={"cores": 1.0})
    store = Store(Path(recipes[0].store))
    with connected(own) as ray, ray_node.marked(store) as token:
        cores, places = room(ray, own)
        if places < len(recipes):
            raise MissingEnvironmentError(
                f"the cluster has room for {places} of {len(recipes)} collectors with {cores:g} cores each",
                "set distill.collectors or launcher.cores lower, or add nodes",
            )
        order = ray_node.order(token, settings.store == "sent")
        keys, wanted = store.keys(), sorted(recipes[0].needs(store))
        parcels = [(identity, ray.put(pack(store.get(identity), keys))) for identity in wanted]
        base = ray.put(jax.tree.map(np.asarray, params))
        again = own.attempts - 1
        kind = ray.remote(Actor).options(
            num_cpus=cores,
            num_gpus=own.gpus,
            max_restarts=again,
            max_task_retries=again,
            scheduling_strategy="SPREAD",
        )
        actors = [kind.remote(recipe, order, base, parcels) for recipe in recipes]
        try:
            yield _Broadcast(ray, [Remote(ray, actor) for actor in actors], recipes[0].fixed)
        finally:
            for actor in actors:
                ray.kill(actor)
