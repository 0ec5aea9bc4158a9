"""Runs stages: cached where nothing changed, resumed where a run was cut off, published when done."""

import contextlib
import json
import os
import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor
from pathlib import Path
from typing import Any, cast

from s2rctl.core.atomic import write_atomic
from s2rctl.core.compile_cache import hurry
from s2rctl.core.errors import ArtifactError, GateError, Interrupted, S2rError, UsageError
from s2rctl.core.interrupt import Interrupt, interruptible
from s2rctl.core.progress import Reporter, duration
from s2rctl.core.resources import pretrained
from s2rctl.pipeline.compile_clock import CompileClock
from s2rctl.pipeline.graph import downstream, producer_of, stage_named
from s2rctl.pipeline.key import cache_key
from s2rctl.pipeline.progress_file import FAILURE, FileReporter, note_failure
from s2rctl.schema.manifest import InputRef, Kind, StageRef
from s2rctl.schema.profile import Profile
from s2rctl.stages.protocol import Context, Result
from s2rctl.stages.work import Spread
from s2rctl.store.faults import translated
from s2rctl.store.lock import holder, is_held, locked
from s2rctl.store.place import clear_way, discard
from s2rctl.store.reading import read_json
from s2rctl.store.store import Artifact, Store
from s2rctl.systems import archive_of
from s2rctl.systems.protocol import Input, Stage


@dataclass(frozen=True)
class Job:
    """What every stage of one command shares."""

    profile: Profile
    store: Store
    reporter: Reporter
    resume: str  # the command that carries on after an interruption
    force: bool = False  # run although a result is there
    fresh: bool = False  # forget half-finished runs
    refs: bool = True  # point ``kind/output:latest`` and ``:<profile>`` at the results
    spread: Spread | None = None  # None: every stage works in this process
    patience_s: float = 1.0  # how long to wait for another process that is making the same thing


@dataclass(frozen=True)
class Outcome:
    """How one stage ended."""

    stage: Stage
    artifact: Artifact
    cached: bool
    seconds: float


def run_stage(stage: Stage, job: Job, inputs: Mapping[str, Artifact], interrupt: Interrupt) -> Outcome:
    """Return the stage's artifact, from the cache or by running it, and point its refs at it.

    The refs ``kind/output:latest`` and ``kind/output:<profile name>`` move even when the artifact was cached, so that
    they always name what the last command made (unless the job moves none). Ctrl-C raises Interrupted whose hint is
    the command that resumes.
    """
    key = cache_key(stage, job.profile, {role: artifact.id for role, artifact in inputs.items()})
    begun = time.monotonic()
    artifact = None if job.force else _cached(job.store, key)
    cached = artifact is not None
    if artifact is None:
        folder = job.store.run_folder(key)
        lock = folder.parent / f".{folder.name}.lock"
        if job.patience_s > 1.0 and is_held(lock):
            job.reporter.note(f"{stage.name}: process {holder(lock) or 'unknown'} is making the same; waiting for it")
        with locked(lock, f"the run of {stage.name}", timeout=job.patience_s):
            artifact = None if job.force else _cached(job.store, key)  # another process may have just made it
            cached = artifact is not None
            if artifact is None:
                artifact = _execute(stage, job, inputs, interrupt, key, folder)
    for alias in ("latest", job.profile.name) if job.refs else ():
        job.store.set_ref(f"{artifact.ref}:{alias}", artifact.id, f"{stage.name} of profile {job.profile.name}")
    return Outcome(stage, artifact, cached, time.monotonic() - begun)


def _cached(store: Store, key: str) -> Artifact | None:
    artifact = store.lookup_key(key)
    return artifact if artifact is not None and artifact.intact() else None


def _execute(
    stage: Stage, job: Job, inputs: Mapping[str, Artifact], interrupt: Interrupt, key: str, folder: Path
) -> Artifact:
    result, seconds = work(stage, job, inputs, interrupt, key, folder)
    artifact = publish(stage, job, inputs, result, seconds, key)
    shutil.rmtree(folder, ignore_errors=True)
    return artifact


def work(
    stage: Stage, job: Job, inputs: Mapping[str, Artifact], interrupt: Interrupt, key: str, folder: Path
) -> tuple[Result, float]:
    """Run a stage's function in its run folder, or go on with it there; return what it made and the seconds it took."""
    if job.profile.simulation.compilation == "quick":
        hurry(os.environ)
    state = folder / "state.json"
    if job.fresh:
        for item in list(folder.iterdir()):
            discard(folder, item.name)
    if state.is_file():
        job.reporter.note(f"{stage.name}: resuming an interrupted run ({folder.name})")
    before = _spent(state)
    begun = time.monotonic()

    def save_state() -> None:
        record = {
            "stage": stage.name,
            "key": key,
            "profile": job.profile.name,
            "inputs": {role: artifact.id for role, artifact in inputs.items()},
            "seconds": round(before + time.monotonic() - begun, 3),
        }
        with translated(job.store.root):
            clear_way(job.store.root, state)
            write_atomic(state, json.dumps(record).encode())

    save_state()
    discard(folder, FAILURE)
    reporter = FileReporter(job.reporter, folder)
    context = Context(stage, job.profile, inputs, job.store, folder, reporter, interrupt, job.spread)
    try:
        with translated(job.store.root):
            function = stage.load()
            with CompileClock(lambda: job.reporter.note("compiling (kept for the next run)")) as clock:
                result: Result = function(context)
    except (Interrupted, KeyboardInterrupt) as stop:
        save_state()
        # Only the stage knows what it has kept; a second Ctrl-C cuts off even its saving.
        what = stop.message if isinstance(stop, Interrupted) else "interrupted; earlier checkpoints are kept"
        raise Interrupted(f"{stage.name}: {what}", f"to resume: {job.resume}") from None
    except Exception as error:
        with contextlib.suppress(S2rError, OSError):  # the disk may be what failed
            save_state()
        note_failure(folder, error)
        raise
    return replace(result, metrics={**result.metrics, **clock.metrics}), before + time.monotonic() - begun


def publish(
    stage: Stage, job: Job, inputs: Mapping[str, Artifact], result: Result, seconds: float, key: str
) -> Artifact:
    """Publish what a stage made, under its cache key."""
    return job.store.publish(
        cast(Kind, stage.kind),
        stage.output,
        result.files,
        stage=StageRef(name=stage.name, version=stage.version),
        profile=job.profile.model_dump(mode="json"),
        seed=job.profile.seed,
        inputs=[InputRef(role=role, id=artifact.id) for role, artifact in inputs.items()],
        contract=result.contract,
        metrics=result.metrics,
        duration_s=seconds,
        key=key,
    )


_CENTURY_S = 3.2e9


def _spent(state: Path) -> float:
    """Return the seconds that earlier, interrupted attempts took (unknown after kill -9: the last saved figure)."""
    try:
        seconds = read_json(state).get("seconds")
    except (OSError, ArtifactError):
        return 0.0
    return float(seconds) if isinstance(seconds, int | float) and 0 <= seconds < _CENTURY_S else 0.0


def run_only(graph: Sequence[Stage], name: str, job: Job) -> list[Outcome]:
    """Run one stage of the graph on what the store has of its inputs, and return how it ended."""
    stage = stage_named(graph, name)
    return [run_alone(stage, job, make_inputs(graph, stage, job))]


def make_inputs(graph: Sequence[Stage], stage: Stage, job: Job) -> dict[str, Artifact]:
    """Return the inputs of a stage that runs alone, from the store.

    The artifact that the profile as it stands would give is taken if it is there, then the profile's last one, then
    the latest of any profile, then an imported pretrained one. ArtifactError if there is none.
    """
    return {wanted.role: _find(graph, wanted, job, stage.name) for wanted in stage.inputs}


def _find(graph: Sequence[Stage], wanted: Input, job: Job, user: str) -> Artifact:
    maker = producer_of(graph, wanted)
    try:
        if maker is not None:
            inputs = {item.role: _find(graph, item, job, maker.name).id for item in maker.inputs}
            exact = _cached(job.store, cache_key(maker, job.profile, inputs))
            if exact is not None:
                return exact
    except ArtifactError:
        pass  # what it is made from is gone, but the artifact itself may be there
    for alias in (job.profile.name, "latest", "pretrained"):
        try:
            return job.store.resolve(f"{wanted.kind}/{wanted.name}:{alias}")
        except ArtifactError:
            continue
    ready = _ready(job.profile.name, wanted)
    raise ArtifactError(
        f"{user} needs {wanted.kind}/{wanted.name}, which is not in the store {job.store.root}",
        f"s2rctl pipeline run -p {job.profile.name}   (makes everything that is missing){ready}",
    )


def _ready(profile: str, wanted: Input) -> str:
    """Return the words of a hint at a pretrained artifact; of profiles with archives of their own, at theirs."""
    archive = archive_of(wanted.kind, wanted.name)
    own = f"{archive}-{profile.rpartition('-')[2]}"
    if own in pretrained():
        return f", or s2rctl artifacts import {own} --alias {profile}   (pretrained)"
    return f", or s2rctl artifacts import {archive}   (pretrained)" if archive in pretrained() else ""


def run_pipeline(
    graph: Sequence[Stage], job: Job, from_stage: str | None = None, fresh_stage: str | None = None
) -> list[Outcome]:
    """Run all stages in order and return how each ended.

    ``from_stage`` runs that stage and everything made from it again; ``job.force`` runs all of them again.
    ``fresh_stage`` forgets the half-finished run of that stage alone, ``job.fresh`` those of all. A gate that is
    not met does not stop the stages behind it: the caller decides with ``check_gates``.
    """
    again = downstream(graph, from_stage) if from_stage else set()
    anew = {stage_named(graph, fresh_stage).name} if fresh_stage else set()
    made: dict[tuple[str, str], Artifact] = {}
    outcomes: list[Outcome] = []
    with interruptible() as interrupt:
        for number, stage in enumerate(graph, 1):
            if interrupt.requested:
                raise Interrupted("the pipeline was interrupted; finished stages are kept", f"to resume: {job.resume}")
            inputs = {wanted.role: _made(made, wanted, stage) for wanted in stage.inputs}
            this = replace(job, force=job.force or stage.name in again, fresh=job.fresh or stage.name in anew)
            outcome = run_stage(stage, this, inputs, interrupt)
            made[(stage.kind, stage.output)] = outcome.artifact
            outcomes.append(outcome)
            state = "cached" if outcome.cached else f"done in {duration(outcome.seconds)}"
            job.reporter.note(
                f"[{number}/{len(graph)}] {stage.name}: {state}, {outcome.artifact.ref} {outcome.artifact.id[:12]}"
            )
    return outcomes


def run_alone(stage: Stage, job: Job, inputs: Mapping[str, Artifact]) -> Outcome:
    """Run one stage outside a pipeline, with Ctrl-C as a request to checkpoint and leave."""
    with interruptible() as interrupt:
        return run_stage(stage, job, inputs, interrupt)


def check_gates(outcomes: Sequence[Outcome]) -> None:
    """Raise GateError if the result of any stage says that its gate is not met."""
    missed = [outcome for outcome in outcomes if _misses(outcome.artifact.manifest.origin.metrics)]
    if missed:
        names = "; ".join(_missed(outcome) for outcome in missed)
        raise GateError(
            f"the gate is not met: {names}", f"s2rctl artifacts show {missed[0].artifact.id[:12]}   (its figures)"
        )


def _misses(metrics: Mapping[str, Any]) -> bool:
    """Return whether figures miss their gate; perturbed episodes have none (earlier versions gave them one)."""
    return metrics.get("gate_passed") is False and not metrics.get("perturb")


def _missed(outcome: Outcome) -> str:
    """Return which stage missed its gate, and by how much where it is about a success rate."""
    metrics = outcome.artifact.manifest.origin.metrics
    name, has, wants = outcome.stage.name, metrics.get("wilson_low"), metrics.get("gate_success_low")
    figures = ""
    if isinstance(has, int | float) and isinstance(wants, int | float):
        figures = f": Wilson's lower bound is {floor(1e4 * has) / 100:.2f} %, the gate {100 * wants:g} %"
    return f"{name} ({outcome.artifact.id[:12]}){figures}"


def command(*words: str) -> str:
    """Return a shell command line that can be copied."""
    return " ".join(shlex.quote(word) for word in words)


def _made(made: Mapping[tuple[str, str], Artifact], wanted: Input, stage: Stage) -> Artifact:
    if (wanted.kind, wanted.name) not in made:
        raise UsageError(f"stage {stage.name} needs {wanted.kind}/{wanted.name}, which no earlier stage makes")
    return made[(wanted.kind, wanted.name)]
