"""What a student is made of, and what it remembers: the ``config`` of its policy.json."""

from collections.abc import Sequence

from s2rctl.learning.student import mating
from s2rctl.learning.student.proprioception import Proprioception, proprioception
from s2rctl.learning.vision.encoder import EncoderSettings, Size, settings_for
from s2rctl.learning.vision.preprocess import Camera, camera_from
from s2rctl.robots import ROBOTS
from s2rctl.schema.base import Model, quantity
from s2rctl.schema.contract import Memory
from s2rctl.schema.distillation import Distill
from s2rctl.schema.learning import Encoder as EncoderProfile
from s2rctl.schema.simulation import CameraSettings

ESTIMATES = "estimates"
ERRORS = "errors"
HANDS = "hands"
RECURRENT = "recurrent"
"""Names of the memories."""


class StudentSettings(Model):
    """What the student is made of; the ``config`` of its policy.json."""

    cameras: tuple[Camera, ...] = quantity(..., "", "policy cameras in the order of the latents")
    encoder: EncoderSettings
    hidden: tuple[int, ...] = quantity(..., "", "hidden layers after the encoder")
    robot: str = quantity(..., "", "robot table name: its specification says what the joint inputs are")
    ready: tuple[float, ...] | None = quantity(
        None, "rad", "joints from which hand poses of the commanded joints are told; null: they are no features"
    )
    measured: bool = quantity(False, "", "whether hand poses of the measured joints are told too")
    switched: bool = quantity(..., "", "whether the policy is told when its pilot has handed over")
    action_size: int = quantity(..., "", "joint-target changes", ge=1)
    estimates: int = quantity(0, "", "numbers that each camera's image tells of its object; 0: none", ge=0)
    filters: tuple[float, ...] = quantity((), "", "shares of the past in running means")
    filtered_errors: bool = quantity(False, "", "whether tracking errors are filtered too, not only what is told")
    filtered_hands: bool = quantity(False, "", "whether where the measured hands are to each other is filtered, too")
    confidence: bool = quantity(False, "", "whether it tells how sure it is, and means of poses weigh by it")
    ends: tuple[float, float] | None = quantity(
        None, "m", "ends of the parts that it mates, each from its grip along x; null: it remembers no mismatch of them"
    )
    touch: bool = quantity(False, "", "whether it also remembers to have felt a wall of such parts")
    together: bool = quantity(False, "", "whether the ways of such parts are told from all images at once")
    recurrent: int = quantity(0, "", "size of the recurrent unit; 0: none", ge=0)

    @property
    def told(self) -> int:
        """How many numbers all cameras tell."""
        return len(self.cameras) * self.estimates

    @property
    def memory(self) -> tuple[Memory, ...]:
        """What it remembers, all 0 at an episode's start.

        Running sums of what was told, of tracking errors and of the hands (filters, n + weights): after n weighted
        values the weight of all, or of each where it tells how sure it is. Where parts are, by ``mating.py``. The
        recurrent unit's state.
        """
        weights = {ESTIMATES: self.told} if self.confidence else {}
        sums = tuple(
            Memory(name=name, shape=(len(self.filters), size + weights.get(name, 1)))
            for name, size in self.filtered.items()
        )
        mated = mating.memories(self.filters, self.joints.hands_size, touch=self.touch) if self.ends else ()
        return sums + mated + ((Memory(name=RECURRENT, shape=(self.recurrent,)),) if self.recurrent else ())

    @property
    def filtered(self) -> dict[str, int]:
        """How many numbers each memory of running means is about."""
        if not self.filters:
            return {}
        told = {ESTIMATES: self.told} if self.told else {}
        errors = {ERRORS: self.joints.errors_size} if self.filtered_errors else {}
        return told | errors | ({HANDS: self.joints.hands_size} if self.filtered_hands else {})

    @property
    def joints(self) -> Proprioception:
        """The joint features."""
        return proprioception(self.robot, self.ready, self.switched, self.measured)


def student_settings(
    cameras: tuple[CameraSettings, ...],
    encoder: EncoderProfile,
    distill: Distill,
    robot: str,
    *,
    ready: Sequence[float] | None = None,
    switched: bool = False,
    estimates: int = 0,
    ends: tuple[float, float] | None = None,
) -> StudentSettings:
    """Return the student that a profile describes, for a robot that is commanded by joint targets.

    ``ready`` (rad) is where the task's work with both hands begins: hand poses are told from there, if the profile
    wants them; ``switched``: whether a pilot drives at first; ``estimates``: how many numbers the task asks of each
    camera's image, which the student tells if the profile wants it; ``ends``: of parts that are put together (m).
    """
    read = tuple(camera_from(camera) for camera in cameras)
    return StudentSettings(
        cameras=read,
        encoder=encoder_shape(cameras, encoder),
        hidden=distill.network,
        robot=robot,
        ready=tuple(ready) if ready is not None and distill.hand_poses else None,
        measured=ready is not None and distill.measured_hands,
        switched=switched,
        action_size=len(ROBOTS.load(robot).command),
        estimates=estimates if distill.estimates else 0,
        filters=distill.filters,
        filtered_errors=distill.filtered_errors,
        filtered_hands=distill.filtered_hands and ready is not None,
        confidence=distill.confidence and estimates > 0,
        ends=ends if distill.mating else None,
        touch=distill.touch,
        together=distill.together,
        recurrent=distill.recurrent,
    )


def encoder_shape(cameras: tuple[CameraSettings, ...], encoder: EncoderProfile) -> EncoderSettings:
    """Return the shape of the image encoder; all cameras share it and so have one image size."""
    first = camera_from(cameras[0])
    return settings_for(Size(first.height, first.width), first.channels, encoder.latent, fine=encoder.stem == "fine")
