"""The report: one self-contained HTML file that people forward."""

from collections.abc import Mapping
from typing import Any

from s2rctl.core.progress import duration
from s2rctl.core.resources import data_folder
from s2rctl.evaluation import html, report_origin, report_results, report_training
from s2rctl.evaluation.html import Html, fill
from s2rctl.evaluation.report_material import Material, files
from s2rctl.evaluation.statistics import format_rate
from s2rctl.systems import SYSTEMS, system_named


def build(material: Material) -> str:
    """Return the report of one pipeline run.

    Artifacts are by role (``evaluation``, ``onnx``, ``deployment``, ``calibration`` and the training stages' outputs;
    each section appears when its artifact is there).
    """
    profile = material.profile
    title = _title(str(profile["system"]))
    sections = [
        _header(title, profile),
        _cards(material),
        report_results.success(material),
        report_results.films(material),
        report_results.failures(material),
        report_results.conditions(material),
        report_results.comparisons(material),
        report_training.curves(material),
        report_training.ablations(material),
        _rehearsal(material),
        _calibration(material),
        report_origin.contract(material),
        report_origin.lineage(material),
        report_origin.reproduce(material),
    ]
    style = (data_folder("assets") / "report" / "report.css").read_text(encoding="utf-8")
    return html.page(title, style, html.join(sections))


def _title(system: str) -> str:
    """Return the title of a system's reports; the name of one that is not installed."""
    return system_named(system).title if system in SYSTEMS.names() else system


def _header(title: str, profile: Mapping[str, Any]) -> Html:
    template = "<header><h1>{}</h1><p>profile <code>{}</code>, seed {}. {}</p></header>"
    return fill(template, title, profile["name"], profile["seed"], profile.get("description") or "")


def _cards(material: Material) -> Html:
    cards = []
    evaluation = material.metrics("evaluation")
    if evaluation:
        gate = evaluation.get("gate_success_low", 0.0)
        passed = evaluation.get("gate_passed", True)
        bound = f"Wilson lower bound {100 * evaluation['wilson_low']:.1f} ≥ {100 * gate:.0f} %"
        detail = f"gate: {bound} " + ("met" if passed else "not met") if gate else "no gate set"
        cards.append(
            html.card(
                "success, unseen seeds",
                f"{100 * evaluation['success_rate']:.1f} %",
                f"{format_rate(evaluation['successes'], evaluation['episodes'])}; {detail}",
                ("good" if passed else "bad") if gate else "",
            )
        )
    if onnx := material.metrics("onnx"):
        p50, p99 = onnx.get("inference_ms_p50"), onnx.get("inference_ms_p99")
        if p50 is not None and p99 is not None:
            cards.append(html.card("inference, one core", f"{p50:.2f} ms", f"99th percentile {p99:.2f} ms"))
        if (parity := onnx.get("parity_max_abs")) is not None:
            cards.append(html.card("ONNX against JAX", f"{parity:.1e}", "largest difference of any action"))
    if deployment := material.metrics("deployment"):
        stops = deployment.get("safety_stops", 0)
        cards.append(
            html.card(
                "rehearsal",
                f"{deployment.get('episodes', 0)} played",
                f"{stops} safety stops",
                "" if stops else "good",
            )
        )
    total = sum(a.manifest.origin.duration_s for a in material.artifacts.values())
    cards.append(html.card("compute", duration(total), f"{len(material.artifacts)} stages"))
    return fill('<div class="cards">{}</div>', html.join(cards))


def _figures_table(metrics: Mapping[str, Any]) -> Html:
    rows = [(name.replace("_", " "), value) for name, value in metrics.items() if isinstance(value, int | float | str)]
    return html.table(("figure", "value"), rows)


def _rehearsal(material: Material) -> Html:
    metrics = material.metrics("deployment")
    if not metrics:
        return Html()
    return fill(
        "<h2>Rehearsal</h2><p>The exported file, driven by the robot's own control loop and safety filter against a "
        "simulated twin. It proves the loop and the contract; stopping distances and real latencies only the hardware "
        "can prove.</p>{}",
        _figures_table(metrics),
    )


def _calibration(material: Material) -> Html:
    if "calibration" not in material.artifacts:
        return Html()
    pictures = html.join(
        html.picture(content, "image/png", name.replace("-", " "))
        for name, content in files(material.artifacts["calibration"], "image/png")
    )
    return fill(
        '<h2>Camera calibration (rehearsed)</h2>{}<div class="gallery" style="margin-top:1rem">{}</div>',
        _figures_table(material.metrics("calibration")),
        pictures,
    )
