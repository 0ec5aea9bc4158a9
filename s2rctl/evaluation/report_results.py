"""The report's results: how often it works, what failed episodes do, other conditions and other policies."""

from collections.abc import Mapping
from typing import Any

from s2rctl.evaluation.report_material import Figure, Material
from s2rctl.evaluation.statistics import exact, format_rate
from s2rctl.store.store import Artifact


def success(material: Material) -> dict[str, Any]:
    """Return the success rate as text and its exact interval; empty without an evaluation."""
    figures = material.metrics("evaluation")
    return {"rate": _rate(figures), "interval": exact(figures["successes"], figures["episodes"])} if figures else {}


def failures(material: Material) -> list[dict[str, Any]]:
    """Return what each policy's failed episodes do: counts with intervals, and a film of the first of each kind."""
    found = []
    for artifact in _own_evaluations(material):
        figures = artifact.manifest.origin.metrics
        if figures["successes"] < figures["episodes"]:
            rows, clips = _failure_rows(figures), _failure_films(material, artifact)
            found.append({"name": _policy(artifact), "rate": _rate(figures), "rows": rows, "films": clips})
    return found


def _failure_rows(figures: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """Return the taxonomy; evaluations of earlier versions have counts only."""
    known = {row["kind"]: row for row in figures.get("failure_rows", ())}
    rows: list[tuple[object, ...]] = []
    for kind, count in _by_count(figures):
        low, high = exact(count, figures["episodes"])
        share = f"{100 * count / figures['episodes']:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
        more = known.get(kind, {})
        steps, ever = more.get("steps_median", ""), more.get("ever_successful", "")
        rows.append((kind.replace("_", " "), count, share, int(steps) if steps != "" else "", ever))
    return rows


def _failure_films(material: Material, artifact: Artifact) -> list[Figure]:
    found = []
    for clip in clips_of(artifact):
        if clip["outcome"] != "success":
            steps = f", {clip['steps']} steps" if "steps" in clip else ""
            where = f" (world {clip['world']}, batch {clip['batch']}{steps})" if "world" in clip else ""
            found += material.film(artifact, clip["file"], f"{clip['outcome'].replace('_', ' ')}{where}")
    return found


def clips_of(artifact: Artifact) -> list[dict[str, Any]]:
    """Return the films of an evaluation (``file``, ``outcome``, and where it says so ``world`` and ``batch``)."""
    if "evaluation.json" in artifact.files:
        found = artifact.json("evaluation.json").get("clips")
        if isinstance(found, list):
            return found
    names = [name for name in artifact.files if name.endswith(".mp4")]
    return [{"file": name, "outcome": name.partition("-")[2].removesuffix(".mp4")} for name in names]


def films(material: Material) -> list[Figure]:
    """Return films of successes and of the rehearsal."""
    found = []
    for role, artifact in material.artifacts.items():
        names: dict[str, str] = {}
        if role == "evaluation":
            names = {c["file"]: "success" for c in clips_of(artifact) if c["outcome"] == "success"}
        elif role == "deployment":
            names = {name: "rehearsal" for name in artifact.files if name.endswith(".mp4")}
        for name, caption in names.items():
            found += material.film(artifact, name, caption)
    return found


def conditions(material: Material) -> list[tuple[str, ...]]:
    """Return the evaluations under perturbations, beside the plain one of the same policy."""

    def row(artifact: Artifact, changed: str) -> tuple[str, ...]:
        figures = artifact.manifest.origin.metrics
        return _policy(artifact), changed, _rate(figures), _top_failure(figures)

    rows = [
        row(artifact, ", ".join(f"{name}={value:g}" for name, value in perturb.items()))
        for artifact in material.evaluations
        if (perturb := artifact.manifest.origin.metrics.get("perturb"))
    ]
    perturbed = {policy for policy, *_ in rows}
    return [row(a, "as trained") for a in _own_evaluations(material) if _policy(a) in perturbed] + rows


def comparisons(material: Material) -> list[tuple[str, ...]]:
    """Return the paired comparisons of these policies with others."""
    rows: list[tuple[str, ...]] = []
    for artifact in material.evaluations:
        figures = artifact.manifest.origin.metrics
        if "paired" not in figures:
            continue
        pairs, other = figures["paired"], figures["against"]
        low, high = 100 * pairs["difference_low"], 100 * pairs["difference_high"]
        rows.append(
            (
                f"{_policy(artifact)} {_rate(figures)}",
                f"{other['policy']} {other['text']}",
                f"{pairs['both']} / {pairs['only_first']} / {pairs['only_second']} / {pairs['neither']}",
                f"{100 * pairs['difference']:+.1f} % [{low:+.1f}, {high:+.1f}]",
                f"{pairs['statistic']:.2f}",
                f"{pairs['p_value']:.3g}",
            )
        )
    return rows


def _own_evaluations(material: Material) -> list[Artifact]:
    """Return the run's evaluation, and the newest plain one of every other policy here."""
    main = material.artifacts.get("evaluation")
    found = {} if main is None else {_policy(main): main}
    for artifact in reversed(material.evaluations):
        figures = artifact.manifest.origin.metrics
        if not figures.get("perturb") and "paired" not in figures:
            found.setdefault(_policy(artifact), artifact)
    return list(found.values())


def _policy(artifact: Artifact) -> str:
    return str(artifact.manifest.origin.metrics.get("policy", artifact.ref))


def _rate(figures: Mapping[str, Any]) -> str:
    return format_rate(figures["successes"], figures["episodes"])


def _by_count(figures: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return the kinds of failure, most frequent first (a manifest sorts them by name)."""
    return sorted(figures.get("failures", {}).items(), key=lambda item: -item[1])


def _top_failure(figures: Mapping[str, Any]) -> str:
    found = _by_count(figures)
    return f"{found[0][0].replace('_', ' ')} ({found[0][1]})" if found else "none"
