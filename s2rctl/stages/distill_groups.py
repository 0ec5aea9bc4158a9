"""The collectors of a distillation as recipes: plain data from which any process can make one that acts and labels."""

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.core.seeds import derived_seed
from s2rctl.learning.student.collect import Group, Groups
from s2rctl.learning.student.distill import Collector
from s2rctl.learning.student.fit import fixed_parts
from s2rctl.learning.student.network import Params
from s2rctl.schema.distillation import Distill
from s2rctl.schema.load import load_resolved
from s2rctl.stages import work
from s2rctl.stages.distill_build import make_distiller
from s2rctl.stages.protocol import Context
from s2rctl.store.lineage import closure
from s2rctl.store.store import Store
from s2rctl.systems.protocol import Stage


@dataclass(frozen=True)
class Recipe:
    """One of the groups into which the worlds of a distillation are divided."""

    number: int
    stage: Stage
    profile: Mapping[str, Any]  # resolved, with the group's own worlds and seed
    inputs: Mapping[str, str]  # role -> id
    store: str  # folder
    fixed: tuple[str, ...]  # parts of a student that learning does not change

    def build(self, store: Store, params: Params, folder: Path) -> Group:
        """Return the group; what it needs to keep lies in ``folder``, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        inputs = {role: store.get(identity) for role, identity in self.inputs.items()}
        profile = load_resolved(self.profile).profile
        context = Context(self.stage, profile, inputs, store, folder, NullReporter(), Interrupt())
        return Group(make_distiller(context, learns=False), params)

    def needs(self, store: Store) -> Set[str]:
        """Return the teachers, the encoder, and everything that they were made from."""
        return closure(store, self.inputs.values())


def recipes_of(context: Context, distill: Distill) -> list[Recipe]:
    """Return how to make the groups; the first one has the profile's seed, so that a single one is the local loop."""
    size = distill.worlds // distill.collectors
    recipes = []
    for number in range(distill.collectors):
        own = distill.model_copy(update={"worlds": size, "collectors": 0})
        seed = derived_seed(context.seed, "collector", str(number)) if number else context.seed
        profile = context.profile.model_copy(update={"distill": own, "seed": seed}).model_dump(mode="json")
        inputs = {role: artifact.id for role, artifact in context.inputs.items()}
        store = str(context.store.root.absolute())
        recipes.append(Recipe(number, context.stage, profile, inputs, store, fixed_parts(distill.encoder)))
    return recipes


@contextmanager
def here(recipes: Sequence[work.Recipe], params: Params, folder: Path) -> Iterator[Collector]:
    """Return all groups in this process, one after the other."""
    groups = [recipe.build(Store(Path(recipe.store)), params, folder / f"group-{recipe.number}") for recipe in recipes]
    yield Groups(groups, recipes[0].fixed)
