"""The report: one self-contained HTML file that people forward."""

from collections.abc import Mapping
from typing import Any

from s2rctl.core.progress import duration
from s2rctl.evaluation import report_origin, report_results, report_tiers, report_training
from s2rctl.evaluation.report_material import Material, pictures
from s2rctl.evaluation.templates import render
from s2rctl.systems import SYSTEMS, system_named


def build(material: Material) -> str:
    """Return the report of one pipeline run (``assets/report/report.html.j2``).

    Artifacts are by role (``evaluation``, ``onnx``, ``deployment``, ``calibration`` and the training stages' outputs;
    each section appears when its artifact is there).
    """
    system = str(material.profile["system"])
    return render(
        "report",
        title=system_named(system).title if system in SYSTEMS.names() else system,
        profile=material.profile,
        evaluation=material.metrics("evaluation"),
        onnx=material.metrics("onnx"),
        deployment=material.metrics("deployment"),
        compute=duration(sum(a.manifest.origin.duration_s for a in material.artifacts.values())),
        stages=len(material.artifacts),
        success=report_results.success(material),
        tiers=report_tiers.tiers(material),
        films=report_results.films(material),  # before those of failures, which share the room for films
        failures=report_results.failures(material),
        conditions=report_results.conditions(material),
        comparisons=report_results.comparisons(material),
        curves=report_training.curves(material),
        ablations=report_training.ablations(material),
        rehearsal=_figures(material.metrics("deployment")),
        calibration=_calibration(material),
        contract=report_origin.contract(material),
        lineage=report_origin.lineage(material),
        reproduce=report_origin.reproduce(material),
    )


def _calibration(material: Material) -> dict[str, Any]:
    if "calibration" not in material.artifacts:
        return {}
    metrics = dict(material.metrics("calibration"))
    verdict = str(metrics.pop("verdict", ""))
    rows = _figures(metrics)
    return {"verdict": verdict, "rows": rows, "pictures": pictures(material.artifacts["calibration"])}


def _figures(metrics: Mapping[str, Any]) -> list[tuple[str, int | float | str]]:
    return [(name.replace("_", " "), value) for name, value in metrics.items() if isinstance(value, int | float | str)]
