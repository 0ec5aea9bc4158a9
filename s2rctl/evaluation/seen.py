"""What a policy sees, as pictures for people."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from s2rctl.core.depth_picture import grey
from s2rctl.schema.tensors import image_of, rgb_name


def pictures(inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return what a policy sees (..., H, W, 3) uint8 by input name: colours, and depth of cameras without colours."""
    found = {}
    for name, value in inputs.items():
        image = image_of(name)
        if image is not None and image.kind == "rgb":
            found[name] = np.asarray(value)
        elif image is not None and rgb_name(image.camera) not in inputs:
            found[name] = grey(np.asarray(value))
    return found
