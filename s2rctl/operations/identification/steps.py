"""The solution and its check: from recordings to a published identification."""

import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from s2rctl.control.latency import weights_of
from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import ArtifactError, GateError, S2rError
from s2rctl.identification.bench import Bench
from s2rctl.identification.check import Errors, errors_of
from s2rctl.identification.parameters import UNITS
from s2rctl.identification.solve import Solution, solve
from s2rctl.identification.trace import Trace
from s2rctl.operations.documents import read_document
from s2rctl.operations.identification.page import PAGE, PLOTS, draw_plots, write_page
from s2rctl.operations.identification.traces import traces_of
from s2rctl.operations.identification.work import KIND, TRUTH, Work, bench_of
from s2rctl.schema.identification import Found, Identification, JointErrors, Settings
from s2rctl.schema.manifest import StageRef
from s2rctl.store.store import Artifact
from s2rctl.systems import system_named

FILE = "identification.json"
METHOD = "identifiability by the Jacobian, then least squares over whole recordings with a prior and Huber's loss"


def solve_recordings(work: Work) -> tuple[Artifact, Identification, dict[str, Any]]:
    """Identify from the recordings, check on what was held out, publish; GateError when the gate is not met."""
    begun = time.monotonic()
    bench = bench_of(work.profile)
    try:
        traces, measured = traces_of(work, bench)
        work.reporter.start("solve", 0, "")
        work.reporter.note(f"{sum(trace.seconds for trace in traces):.0f} s of motion of {len(bench.joints)} joints")
        solution = solve(bench, traces)
        before, after = (errors_of(bench, values, traces) for values in (bench.space.mean, solution.values))
        found = identification_of(work, bench, traces, solution, (before, after), measured)
        folder = work.folder / "solution"
        folder.mkdir(parents=True, exist_ok=True)
        files = draw_plots(folder, bench, traces, solution.values)
    finally:
        bench.close()
    write_atomic(folder / FILE, found.model_dump_json(indent=1).encode())
    files[FILE] = folder / FILE
    files[PAGE] = write_page(folder, found, files)
    values = figures(found)
    profile = work.profile
    artifact = work.store.publish(
        KIND,
        system_named(profile.system).output,
        files,
        stage=StageRef(name="sysid", version=1),
        profile=profile.model_dump(mode="json"),
        seed=profile.seed,
        metrics=values | {"mode": work.mode},
        duration_s=time.monotonic() - begun,
    )
    for alias in ("latest", profile.name):
        work.store.set_ref(f"{artifact.ref}:{alias}", artifact.id, f"sysid of profile {profile.name}")
    return artifact, found, values


def identification_of(
    work: Work,
    bench: Bench,
    traces: Sequence[Trace],
    solution: Solution,
    errors: tuple[Errors, Errors],
    measured: dict[str, np.ndarray],
) -> Identification:
    """Return the identification as it is published."""
    settings, period = work.profile.identification, work.profile.simulation.period_s
    space, (low, high) = solution.space, solution.interval
    truth = _truth(work)
    host = float(np.nanmean(measured["host"]))
    parameters = tuple(
        Found(
            name=name,
            kind=space.kind(number),  # type: ignore[arg-type]
            joint="" if space.kind(number) == "delay" else name.rpartition(" ")[0],
            unit=UNITS[space.kind(number)],
            nominal=float(space.mean[number]),
            value=float(solution.values[number]),
            sigma=float(solution.sigma[number]),
            low=float(low[number]),
            high=float(high[number]),
            told=bool(solution.told[number]),
            truth=truth.get(name),
        )
        for number, name in enumerate(space.names)
    )
    before, after = errors
    found = Identification(
        robot=work.profile.robot.name,
        mode=work.mode,
        method=METHOD,
        parameters=parameters,
        covariance=tuple(tuple(float(value) for value in row) for row in solution.covariance),
        noise_rad=tuple(float(value) for value in solution.noise),
        readings=solution.readings,
        seconds=float(sum(trace.seconds for trace in traces)),
        errors=tuple(
            JointErrors(
                joint=joint,
                open_loop_before=float(before.open_loop[number]),
                open_loop_after=float(after.open_loop[number]),
                one_step_before=float(before.one_step[number]),
                one_step_after=float(after.one_step[number]),
            )
            for number, joint in enumerate(bench.joints)
        ),
        host_s=max(host, 0.0),
        observation_weights=weights_of(measured["observation"], period),
        action_weights=weights_of(np.array([max(float(solution.values[-1]) + host, 0.0)]), period),
        made_at=time.time(),
    )
    return found.model_copy(update={"verdict": verdict(found, settings)})


def check(work: Work, found: Identification) -> tuple[dict[str, Any], S2rError | None]:
    """Replay what was held out with an identification's parameters; GateError where they do not foresee it."""
    bench = bench_of(work.profile)
    try:
        if [one.name for one in found.parameters] != list(bench.space.names):
            raise ArtifactError("the identification is of other joints than the profile's robot has", "identify again")
        traces, _ = traces_of(work, bench)
        values = np.array([one.value for one in found.parameters])
        nominal = np.array([one.nominal for one in found.parameters])
        before, after = errors_of(bench, nominal, traces), errors_of(bench, values, traces)
        folder = work.folder / "check"
        folder.mkdir(parents=True, exist_ok=True)
        plots = draw_plots(folder, bench, traces, values, nominal)
    finally:
        bench.close()
    rows = {
        joint: {
            "open_loop_before_mrad": round(1e3 * float(before.open_loop[number]), 3),
            "open_loop_after_mrad": round(1e3 * float(after.open_loop[number]), 3),
            "one_step_before_mrad": round(1e3 * float(before.one_step[number]), 3),
            "one_step_after_mrad": round(1e3 * float(after.one_step[number]), 3),
        }
        for number, joint in enumerate(bench.joints)
    }
    settings = work.profile.identification
    problem = fault(before.total, after.total, settings)
    text = f"FAIL: {problem}" if problem else f"PASS: {_words(before.total, after.total)}"
    data = {"verdict": text, "passed": not problem, "joints": rows, "plot": str(plots[PLOTS[0]])}
    return data, GateError(text, "identify again: s2rctl sysid collect, then solve") if problem else None


def fault(before: float, after: float, settings: Settings) -> str:
    """Return why open-loop errors (rad) do not pass the gate; empty where they do."""
    limit = max(settings.max_ratio * before, settings.max_error_rad)
    return "" if after <= limit else f"{_words(before, after)}; the limit is {1e3 * limit:.2f} mrad"


def verdict(found: Identification, settings: Settings) -> str:
    """Return in one sentence whether the identification can be used."""
    problem = fault(found.before, found.after, settings)
    if problem:
        return f"Not good enough: {problem}."
    zeros = [one for one in found.parameters if one.kind == "zero" and one.told and abs(one.value) > 3 * one.sigma]
    off = [one for one in zeros if abs(np.rad2deg(one.value)) > 1.0]
    untold = sum(not one.told for one in found.parameters)
    sure = f"{_words(found.before, found.after)}; {untold} of {len(found.parameters)} figures are not told"
    if off:
        words = ", ".join(f"{one.joint} by {np.rad2deg(one.value):+.1f}° ± {np.rad2deg(one.sigma):.1f}°" for one in off)
        return f"Good, but set the zero of {words}: {sure}."
    return f"Good: {sure}."


def figures(found: Identification) -> dict[str, Any]:
    """Return the figures of an identification; of a rehearsal, how often its intervals hold the truth."""
    delay = found.parameters[-1]
    values: dict[str, Any] = {
        "open_loop_before_mrad": round(1e3 * found.before, 4),
        "open_loop_after_mrad": round(1e3 * found.after, 4),
        "delay_ms": round(1e3 * delay.value, 3),
        "delay_sigma_ms": round(1e3 * delay.sigma, 3),
        "host_ms": round(1e3 * found.host_s, 3),
        "told": sum(one.told for one in found.parameters),
        "not_told": [one.name for one in found.parameters if not one.told],
        "verdict": found.verdict,
    }
    known = [one for one in found.parameters if one.told and one.truth is not None]
    if known:
        values["covered"] = f"{sum(one.low <= float(one.truth or 0.0) <= one.high for one in known)}/{len(known)}"
    return values


def load(artifact: Artifact) -> Identification:
    """Return the identification in an artifact; ArtifactError where there is none."""
    if artifact.manifest.content.kind != KIND:
        raise ArtifactError(f"{artifact.ref} is no identification", "s2rctl artifacts list --kind identification")
    if FILE not in {file.path for file in artifact.manifest.content.files}:
        raise ArtifactError(
            f"{artifact.ref} is an identification of cameras, not of motion",
            "s2rctl artifacts list --kind identification",
        )
    return read_document(artifact, FILE, Identification, "identify again")


def find(work: Work, ref: str | None) -> Artifact:
    """Return the identification of a reference, else the profile's last one; ArtifactError where there is none."""
    if ref:
        return work.store.resolve(ref)
    name = work.profile.name
    try:
        return work.store.resolve(f"{KIND}/{system_named(work.profile.system).output}:{name}")
    except ArtifactError as error:
        raise ArtifactError(
            f"the robot of the profile '{name}' was never identified",
            f"s2rctl sysid collect -p {name}, then s2rctl sysid solve -p {name}",
        ) from error


def gate(found: Identification, settings: Settings) -> S2rError | None:
    """Return the GateError of an identification that is not good enough."""
    problem = fault(found.before, found.after, settings)
    hint = "excite the robot longer or further: --set identification.rounds=8 identification.amplitude_rad=0.4"
    return GateError(f"the identification is not good enough: {problem}", hint) if problem else None


def _words(before: float, after: float) -> str:
    return f"the held-out motion is foreseen to {1e3 * after:.2f} mrad (before: {1e3 * before:.2f} mrad)"


def _truth(work: Work) -> dict[str, float]:
    """Return the figures of a rehearsal's robot; its delay is that of commands alone."""
    noted = work.folder / TRUTH
    if work.mode != "rehearse" or not noted.is_file():
        return {}
    values: dict[str, float] = json.loads(noted.read_text())["values"]
    return {name: value for name, value in values.items() if name != "delay"}
