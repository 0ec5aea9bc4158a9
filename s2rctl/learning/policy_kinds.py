"""How each kind of policy file becomes a function of an observation."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax

from s2rctl.tasks.protocol import Observation

if TYPE_CHECKING:
    from s2rctl.learning.policy_files import Remembering

Apply = Callable[[Any, Observation], jax.Array]
"""(params, observation of B worlds) -> action (B, n) in [-1, 1]."""


def teacher(config: Mapping[str, Any]) -> Apply:
    """Return a perceptron over the actor's state observation."""
    from s2rctl.learning.teacher.networks import TeacherSettings, teacher_action

    settings = TeacherSettings.model_validate(config)
    return lambda params, observation: teacher_action(params, settings, observation.actor)


def upgraded_student(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a student of version 0.1, which were always an Aloha's, as they are written today."""
    new = dict(config)
    if "robot" not in new:
        from s2rctl.tasks.peg_insertion import READY

        poses = new.pop("poses", False)
        ready = [*READY["left"], *READY["right"]] if poses else None
        new |= {"robot": "aloha", "switched": True, "ready": ready, "action_size": new.get("action_size", 14)}
    return new


def student(config: Mapping[str, Any]) -> "Apply | Remembering":
    """Return the image student over the raw input tensors."""
    from s2rctl.learning.policy_files import Remembering
    from s2rctl.learning.student.network import act, mean
    from s2rctl.learning.student.settings import StudentSettings

    settings = StudentSettings.model_validate(upgraded_student(config))
    if settings.memory:
        return Remembering(
            settings.memory, lambda params, observation, memory: act(params, settings, observation.inputs, memory)
        )
    return lambda params, observation: mean(params, settings, observation.inputs)


def reach(config: Mapping[str, Any]) -> Apply:
    """Return the image actor of the reach task over the raw input tensors."""
    from s2rctl.learning.reach.networks import ReachSettings, decide

    settings = ReachSettings.model_validate(config)
    return lambda params, observation: decide(params, settings, observation.inputs).action
