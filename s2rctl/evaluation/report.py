"""The report: one self-contained HTML file that people forward."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from s2rctl.core.progress import duration
from s2rctl.core.resources import data_folder
from s2rctl.evaluation import html
from s2rctl.evaluation.statistics import format_rate
from s2rctl.schema.contract import Contract
from s2rctl.schema.manifest import Manifest
from s2rctl.store.store import Artifact

_TITLES = {"aloha": "Aloha: bi-arm peg insertion from two wrist cameras", "xarm7-reach": "xArm7: reach from one camera"}


def build(profile: Mapping[str, Any], artifacts: Mapping[str, Artifact]) -> str:
    """Return the report of one pipeline run.

    ``profile`` is the resolved profile; ``artifacts`` are by role (``evaluation``, ``onnx``, ``deployment``,
    ``calibration`` and the training stages' outputs; each section appears when its artifact is there).
    """
    title = _TITLES.get(str(profile["system"]), str(profile["system"]))
    sections = [
        _header(title, profile),
        _cards(artifacts),
        _success(artifacts),
        _videos(artifacts),
        _curves(artifacts),
        _rehearsal(artifacts),
        _calibration(artifacts),
        _contract(artifacts),
        _lineage(artifacts),
        _reproduce(profile, artifacts),
    ]
    style = (data_folder("assets") / "report" / "report.css").read_text(encoding="utf-8")
    return html.page(title, style, "".join(sections))


def _header(title: str, profile: Mapping[str, Any]) -> str:
    text = escape(str(profile.get("description") or ""))
    name = escape(str(profile["name"]))
    return (
        f"<header><h1>{escape(title)}</h1><p>profile <code>{name}</code>, seed {profile['seed']}. {text}</p></header>"
    )


def _metrics(artifacts: Mapping[str, Artifact], role: str) -> dict[str, Any]:
    return artifacts[role].manifest.origin.metrics if role in artifacts else {}


def _cards(artifacts: Mapping[str, Artifact]) -> str:
    cards = []
    evaluation = _metrics(artifacts, "evaluation")
    if evaluation:
        gate = evaluation.get("gate_success_low", 0.0)
        passed = evaluation.get("gate_passed", True)
        detail = (
            f"gate: lower bound ≥ {100 * gate:.0f} % " + ("met" if passed else "not met") if gate else "no gate set"
        )
        cards.append(
            html.card(
                "success, unseen seeds",
                f"{100 * evaluation['success_rate']:.1f} %",
                f"{format_rate(evaluation['successes'], evaluation['episodes'])}; {detail}",
                ("good" if passed else "bad") if gate else "",
            )
        )
    if onnx := _metrics(artifacts, "onnx"):
        p50, p99 = onnx.get("inference_ms_p50"), onnx.get("inference_ms_p99")
        if p50 is not None and p99 is not None:
            cards.append(html.card("inference, one core", f"{p50:.2f} ms", f"99th percentile {p99:.2f} ms"))
        if (parity := onnx.get("parity_max_abs")) is not None:
            cards.append(html.card("ONNX against JAX", f"{parity:.1e}", "largest difference of any action"))
    if deployment := _metrics(artifacts, "deployment"):
        stops = deployment.get("safety_stops", 0)
        cards.append(
            html.card(
                "rehearsal",
                f"{deployment.get('episodes', 0)} played",
                f"{stops} safety stops",
                "" if stops else "good",
            )
        )
    total = sum(a.manifest.origin.duration_s for a in artifacts.values())
    cards.append(html.card("compute", duration(total), f"{len(artifacts)} stages"))
    return f'<div class="cards">{"".join(cards)}</div>'


def _success(artifacts: Mapping[str, Artifact]) -> str:
    evaluation = _metrics(artifacts, "evaluation")
    if not evaluation:
        return ""
    bar = html.interval_bar(
        evaluation["success_rate"],
        evaluation["wilson_low"],
        evaluation["wilson_high"],
        float(evaluation.get("gate_success_low", 0.0)),
    )
    failures = evaluation.get("failures", {})
    rows = [("success", evaluation["successes"]), *failures.items()]
    note = (
        f"<p>{evaluation['episodes']} episodes, the first one of each world only, seeds that training never used; "
        f"{evaluation.get('ever_successful', 0)} met the goal at some step, {evaluation['successes']} at the end.</p>"
    )
    return f"<h2>How often it works</h2>{bar}{note}{html.table(('end of the episode', 'episodes'), rows)}"


def _files(artifact: Artifact, media_type: str) -> list[tuple[str, bytes]]:
    """Return (name without suffix, content) of the artifact's files of one media type."""
    files = [f for f in artifact.manifest.content.files if f.media_type == media_type]
    return [(Path(f.path).stem, artifact.path(f.path).read_bytes()) for f in files]


def _videos(artifacts: Mapping[str, Artifact]) -> str:
    figures = [
        html.video(content, "video/mp4", f"{role}: {name.replace('-', ' ')}")
        for role in ("evaluation", "deployment")
        if role in artifacts
        for name, content in _files(artifacts[role], "video/mp4")
    ]
    return f'<h2>What it looks like</h2><div class="gallery">{"".join(figures)}</div>' if figures else ""


def _curves(artifacts: Mapping[str, Artifact]) -> str:
    figures = [
        html.picture(content, "image/png", f"{artifact.manifest.content.stage.name}: {name.replace('-', ' ')}")
        for role, artifact in artifacts.items()
        if artifact.manifest.content.kind in ("teacher", "encoder", "student", "reach")
        for name, content in _files(artifact, "image/png")
    ]
    return f"<h2>How it was trained</h2>{''.join(figures)}" if figures else ""


def _figures_table(metrics: Mapping[str, Any]) -> str:
    rows = [(name.replace("_", " "), value) for name, value in metrics.items() if isinstance(value, int | float | str)]
    return html.table(("figure", "value"), rows)


def _rehearsal(artifacts: Mapping[str, Artifact]) -> str:
    metrics = _metrics(artifacts, "deployment")
    if not metrics:
        return ""
    text = (
        "<p>The exported file, driven by the robot's own control loop and safety filter against a simulated twin. "
        "It proves the loop and the contract; stopping distances and real latencies only the hardware can prove.</p>"
    )
    return f"<h2>Rehearsal</h2>{text}{_figures_table(metrics)}"


def _calibration(artifacts: Mapping[str, Artifact]) -> str:
    if "calibration" not in artifacts:
        return ""
    pictures = "".join(
        html.picture(content, "image/png", name.replace("-", " "))
        for name, content in _files(artifacts["calibration"], "image/png")
    )
    return (
        f"<h2>Camera calibration (rehearsed)</h2>{_figures_table(_metrics(artifacts, 'calibration'))}"
        f'<div class="gallery" style="margin-top:1rem">{pictures}</div>'
    )


def _contract(artifacts: Mapping[str, Artifact]) -> str:
    contract = artifacts["onnx"].manifest.content.contract if "onnx" in artifacts else None
    return f"<h2>Contract of the exported policy</h2>{contract_tables(contract)}" if contract else ""


def contract_tables(contract: Contract) -> str:
    """Return the contract card as tables."""
    tensors = [
        (way, t.name, f"{t.dtype} {list(t.shape)}".replace("'", ""), t.unit, t.meaning, ", ".join(t.elements))
        for way, group in (("in", contract.inputs), ("out", contract.outputs))
        for t in group
    ]
    facts = [
        ("robot", contract.robot),
        ("control rate", f"{contract.rate_hz:g} Hz"),
        ("action", contract.action_meaning),
        ("action delay trained for", ", ".join(f"{p:.3g}" for p in contract.action_delay_steps)),
        ("observation delay trained for", ", ".join(f"{p:.3g}" for p in contract.observation_delay_steps)),
        *((f"camera {c.name}", f"{c.width}x{c.height}, {c.fovy_deg:g} deg, on {c.parent}") for c in contract.cameras),
    ]
    return (
        html.table(("", "tensor", "type", "unit", "meaning", "elements"), tensors)
        + "<p></p>"
        + html.table(("", ""), facts)
    )


def _lineage(artifacts: Mapping[str, Artifact]) -> str:
    by_id = {a.id: a for a in artifacts.values()}
    nodes = {i: (f"{a.manifest.content.kind}/{a.manifest.content.name}"[:22], i[:12]) for i, a in by_id.items()}
    edges = [(ref.id, i) for i, a in by_id.items() for ref in a.manifest.content.inputs if ref.id in by_id]
    rows = [
        (
            f"{a.manifest.content.kind}/{a.manifest.content.name}",
            i[:12],
            a.manifest.content.stage.name,
            duration(a.manifest.origin.duration_s),
            a.manifest.origin.created_at,
        )
        for i, a in by_id.items()
    ]
    table = html.table(("artifact", "id", "stage", "time", "made at"), rows)
    return f"<h2>Where it comes from</h2>{html.lineage(nodes, edges)}{table}"


def _reproduce(profile: Mapping[str, Any], artifacts: Mapping[str, Artifact]) -> str:
    manifests: list[Manifest] = [a.manifest for a in artifacts.values()]
    if not manifests:
        return ""
    newest = max(manifests, key=lambda m: m.origin.created_at)
    versions = html.table(("package", "version"), sorted(newest.origin.versions.items()))
    command = f"s2rctl pipeline run --profile {profile['name']} --seed {profile['seed']}"
    git = escape(newest.origin.git or "not a checkout")
    where = f"<p>source {git}; machine: {escape(newest.origin.host)}</p>"
    return f"<h2>Reproduce it</h2><pre>{escape(command)}</pre>{where}{versions}"
