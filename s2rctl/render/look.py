"""The look that a model file describes, as one world's appearance."""

from typing import Any

import numpy as np

from s2rctl.render.layout import ambient_light, model_rgba
from s2rctl.render.protocol import Appearance


def model_look(model: Any) -> Appearance:
    """Return the look of one world (numpy leaves without the batch axis); lights are where they are at qpos0."""
    import mujoco

    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    zeros = np.zeros((model.ncam, 3), np.float32)
    fields = (
        model_rgba(model),
        model.geom_size,
        data.light_xpos,
        data.light_xdir,
        model.light_diffuse,
        ambient_light(model),
        zeros,
        zeros,
        model.cam_fovy,
    )
    numbers: list[Any] = [np.array(field, np.float32) for field in fields]
    return Appearance(*numbers, np.array(True))  # type: ignore[call-arg]
