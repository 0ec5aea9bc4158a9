"""How each kind of policy file becomes a function of an observation."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from s2rctl.tasks.protocol import Observation

Apply = Callable[[Any, Observation], jax.Array]
"""(params, observation of B worlds) -> action (B, n) in [-1, 1]."""


def teacher(config: Mapping[str, Any]) -> Apply:
    """Return a perceptron over the actor's state observation."""
    from s2rctl.learning.networks import TeacherSettings, teacher_action

    settings = TeacherSettings.model_validate(config)
    return lambda params, observation: teacher_action(params, settings, observation.actor)


def student(config: Mapping[str, Any]) -> Apply:
    """Return the image student over the raw input tensors."""
    from s2rctl.learning.student import StudentSettings, mean

    settings = StudentSettings.model_validate(config)
    return lambda params, observation: mean(params, settings, observation.inputs)


def reach(config: Mapping[str, Any]) -> Apply:
    """Return the image actor of the reach task over the raw input tensors."""
    from s2rctl.learning.reach_networks import ReachSettings, decide

    settings = ReachSettings.model_validate(config)
    return lambda params, observation: decide(params, settings, observation.inputs).action
