"""Reward weights that a profile replaces."""

from collections.abc import Mapping

from s2rctl.core.errors import ProfileError
from s2rctl.core.tables import suggestion
from s2rctl.tasks.protocol import Term


def replace_weights(terms: Mapping[str, Term], weights: Mapping[str, float]) -> dict[str, Term]:
    """Return the terms with the given weights in place of their own; raise ProfileError for an unknown term."""
    for name in weights:
        if name not in terms:
            raise ProfileError(f"unknown reward term '{name}'", suggestion(name, terms))
    return {name: Term(term.fn, weights.get(name, term.weight)) for name, term in terms.items()}
