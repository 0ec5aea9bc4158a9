"""Where a student sees the object of each hand: what a robot can check while the fingers hold it.

An image tells the way from the fingertips to its object (``tasks.protocol.Task.image_targets``). Of what is held that
way is short, whatever the picture looks like; ``robots/holding.py`` says when something is.
"""

import jax

from s2rctl.learning.student.network import Seen
from s2rctl.learning.student.settings import StudentSettings
from s2rctl.schema.tensors import object_name
from s2rctl.tasks.protocol import WAY_UNIT_M


def names(settings: StudentSettings) -> tuple[str, ...]:
    """Return the outputs that tell of objects, in the order of cameras; none for a student that tells nothing."""
    return tuple(object_name(camera.name) for camera in settings.cameras) if settings.estimates >= 3 else ()


def seen(settings: StudentSettings, found: Seen) -> dict[str, jax.Array]:
    """Return by name the way (N, 3) m from the fingertips to the object, in the hand's axes."""
    outputs = names(settings)
    if not outputs:
        return {}
    ways = WAY_UNIT_M * found.told.reshape(-1, len(outputs), settings.estimates)[..., :3]
    return {name: ways[:, number] for number, name in enumerate(outputs)}
