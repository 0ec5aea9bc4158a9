"""Per-world model edits: checked, and completed by the constants that MuJoCo derives from them."""

import numpy as np
from mujoco import MjModel
from mujoco.batch import MODEL_FIELDS, Batch

from s2rctl.core.errors import RunError
from s2rctl.core.tables import suggestion
from s2rctl.physics.protocol import ModelEdits


def apply_edits(batch: Batch, edits: ModelEdits) -> None:
    """Write per-world model fields into ``batch`` and let MuJoCo recompute what follows from them.

    ``mj_setConst`` renews inverse weights, subtree masses and, since MuJoCo 4.0, the bounding volumes of edited geoms,
    without which a grown geom would miss contacts. Raises RunError for an unknown field or a wrong shape.
    """
    if not edits:
        return
    for field, values in edits.items():
        if field not in MODEL_FIELDS:
            raise RunError(f"'{field}' is not a model field that can differ by world", suggestion(field, MODEL_FIELDS))
        target = batch.expand(field)
        if np.shape(values) != target.shape:
            raise RunError(f"edits of '{field}' have shape {np.shape(values)}, {target.shape} is needed")
        if not np.isfinite(values).all():
            raise RunError(f"edits of '{field}' are not finite")
        target[...] = values
    batch.set_const()


def complete_edits(model: MjModel, edits: ModelEdits, worlds: int) -> dict[str, np.ndarray]:
    """Return ``edits`` plus every field that ``mj_setConst`` derived per world from them, (B, *field shape) each."""
    batch = Batch(model, worlds)
    apply_edits(batch, edits)
    expanded = {field: batch.expanded(field) for field in MODEL_FIELDS}
    return {field: np.array(values) for field, values in expanded.items() if values is not None}
