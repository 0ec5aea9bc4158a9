"""The environment's step is made of parts: inside somebody's jit they are one program, by themselves several."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

import jax

from s2rctl.env.types import EnvState


class Run(Protocol):
    """How the parts of ``reset`` and ``step`` are run."""

    def call(self, part: Callable[..., Any], *arguments: Any) -> Any:
        """Return ``part(*arguments)``."""

    def when(self, flag: jax.Array, part: Callable[[EnvState], EnvState], state: EnvState) -> EnvState:
        """Return ``part(state)`` where ``flag`` () is true, else ``state``."""


class _Inline:
    """One program: inside somebody's jit."""

    def call(self, part: Callable[..., Any], *arguments: Any) -> Any:
        return part(*arguments)

    def when(self, flag: jax.Array, part: Callable[[EnvState], EnvState], state: EnvState) -> EnvState:
        return cast(EnvState, jax.lax.cond(flag, part, lambda same: same, state))


INLINE: Run = _Inline()


@partial(jax.jit, static_argnums=0)
def compiled(part: Callable[..., Any], *arguments: Any) -> Any:
    """Return ``part(*arguments)``, compiled once per part."""
    return part(*arguments)


class _InParts:
    """Each part is a program of its own, so that what uses the same ones shares them."""

    def call(self, part: Callable[..., Any], *arguments: Any) -> Any:
        return compiled(part, *arguments)

    def when(self, flag: jax.Array, part: Callable[[EnvState], EnvState], state: EnvState) -> EnvState:
        return part(state) if flag else state


IN_PARTS: Run = _InParts()
