"""Where a student believes the objects to be that its hands hold: what a robot can check, for its fingers know better.

An image tells the way from the fingertips to its object (``tasks.protocol.Task.image_targets``). While the fingers
close on something that way is short, whatever the picture looks like.
"""

import jax
import jax.numpy as jnp

from s2rctl.learning.student.network import Seen, StudentSettings
from s2rctl.learning.vision.preprocess import Inputs
from s2rctl.schema.tensors import held_name
from s2rctl.tasks.protocol import WAY_UNIT_M


def names(settings: StudentSettings) -> tuple[str, ...]:
    """Return the outputs that tell of what is held, in the order of cameras, which is that of the hands.

    None for a student that tells nothing, or one that has not a camera on each hand.
    """
    grippers = settings.joints.grippers
    tells = settings.estimates >= 3 and grippers > 0 and len(settings.cameras) == grippers
    return tuple(held_name(camera.name) for camera in settings.cameras) if tells else ()


def held(settings: StudentSettings, seen: Seen, inputs: Inputs) -> dict[str, jax.Array]:
    """Return by name the way (N, 3) m from the fingertips to what they hold, hand's axes; 0 where they hold nothing."""
    outputs = names(settings)
    if not outputs:
        return {}
    ways = WAY_UNIT_M * seen.told.reshape(-1, len(outputs), settings.estimates)[..., :3]
    ways = jnp.where(settings.joints.holds(inputs)[..., None], ways, 0.0)
    return {name: ways[:, hand] for hand, name in enumerate(outputs)}
