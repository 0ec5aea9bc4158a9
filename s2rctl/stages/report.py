"""Stage: the HTML report of a pipeline run."""

from pathlib import Path

from s2rctl.core.atomic import write_atomic
from s2rctl.evaluation.report import build
from s2rctl.evaluation.report_material import Material
from s2rctl.evaluation.report_training import TRAINED
from s2rctl.stages.protocol import Context, Result
from s2rctl.stages.tier_table import in_other_worlds


def run(context: Context) -> Result:
    """Write ``report.html`` from all input artifacts, and from what the store knows besides.

    That is: other evaluations of the policies here (teachers, perturbations, comparisons) and other runs of the same
    training stages. They are not inputs: a report is made again for them with ``pipeline run --from report``.
    """
    context.reporter.start("report", 0, "")
    profile = context.profile.model_dump(mode="json") | {"seed": context.seed}
    path: Path = context.run_folder / "report.html"
    write_atomic(path, build(gather(context, profile)).encode())
    size = path.stat().st_size
    context.reporter.finish(f"{size / 1e6:.1f} MB in one file")
    return Result(files={"report.html": path}, metrics={"bytes": size})


def gather(context: Context, profile: dict[str, object]) -> Material:
    """Return the inputs and what the store has about them."""
    here = {artifact.id for artifact in context.inputs.values()}
    trained = {a.ref for a in context.inputs.values() if a.manifest.content.kind in TRAINED}
    evaluations = [
        artifact
        for artifact in context.store.list("evaluation")
        if artifact.id not in here and artifact.manifest.origin.metrics.get("policy_id") in here
    ]
    elsewhere = [artifact for artifact in evaluations if in_other_worlds(artifact)]
    evaluations = [artifact for artifact in evaluations if artifact not in elsewhere]
    others = [a for a in context.store.list() if a.ref in trained and a.id not in here]
    return Material(profile, context.inputs, tuple(evaluations), tuple(elsewhere), tuple(others))
