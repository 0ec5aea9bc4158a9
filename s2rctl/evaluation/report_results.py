"""The report's results: how often it works, what failed episodes do, other conditions and other policies."""

from collections.abc import Mapping
from typing import Any

from s2rctl.evaluation import html
from s2rctl.evaluation.html import Html, fill
from s2rctl.evaluation.report_material import Material
from s2rctl.evaluation.statistics import exact, format_rate
from s2rctl.store.store import Artifact


def success(material: Material) -> Html:
    """Return the success rate with its interval and the gate."""
    figures = material.metrics("evaluation")
    if not figures:
        return Html()
    gate = float(figures.get("gate_success_low", 0.0))
    low, high = exact(figures["successes"], figures["episodes"])
    bar = html.interval_bar(figures["success_rate"], low, high, gate)
    note = fill(
        "<p>{} episodes, the first one of each world only, seeds that training never used; {} met the goal at some "
        "step, {} at the end. Wilson's interval, which gates use, is [{:.1f}, {:.1f}] %.</p>",
        figures["episodes"], figures.get("ever_successful", 0), figures["successes"],
        100 * figures["wilson_low"], 100 * figures["wilson_high"],
    )  # fmt: skip
    return fill("<h2>How often it works</h2>{}{}", bar, note)


def failures(material: Material) -> Html:
    """Return what the failed episodes do: counts with intervals, and a film of the first of each kind."""
    parts = []
    for artifact in _own_evaluations(material):
        figures = artifact.manifest.origin.metrics
        if figures["successes"] == figures["episodes"]:
            continue
        table, clips = html.table(_HEAD, _failure_rows(figures)), _failure_films(material, artifact)
        parts.append(fill("<h3>{}: {}</h3>{}{}", _policy(artifact), _rate(figures), table, clips))
    return fill("<h2>What failed episodes do</h2>{}", html.join(parts)) if parts else Html()


_HEAD = ("end of the episode", "episodes", "share of all, 95 %", "median steps", "met the goal before")


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


def _failure_films(material: Material, artifact: Artifact) -> Html:
    figures = []
    for clip in clips_of(artifact):
        if clip["outcome"] == "success":
            continue
        content = material.film(artifact, clip["file"])
        if content is not None:
            steps = f", {clip['steps']} steps" if "steps" in clip else ""
            where = f" (world {clip['world']}, batch {clip['batch']}{steps})" if "world" in clip else ""
            caption = f"{clip['outcome'].replace('_', ' ')}{where}"
            figures.append(html.video(content, "video/mp4", caption))
    return fill('<div class="gallery spaced">{}</div>', html.join(figures)) if figures else Html()


def clips_of(artifact: Artifact) -> list[dict[str, Any]]:
    """Return the films of an evaluation (``file``, ``outcome``, and where it says so ``world`` and ``batch``)."""
    if "evaluation.json" in artifact.files:
        found = artifact.json("evaluation.json").get("clips")
        if isinstance(found, list):
            return found
    names = [name for name in artifact.files if name.endswith(".mp4")]
    return [{"file": name, "outcome": name.partition("-")[2].removesuffix(".mp4")} for name in names]


def films(material: Material) -> Html:
    """Return films of successes and of the rehearsal."""
    figures = []
    for role, artifact in material.artifacts.items():
        if role == "evaluation":
            names = {c["file"]: "success" for c in clips_of(artifact) if c["outcome"] == "success"}
        elif role == "deployment":
            names = {name: "rehearsal" for name in artifact.files if name.endswith(".mp4")}
        else:
            continue
        for name, caption in names.items():
            content = material.film(artifact, name)
            if content is not None:
                figures.append(html.video(content, "video/mp4", caption))
    if not figures:
        return Html()
    return fill(
        "<h2>What it looks like</h2><p>In the corner what the policy sees, every pixel as it gets it.</p>"
        '<div class="gallery">{}</div>',
        html.join(figures),
    )


def conditions(material: Material) -> Html:
    """Return the evaluations under perturbations, beside the plain one of the same policy."""
    rows = []
    for artifact in material.evaluations:
        figures = artifact.manifest.origin.metrics
        if not figures.get("perturb"):
            continue
        changed = ", ".join(f"{name}={value:g}" for name, value in figures["perturb"].items())
        rows.append((_policy(artifact), changed, _rate(figures), _top_failure(figures)))
    if not rows:
        return Html()
    plain = [
        (_policy(a), "as trained", _rate(a.manifest.origin.metrics), _top_failure(a.manifest.origin.metrics))
        for a in _own_evaluations(material)
        if any(row[0] == _policy(a) for row in rows)
    ]
    head = ("policy", "perturbation", "success, 95 %", "most frequent failure")
    return fill("<h2>Outside what it was trained for</h2>{}", html.table(head, [*plain, *rows]))


def comparisons(material: Material) -> Html:
    """Return the paired comparisons of these policies with others."""
    rows = []
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
    head = ("this", "against", "both / only this / only other / neither", "difference", "chi-square", "exact p")
    if not rows:
        return Html()
    return fill(
        "<h2>Against other policies</h2><p>The same episodes played by both; McNemar's test on the pairs in which they "
        "differ.</p>{}",
        html.table(head, rows),
    )


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
