"""``doctor``: what works on this computer, and what to do about the rest."""

import os
from typing import Annotated, Any

import typer

from s2rctl.cli.output import Answer, table
from s2rctl.cli.session import Session, register
from s2rctl.core import compile_cache, foreign
from s2rctl.core.text import one_line

_VARIABLES = ("S2RCTL_", "JAX_", "XLA_", "MUJOCO_", "PYOPENGL_", "CUDA_VISIBLE_")
_MORE_VARIABLES = ("PYTHONPATH", "LD_LIBRARY_PATH", "DISPLAY", "LANG", "LC_ALL", "OMP_NUM_THREADS")
"""Settings that decide what works. No tokens are among them, so that the block can be published."""


_ALL_WELL = "Everything that s2rctl requires works. A status in brackets is optional; the last column says what to do."


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    register(app, "doctor")(doctor)


def doctor(
    session: Session,
    robot: Annotated[
        str | None, typer.Option("--robot", help="Also try to reach the xArm controller at this IP address.")
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Time limit of each check, in seconds.", min=1, max=86_400)
    ] = 90.0,
    report: Annotated[
        bool, typer.Option("--report", help="Print one block to paste into a bug report: versions, settings, checks.")
    ] = False,
) -> Answer:
    """Check Python, simulator, renderers, export, cameras, store and robot. Exit code 7 if a required check fails.

    Examples:
      s2rctl doctor
      s2rctl doctor --robot 192.168.1.203 --json
      s2rctl doctor --report

    """
    from concurrent.futures import ThreadPoolExecutor

    from s2rctl.cli.probes import PROBES, Finding, Probe, examine, examine_environment, extra_probes
    from s2rctl.core.errors import MissingEnvironmentError

    work = [(probe, "") for probe in PROBES] + extra_probes(str(session.store_option or ""), robot)

    first, sound = examine_environment()

    def look(item: tuple[Probe, str]) -> Finding:
        return examine(item[0], timeout, item[1], sound)

    with ThreadPoolExecutor(max_workers=2) as pool:  # each probe is a process; two keep two cores busy
        findings = [first, *pool.map(look, work)]
    rows = [
        (
            finding.name,
            finding.status if finding.status == "ok" or finding.required else f"({finding.status})",
            finding.detail,
            finding.hint,
        )
        for finding in findings
    ]
    data: dict[str, Any] = {"checks": [vars(finding) for finding in findings]}
    broken = [finding for finding in findings if finding.required and finding.status != "ok"]
    fault = None
    if broken:
        names = ", ".join(finding.name for finding in broken)
        fault = MissingEnvironmentError(f"needed, but not working: {names}", broken[0].hint)
    text = table(("check", "status", "detail", "what to do"), rows)
    text += "\n\n" + ("Something that s2rctl requires does not work." if broken else _ALL_WELL)
    if report:
        text = _block(text)
        data["report"] = text
    return Answer(data, text, fault)


def _block(checks: str) -> str:
    """Return all that a bug report needs as one Markdown code block, the user's home folder as ``~``."""
    from s2rctl.core.installation import about

    chosen = [
        f"{name}={one_line(value)}"
        for name, value in sorted(os.environ.items())
        if (name.startswith(_VARIABLES) or name in _MORE_VARIABLES)
        and name not in (*compile_cache.VARIABLES, *foreign.FIXED)
    ]
    text = "\n".join([*about(), "", *(chosen or ["no variables set that s2rctl, JAX or MuJoCo obey"]), "", checks])
    home = os.environ.get("HOME", "")
    text = text.replace(home, "~") if len(home) > 1 else text
    return f"```text\n{text.replace('```', '')}\n```"
