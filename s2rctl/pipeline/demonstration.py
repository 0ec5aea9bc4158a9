"""A system shown in minutes: the policy that comes with it at work, then every stage with the smallest budgets."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import MissingEnvironmentError, ProfileError, S2rError
from s2rctl.core.exits import ExitCode
from s2rctl.core.resources import pretrained
from s2rctl.pipeline.graph import evaluation_stage, graph_of, stage_named
from s2rctl.pipeline.run import Job, run_alone, run_pipeline
from s2rctl.schema.load import load_profile, load_resolved, profile_files
from s2rctl.store.archive import import_archive
from s2rctl.store.faults import translated
from s2rctl.store.refs import split
from s2rctl.store.store import Artifact
from s2rctl.systems import archive_of, system_named
from s2rctl.systems.protocol import Stage, System

FOLDER = "demo"
"""Where in the store films and reports are kept under names that can be typed."""
SMOKE = "-smoke"
"""How the names of profiles end that run every stage of a system with the smallest budgets."""
SETTINGS = (
    "simulation.compilation=quick",
    "evaluate.gate={success_low: 0, episodes: 32}",
    "evaluate.worlds=16",
    "evaluate.videos=1",
    "deploy.rehearsal.through=driver",
    "deploy.rehearsal.episodes=3",
)
"""What differs from the profile that the ready policy was made with: fewer episodes, programs that compile quickly (and
for as many worlds as the smoke profiles have, whose exports load them), and a rehearsal through the driver and the
vendor's SDK. No gate: so few episodes meet none."""
Look = Callable[[Path | None], None]
"""Is told of the rehearsal's film, if there is one, as soon as all that has to keep up with real time is over."""


def shown() -> dict[str, str]:
    """Return the smoke profile of every system that comes with a ready policy, by the system's name."""
    found: dict[str, str] = {}
    ready = pretrained()
    for name in sorted(profile_files()):
        if not name.endswith(SMOKE):
            continue
        try:
            system = system_named(load_profile(name).profile.system)
        except (ProfileError, MissingEnvironmentError):
            continue
        if archive_of(system.deployed.kind, system.deployed.name) in ready:
            found.setdefault(system.name, name)
    return found


def demonstrate(smoke: Job, look: Look) -> dict[str, Any]:
    """Show the ready policy of a system, then run all stages as ``smoke`` says; return what came of both as plain data.

    Everything that is in the store already is taken from there, so the same call resumes.
    """
    system = system_named(smoke.profile.system)
    graph = graph_of(system.name)
    ready = _imported(system, smoke)
    store, folder = smoke.store, smoke.store.root / FOLDER
    policy = ready["onnx", system.deployed.export]
    settings = [*SETTINGS, f"name={system.profile}-demo"]
    job = replace(smoke, profile=load_resolved(policy.manifest.content.profile, settings).profile)
    rehearsal, text, film = _rehearsed(stage_named(graph, "rehearse"), job, policy)
    film = _kept(film, folder / f"{system.name}.mp4") if film else None
    if film is not None:
        job.reporter.note(f"film of the rehearsal: {film}")
    look(film)
    evaluation = run_alone(evaluation_stage(system, system.deployed), job, {"onnx": policy}).artifact
    for made in (rehearsal, evaluation):
        if made is not None:
            ready[made.manifest.content.kind, made.manifest.content.name] = made
    stage = stage_named(graph, "report")
    inputs = {i.role: ready[i.kind, i.name] for i in stage.inputs if (i.kind, i.name) in ready}
    report = run_alone(stage, job, inputs).artifact
    ready[stage.kind, stage.output] = report
    trained = {outcome.stage.kind: outcome.artifact for outcome in run_pipeline(graph, smoke)}
    for (kind, name), artifact in ready.items():  # whoever names no alias wants what works
        store.set_ref(f"{kind}/{name}:latest", artifact.id, "demo")
    return {
        "system": system.name,
        "policy": f"{policy.ref}:pretrained",
        "profile": system.profile,
        "rehearsal": {"text": text, "film": str(film) if film else None},
        "evaluation": _text(evaluation),
        "report": str(_kept(_page(report), folder / f"{system.name}.html")),
        "smoke": {
            "profile": smoke.profile.name,
            "stages": len(graph),
            "evaluation": _text(trained["evaluation"]),
            "report": str(_kept(_page(trained["report"]), folder / f"{smoke.profile.name}.html")),
        },
    }


def _imported(system: System, job: Job) -> dict[tuple[str, str], Artifact]:
    """Import everything of the system that is ready, and return it by kind and name."""
    archives, found = pretrained(), dict[tuple[str, str], Artifact]()
    for archive in sorted(set(system.archives.values()) & set(archives)):
        for ref, identity in import_archive(job.store, archives[archive]).refs.items():
            kind, name, _ = split(ref) or ("", "", "")
            found[kind, name] = job.store.get(identity)
    return found


def _rehearsed(stage: Stage, job: Job, policy: Artifact) -> tuple[Artifact | None, str, Path | None]:
    """Rehearse; return the rehearsal, how it went, and its film.

    A safety stop, as on a computer that is too busy for real time, is told and ends nothing.
    """
    try:
        artifact = run_alone(stage, job, {"onnx": policy}).artifact
    except S2rError as error:
        if error.exit_code != ExitCode.SAFETY:
            raise
        job.reporter.note(f"the rehearsal was stopped: {error.message}")
        return None, f"stopped: {error.message}", None
    film = artifact.lasting_folder() / "rehearsal.mp4"
    if not film.is_file():  # no display driver
        return artifact, _text(artifact), None
    return artifact, _text(artifact), film


def _text(artifact: Artifact) -> str:
    """Return the success rate with its interval."""
    return str(artifact.manifest.origin.metrics.get("text", ""))


def _page(report: Artifact) -> Path:
    return report.lasting_folder() / "report.html"


def _kept(source: Path, place: Path) -> Path:
    """Copy a file to a place whose name can be typed."""
    with translated(place.parent):
        place.parent.mkdir(exist_ok=True)
        write_atomic(place, source.read_bytes())
    return place
