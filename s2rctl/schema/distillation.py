"""The profile section that describes distillation."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from s2rctl.schema.base import WORLDS_LIMIT, Layers, Model, quantity, require, too_many
from s2rctl.schema.learning import OPTIMISER, Optimiser, dynamics_share


class Distill(Model):
    """DAgger from the teachers to the student that sees images."""

    worlds: int = quantity(1024, "", "parallel worlds", ge=1, le=WORLDS_LIMIT)
    collectors: int = quantity(
        0,
        "",
        "groups into which the worlds are divided; each can act and label on a core or machine of its own, where "
        "launcher says. 0: one, in the learner's process, and resumed to the bit",
        ge=0,
        le=4096,
    )
    iterations: int = quantity(400, "", "iterations of acting and learning", ge=1, le=10_000_000)
    steps: int = quantity(6, "step", "control steps per iteration", ge=1, le=1000)
    epochs: int = quantity(4, "", "passes over each iteration's samples", ge=1, le=100)
    batch: int = quantity(256, "", "samples per optimiser step", ge=1, le=1_000_000)
    optimiser: Optimiser = quantity("adam", "", OPTIMISER)
    learning_rate: float = quantity(4e-4, "", "learning rate; for muon that of the matrices", ge=1e-9, le=100)
    weight_decay: float = quantity(
        0.0, "", "share of the learning rate by which weights shrink; muon needs some", ge=0, le=100
    )
    final_rate: float = quantity(0.1, "", "share of the learning rate that is left at the end", ge=1e-6, le=1)
    averaging: float = quantity(
        0.0,
        "",
        "iterations over which the student that acts, and is kept, is averaged: without the noise of single optimiser "
        "steps; 0: the newest",
        ge=0,
        le=1e6,
    )
    network: Layers = quantity((256, 256, 256), "", "hidden layers of the student")
    hand_poses: bool = quantity(
        True, "", "the student also gets the hand poses that the commanded joints have by forward kinematics"
    )
    measured_hands: bool = quantity(
        False,
        "",
        "the student also gets the hand poses of the measured joints, which tell how far the arms sag; needs readings "
        "as good as encoders are (noise.joint_pos)",
    )
    encoder: Literal["random", "frozen", "finetuned"] = quantity(
        "finetuned", "", "random weights, or the pretrained ones kept fixed or trained further"
    )
    aggregate: int = quantity(
        0,
        "",
        "samples of earlier iterations that are kept, to learn from again",
        ge=0,
        le=1_000_000_000,
    )
    reuse: int = quantity(1, "", "earlier samples per new one in an iteration, where some are kept", ge=1, le=100)
    estimates: float = quantity(
        0.0,
        "",
        "weight of telling the objects' poses from the images, beside imitating the teacher; 0: the student tells none",
        ge=0,
        le=1000,
    )
    confidence: bool = quantity(
        False,
        "",
        "each told number with how sure its image is, by which errors count in learning and means over time weigh",
    )
    filters: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = quantity(
        (),
        "",
        "shares of the past per control step in running means of the told poses, which the student remembers; none: a "
        "student without memory",
        max_length=8,
    )
    filtered_errors: bool = quantity(
        False, "", "the student remembers such running means of how far its arms are from their commands, too"
    )
    filtered_hands: bool = quantity(
        False,
        "",
        "and of where its measured hands were to each other: what was seen then tells which joints read wrong",
    )
    mating: bool = quantity(
        False, "", "and of how far the hands' kinematics are from what images told of parts that are put together"
    )
    touch: bool = quantity(
        False,
        "",
        "where no camera sees how two parts are, the student is taught to feel for a wall, and remembers that it did",
    )
    together: bool = quantity(
        False,
        "",
        "how such parts are to each other is told from all images at once: each alone shows one direction badly",
    )
    recurrent: int = quantity(
        0, "", "size of a recurrent unit with which the student learns what to remember; 0: none", ge=0, le=8192
    )
    pushed: float = quantity(
        0.0,
        "",
        "share of the worlds in which the arms are pushed aside while parts are put together, so that images of parts "
        "that do not meet are seen, and what to do about it is learned",
        ge=0,
        le=1,
    )
    push: float = quantity(
        0.4,
        "",
        "standard deviation of the pushes, of an action's range; each lasts for an iteration's steps",
        ge=0,
        le=2,
    )
    behaviour_cloning: bool = quantity(False, "", "the teacher drives throughout, instead of the student (DAgger)")
    teacher_prefix: float = quantity(
        0.0,
        "",
        "share of the worlds whose episodes the teacher begins, for a time that differs between them; falls to none by "
        "the middle of the distillation",
        ge=0,
        le=1,
    )
    resample_appearance: float = quantity(
        0.0,
        "",
        "share of the worlds whose look (colours, lights, camera poses) is drawn again in every step, not only in "
        "every episode",
        ge=0,
        le=1,
    )
    resample_cameras: bool = quantity(
        True,
        "",
        "with that look the cameras are drawn again: their places, optics and errors of depth; false for a student "
        "with memory, which would learn that means over time have no such errors",
    )
    camera_edge: float = quantity(
        0.0,
        "",
        "share of the episodes whose cameras stand as far off, in place, direction and lens, as vision.appearance "
        "lets them; the others' are drawn within",
        ge=0,
        le=1,
    )
    dynamics: float = dynamics_share()
    mildest: float = quantity(
        1.0,
        "",
        "how far the worlds' physics goes at least, as a share of dynamics: each world draws its own between the two. "
        "1: all go equally far, and few are like the nominal one",
        ge=0,
        le=1,
    )
    from_switch: float = quantity(
        0.0, "", "share of the worlds whose episodes begin where the pick teacher hands over", ge=0, lt=1
    )
    hide_object: float = quantity(
        0.07, "", "share of episodes that hide the peg, and likewise the socket", ge=0, le=0.5
    )
    checkpoint_interval_s: float = quantity(30.0, "s", "longest time between checkpoints", gt=0, le=86_400)

    @model_validator(mode="after")
    def _consistent(self) -> "Distill":
        problems = too_many("steps", worlds=self.worlds, steps=self.steps)
        if self.collectors and self.worlds % self.collectors:
            problems.append(f"collectors: {self.worlds} worlds cannot be divided into {self.collectors} equal groups")
        if self.measured_hands and not self.hand_poses:
            problems.append(
                "measured_hands: there are none without those of the commanded joints; set hand_poses: true"
            )
        filtered = [name for name in ("filtered_errors", "filtered_hands") if getattr(self, name)]
        if self.filters and not self.estimates and not filtered:
            problems.append("filters: nothing to filter; give estimates a weight, or set filtered_errors: true")
        if not self.filters:
            problems += [f"{name}: say how slowly they are filtered, by filters" for name in filtered]
        if self.filtered_hands and not self.measured_hands:
            problems.append("filtered_hands: there are none without measured_hands: true")
        if self.confidence and not self.estimates:
            problems.append("confidence: in what? give estimates a weight")
        if self.mating and not (self.confidence and self.filters and self.measured_hands):
            problems.append("mating: needs confidence: true, filters, and measured_hands: true")
        if self.touch and not self.mating:
            problems.append("touch: without mating: true the student has no memory of what it felt")
        if self.together and not self.mating:
            problems.append("together: which parts? set mating: true")
        require(problems)
        return self
