"""``train-teacher``, ``distill``, ``train-reach``: one training stage of a profile."""

from typing import Annotated, Literal

import typer

from s2rctl.cli.describe import outcome_answer
from s2rctl.cli.output import Answer
from s2rctl.cli.session import (
    ForceOption,
    FreshOption,
    OnOption,
    ProfileOption,
    SeedOption,
    Session,
    SetOption,
    register,
)

_TEACHER = "train-teacher-"
"""What the names of the teachers' stages begin with; the phase follows."""


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    register(app, "train-teacher")(train_teacher)
    register(app, "distill")(distill)
    register(app, "train-reach")(train_reach)


def train_teacher(
    session: Session,
    profile: ProfileOption,
    phase: Annotated[str, typer.Option("--phase", help="Which teacher: pick or insert; insert needs pick.")],
    sets: SetOption = None,
    seed: SeedOption = None,
    force: ForceOption = False,
    fresh: FreshOption = False,
) -> Answer:
    """Train a state-based teacher of the Aloha system.

    Examples:
      s2rctl train-teacher -p aloha --phase pick
      s2rctl train-teacher -p aloha --phase insert --set teacher.insert.ppo.steps=500000

    """
    return _run(session, profile, sets, seed, f"{_TEACHER}{phase}", force, fresh)


def distill(
    session: Session,
    profile: ProfileOption,
    on: OnOption = None,
    sets: SetOption = None,
    seed: SeedOption = None,
    force: ForceOption = False,
    fresh: FreshOption = False,
) -> Answer:
    """Distil the teachers into the image-based student; trains its image encoder first if there is none.

    Examples:
      s2rctl distill -p aloha
      s2rctl distill -p aloha --set distill.iterations=100 --seed 1
      s2rctl distill -p aloha --set distill.collectors=16 --on ray

    """
    return _run(session, profile, sets, seed, "distill", force, fresh, encoder=True, on=on)


def train_reach(
    session: Session,
    profile: ProfileOption,
    variant: Annotated[
        Literal["best", "plain", "depth", "alexnet", "twin", "two_camera", "keypoint"] | None,
        typer.Option("--variant", help="Variant to train; see s2rctl profile schema (default: the profile's)."),
    ] = None,
    sets: SetOption = None,
    seed: SeedOption = None,
    force: ForceOption = False,
    fresh: FreshOption = False,
) -> Answer:
    """Train the xArm7 reach policy from images; trains its feature extractor first if there is none.

    Examples:
      s2rctl train-reach -p xarm7-reach
      s2rctl train-reach -p xarm7-reach --variant plain

    """
    changes = [*(sets or ()), *([f"reach.variant={variant}"] if variant else ())]
    # Each variant has an extractor of its own, so whatever is in the store would rarely fit.
    return _run(session, profile, changes, seed, "train-reach", force, fresh, encoder=True)


def _run(
    session: Session,
    profile: str,
    sets: list[str] | None,
    seed: int | None,
    stage: str,
    force: bool,
    fresh: bool,
    encoder: bool = False,
    on: str | None = None,
) -> Answer:
    """Run one stage; with ``encoder`` the one that it begins with is made first, once all other inputs are there."""
    from dataclasses import replace

    from s2rctl.core.errors import UsageError
    from s2rctl.pipeline.graph import graph_of, producer_of, stage_named
    from s2rctl.pipeline.run import make_inputs, run_alone

    loaded = session.load(profile, sets, seed).profile
    graph = graph_of(loaded.system)
    names = [item.name for item in graph]
    phases = [name.removeprefix(_TEACHER) for name in names if name.startswith(_TEACHER)]
    if stage.startswith(_TEACHER) and stage not in names and phases:
        wanted = stage.removeprefix(_TEACHER)
        raise UsageError(
            f"the system '{loaded.system}' has no teacher '{wanted}'", f"use --phase {' or '.join(phases)}"
        )
    if stage not in names:
        raise UsageError(
            f"profile '{loaded.name}' describes the system '{loaded.system}', which has no stage '{stage}'",
            "choose another profile: s2rctl profile list",
        )
    job = session.job(loaded, force, fresh, on)
    chosen = stage_named(graph, stage)
    first = next((producer_of(graph, item) for item in chosen.inputs if item.kind == "encoder"), None)
    if encoder and first is not None:
        others = tuple(item for item in chosen.inputs if item.kind != "encoder")
        make_inputs(graph, replace(chosen, inputs=others), job)
        run_alone(first, session.job(loaded, fresh=fresh), {})
    return outcome_answer(run_alone(chosen, job, make_inputs(graph, chosen, job)))
