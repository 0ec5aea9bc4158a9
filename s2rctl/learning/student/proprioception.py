"""What a student knows of its robot's joints, from the robot's specification: the same for training and the graph."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.learning.student.hand_poses import Between, HandPoses
from s2rctl.learning.vision.preprocess import Inputs
from s2rctl.robots import ROBOTS
from s2rctl.schema.tensors import JOINT_POS, JOINT_TARGET, SWITCHED

_ERROR_SCALE = 5.0  # 1/rad: a target runs ahead of a moving joint by up to about 0.2 rad


class Proprioception:
    """Joint features of one robot; ``ready`` None: without hand poses; ``switched``: the policy has a pilot.

    ``measured``: with the hand poses of the measured joints too.
    """

    def __init__(self, robot: str, ready: Sequence[float] | None, switched: bool, measured: bool = False) -> None:
        spec = ROBOTS.load(robot)
        self._switched = switched
        self.joints, self.targets = len(spec.joints), len(spec.targets)
        driver = {joint: target for target, joint in enumerate(spec.target_joint)}
        self._driven = list(spec.target_joint)
        self._wanted = [driver[spec.mimic.get(joint, joint)] for joint in range(self.joints)]
        slides = spec.kinematics.slides
        travel = np.subtract(spec.joint_high, spec.joint_low)
        # A slide's travel reads 1, an angle is as it is.
        self._scale = np.where(slides, 1.0 / travel, 1.0).astype(np.float32)
        self._error_scale = np.where(slides, 1.0 / travel, _ERROR_SCALE).astype(np.float32)
        self._hands = HandPoses(spec, ready) if ready is not None else None
        self._measured = self._hands if measured else None

    @property
    def size(self) -> int:
        """How many numbers ``features`` gives."""
        first = self._hands.size if self._hands is not None else self.joints
        real = self._measured.measured_size if self._measured is not None else 0
        return first + real + self.joints + self._switched

    def errors(self, features: jax.Array) -> jax.Array:
        """Return the columns (N, errors_size) of features that say how far the arms are from where they were sent."""
        return jnp.concatenate([features[..., at] for at in self._of_errors], axis=-1)

    @property
    def errors_size(self) -> int:
        """How many numbers ``errors`` gives."""
        return sum(at.stop - at.start for at in self._of_errors)

    @property
    def _of_errors(self) -> tuple[slice, ...]:
        first = self._hands.size if self._hands is not None else self.joints
        real = self._measured.measured_size if self._measured is not None else 0
        hands = (slice(first, first + self._measured.away_size),) if self._measured is not None else ()
        return (*hands, slice(first + real, first + real + self.joints))

    def hands(self, features: jax.Array) -> jax.Array:
        """Return the columns (N, hands_size) of features that say where the measured hands are to each other."""
        return features[..., self._of_hands]

    @property
    def hands_size(self) -> int:
        """How many numbers ``hands`` gives; 0 without measured hands."""
        return self._of_hands.stop - self._of_hands.start

    @property
    def _of_hands(self) -> slice:
        if self._hands is None or self._measured is None:
            return slice(0, 0)
        return slice(self._hands.size + self._measured.away_size, self._hands.size + self._measured.measured_size)

    def sent_hands(self, features: jax.Array) -> jax.Array:
        """Return what ``hands`` does of the commanded joints (N, hands_size)."""
        assert self._hands is not None
        return features[..., self._hands.size - self.hands_size : self._hands.size]

    def between(self, hands: jax.Array) -> Between:
        """Return the hands to each other by what ``hands`` or ``sent_hands`` gave (..., hands_size)."""
        assert self._hands is not None
        return self._hands.between(hands)

    @property
    def raw_shapes(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape without batch and dtype of the inputs, by ONNX input name, in graph order."""
        sizes = {JOINT_POS: self.joints, JOINT_TARGET: self.targets} | ({SWITCHED: 1} if self._switched else {})
        return {name: ((size,), "float32") for name, size in sizes.items()}

    def read(self, inputs: Inputs) -> tuple[jax.Array, jax.Array]:
        """Return the joint positions and how far they are from their targets (N, joints) each, in units of order one.

        ``joint_pos`` (N, joints) and ``joint_target`` (N, targets) are rad, and m for slides; a joint that copies
        another one is compared with that one's target.
        """
        position, target = inputs[JOINT_POS], inputs[JOINT_TARGET]
        error = position - _columns(target, self._wanted)
        return position * self._scale, error * self._error_scale

    def features(self, inputs: Inputs) -> jax.Array:
        """Return what the student knows of its joints (N, size).

        With hand poses where the commanded joints bring the hands, and of the measured joints how far they are from
        the command. Where single readings are as good as encoders are, hand poses of the measured joints tell how far
        the arms sag; the reference's noise is a hundred times coarser, and they would tell nothing.
        """
        position, error = self.read(inputs)
        first = self._hands.features(inputs[JOINT_TARGET]) if self._hands is not None else position
        real = []
        if self._measured is not None:
            real = [self._measured.measured(_columns(inputs[JOINT_POS], self._driven), inputs[JOINT_TARGET])]
        flag = [inputs[SWITCHED]] if self._switched else []
        return jnp.concatenate([first, *real, error, *flag], axis=-1)


@lru_cache(maxsize=16)
def proprioception(
    robot: str, ready: tuple[float, ...] | None, switched: bool, measured: bool = False
) -> Proprioception:
    """Return the joint features of a robot; equal arguments give the same object, so nothing is compiled twice."""
    return Proprioception(robot, ready, switched, measured)


def _columns(values: jax.Array, wanted: Sequence[int]) -> jax.Array:
    """Return columns (N, len(wanted)) by slices, each of which is one cheap operation of an exported graph."""
    runs = [[item for _, item in run] for _, run in groupby(enumerate(wanted), key=lambda pair: pair[1] - pair[0])]
    parts = [values[:, run[0] : run[-1] + 1] for run in runs]
    return jnp.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
