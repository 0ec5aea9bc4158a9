"""Domain randomisation of physics as data: draws per world, and the model fields that follow from them."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from s2rctl.core.errors import RunError
from s2rctl.core.tables import suggestion
from s2rctl.physics.protocol import ModelEdits
from s2rctl.tasks.protocol import Params, Randomised

# First part of a model array's name -> kind of element whose name selects the row.
_ELEMENTS = {
    "body": mujoco.mjtObj.mjOBJ_BODY,
    "geom": mujoco.mjtObj.mjOBJ_GEOM,
    "site": mujoco.mjtObj.mjOBJ_SITE,
    "jnt": mujoco.mjtObj.mjOBJ_JOINT,
    "dof": mujoco.mjtObj.mjOBJ_JOINT,
    "cam": mujoco.mjtObj.mjOBJ_CAMERA,
    "light": mujoco.mjtObj.mjOBJ_LIGHT,
    "actuator": mujoco.mjtObj.mjOBJ_ACTUATOR,
    "eq": mujoco.mjtObj.mjOBJ_EQUALITY,
    "tendon": mujoco.mjtObj.mjOBJ_TENDON,
}


def draw_params(
    randomised: Sequence[Randomised], key: jax.Array, worlds: int, emphasis: float = 0.0
) -> dict[str, jax.Array]:
    """Return each randomised quantity (B,), uniform in its range.

    With ``emphasis`` e, quantities that are hard when high have a density that grows from low to high with power e.
    """

    def draw(quantity: Randomised, draw_key: jax.Array) -> jax.Array:
        share = jax.random.uniform(draw_key, (worlds,))
        if quantity.hard_when_high:
            share = share ** (1.0 / (1.0 + emphasis))
        return quantity.low + (quantity.high - quantity.low) * share

    @jax.jit  # one program: compiled one by one, the draws take seconds
    def draw_all(key: jax.Array) -> dict[str, jax.Array]:
        keys = jax.random.split(key, max(len(randomised), 1))
        return {quantity.name: draw(quantity, k) for quantity, k in zip(randomised, keys, strict=False)}

    drawn: dict[str, jax.Array] = draw_all(key)
    return drawn


def nominal_params(randomised: Sequence[Randomised], worlds: int) -> dict[str, jax.Array]:
    """Return each randomised quantity (B,) at the middle of its range."""
    return {q.name: jnp.full((worlds,), 0.5 * (q.low + q.high), jnp.float32) for q in randomised}


def model_edits(model: mujoco.MjModel, randomised: Sequence[Randomised], params: Params) -> ModelEdits:
    """Return the per-world model fields (B, *field shape) that follow from ``params``.

    Raises RunError for a field, element or column that the model does not have.
    """
    worlds = next((len(values) for values in params.values()), 0)
    edits: dict[str, np.ndarray] = {}
    fields = [(path, function) for quantity in randomised for path, function in quantity.fields.items()]
    places = [_locate(model, path) for path, _ in fields]
    found = jax.jit(lambda given: [jax.vmap(function)(given) for _, function in fields])(dict(params))
    for (path, _), (field, row, column), value in zip(fields, places, found, strict=True):
        if field not in edits:
            original = np.asarray(getattr(model, field))
            edits[field] = np.repeat(original[None], worlds, axis=0)
        values = np.asarray(value)
        target = edits[field][:, row] if column is None else edits[field][:, row, column]
        if values.shape != target.shape and values.shape != (worlds,):
            raise RunError(f"'{path}' is given values of shape {values.shape[1:]}, {target.shape[1:]} is needed")
        target[...] = values.reshape(worlds, *(1,) * (target.ndim - 1)) if values.ndim == 1 else values
    return edits


def _locate(model: mujoco.MjModel, path: str) -> tuple[str, int, int | None]:
    """Split "field/element/column" (element names may contain slashes) and return field, row and column."""
    field, _, rest = path.partition("/")
    element, _, column = rest.rpartition("/")
    kind = _ELEMENTS.get(field.partition("_")[0])
    array = getattr(model, field, None)
    if kind is None or not isinstance(array, np.ndarray):
        raise RunError(f"'{path}': the model has no array '{field}'", f"fields begin with {', '.join(_ELEMENTS)}")
    index = mujoco.mj_name2id(model, kind, element)
    if index < 0:
        count = {"dof": "njnt", "jnt": "njnt", "actuator": "nu"}.get(field.partition("_")[0], f"n{field.split('_')[0]}")
        names = [mujoco.mj_id2name(model, kind, i) or "" for i in range(getattr(model, count))]
        raise RunError(f"'{path}': the model has no '{element}'", suggestion(element, names))
    row = int(model.jnt_dofadr[index]) if field.startswith("dof_") else index
    if not column:
        return field, row, None
    if array.ndim < 2 or not column.isdigit() or int(column) >= array.shape[1]:
        raise RunError(f"'{path}': '{field}' has no column '{column}'")
    return field, row, int(column)
