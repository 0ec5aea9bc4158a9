"""Stage: the HTML report of a pipeline run."""

from pathlib import Path

from s2rctl.core.atomic import write_atomic
from s2rctl.evaluation.report import build
from s2rctl.stages.protocol import Context, Result

VERSION = 1


def run(context: Context) -> Result:
    """Write ``report.html`` from all input artifacts."""
    context.reporter.start("report", 0, "")
    profile = context.profile.model_dump(mode="json") | {"seed": context.seed}
    path: Path = context.run_folder / "report.html"
    write_atomic(path, build(profile, context.inputs).encode())
    size = path.stat().st_size
    context.reporter.finish(f"{size / 1e6:.1f} MB in one file")
    return Result(files={"report.html": path}, metrics={"bytes": size})
