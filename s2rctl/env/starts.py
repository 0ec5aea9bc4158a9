"""Where and how the next episode of each world begins: start, look, and what is hidden."""

from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp

from s2rctl.env.hide import Hiding, hide
from s2rctl.env.images import Imaging
from s2rctl.env.rows import tiled, where
from s2rctl.env.types import Episode
from s2rctl.env.visibility import Accept
from s2rctl.render.protocol import Appearance
from s2rctl.tasks.protocol import Start, Task

CANDIDATES = 6
"""Maximum start samples; if none is acceptable, use the first."""


@dataclass(frozen=True, eq=False)
class Starts:
    """How episodes of ``worlds`` worlds begin; see VecEnv for its arguments.

    With ``repeat``, world w begins as world w % (worlds // repeat), which begins as without it among so many.
    """

    task: Task
    params: Any  # of all worlds, leaves (B,)
    worlds: int
    repeat: int
    images: Imaging | None
    sight: Imaging | None  # whose looks decide instead of those of ``images`` whether an episode may begin
    bank: Start | None
    bank_probability: jax.Array
    hiding: Hiding | None
    accept: Accept | None

    def draw(self, key: jax.Array) -> Episode:
        """Draw the next episode of each world."""
        start_key, look_key, hide_key = jax.random.split(jax.random.split(key)[0], 3)
        look, image = (None, None) if self.images is None else self.images.draw(look_key, self.worlds, self.repeat)
        if self.accept is None:
            start = self._starts(start_key)
        else:
            seen = look if self.sight is None else self.sight.draw(look_key, self.worlds, self.repeat)[0]
            options = jax.vmap(self._starts)(jax.random.split(start_key, CANDIDATES))
            fit = jax.vmap(self.accept, in_axes=(0, None))(options, self._first(cast(Appearance, seen)))
            first, worlds = jnp.argmax(fit, axis=0), jnp.arange(self._drawn)
            start = jax.tree.map(lambda leaf: leaf[first, worlds], options)
        still = None
        if self.hiding is not None:
            start, still = hide(hide_key, start, self.hiding, self.task.action_size)
        return Episode(tiled(start, self.repeat), tiled(still, self.repeat), look, image)

    @property
    def _drawn(self) -> int:
        """For how many worlds starts are drawn."""
        return self.worlds // self.repeat

    def _first(self, values: Any) -> Any:
        """Return the rows of the worlds that starts are drawn for."""
        return values if self.repeat == 1 else jax.tree.map(lambda leaf: leaf[: self._drawn], values)

    def _starts(self, key: jax.Array) -> Start:
        """Draw where the next episode of each world would begin."""
        task_key, which_key, use_key = jax.random.split(key, 3)
        keys = jax.random.split(task_key, self._drawn)
        start: Start = jax.vmap(self.task.reset)(keys, self._first(self.params))
        if self.bank is None:
            return start
        entries = len(jax.tree.leaves(self.bank)[0])
        which = jax.random.randint(which_key, (self._drawn,), 0, entries)
        use = jax.random.bernoulli(use_key, self.bank_probability, (self._drawn,))
        banked = jax.tree.map(lambda leaf: jnp.asarray(leaf)[which], self.bank)
        return where(use, banked, start)
