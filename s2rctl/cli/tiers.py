"""``evaluate --tiers`` and ``--sensitivity``: their options, stages, gate and tables."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

from s2rctl.cli.alone import completed
from s2rctl.cli.output import Answer, table

if TYPE_CHECKING:
    from s2rctl.core.errors import GateError
    from s2rctl.pipeline.run import Job, Outcome
    from s2rctl.schema.profile import Profile
    from s2rctl.store.store import Artifact
    from s2rctl.systems.protocol import Policy, Stage

ALL = "all"
_NAMES = re.compile(r"[A-Za-z]\w*(,[A-Za-z]\w*)*,?")
_CAUSES = 3
"""Causes that are told of each tier."""


class TiersCommand(TyperCommand):
    """A command whose ``--tiers`` may stand alone, which then means all: Typer has no options with optional values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line."""
        return super().parse_args(ctx, with_all(args))


def with_all(args: Sequence[str]) -> list[str]:
    """Return the words with ``all`` behind a ``--tiers`` that no list of names follows."""
    return completed(args, "--tiers", ALL, lambda after: _NAMES.fullmatch(after) is not None)


def changes(tiers: str | None, sensitivity: bool, episodes: int | None) -> list[str]:
    """Return what the options change in the profile; UsageError for a name that is no tier's.

    ``episodes`` are those of each tier; of each value of an axis where no tiers are played.
    """
    from s2rctl.core.errors import UsageError
    from s2rctl.core.tables import suggestion
    from s2rctl.schema.tiers import TIER_NAMES

    if tiers is None:
        return [f"evaluate.tiers.sensitivity.episodes={episodes}"] if sensitivity and episodes is not None else []
    made = [] if episodes is None else [f"evaluate.tiers.episodes={episodes}"]
    names = [] if tiers == ALL else [name for name in tiers.split(",") if name]
    for name in names:
        if name not in TIER_NAMES:
            raise UsageError(
                f"there is no tier '{name}'",
                f"{suggestion(name, TIER_NAMES)}; REF stands before --tiers, or use --tiers all",
            )
    return [*made, f"evaluate.tiers.names=[{', '.join(names)}]"]


def run(
    job: "Job", policy: "Policy", inputs: "Mapping[str, Artifact]", tiers: bool, sensitivity: bool, plain: "Stage"
) -> Answer:
    """Play what was asked for; the fault is a gate's tier that was played and missed. ``plain`` is the evaluation."""
    from s2rctl.cli.describe import outcome_answer
    from s2rctl.pipeline.graph import sensitivity_stage, tiers_stage
    from s2rctl.pipeline.run import run_alone
    from s2rctl.systems import system_named

    system = system_named(job.profile.system)
    data: dict[str, Any] = {}
    texts: list[str] = []
    fault = None
    if tiers:
        outcome = run_alone(_like(tiers_stage(system, policy), plain, "-tiers"), job, inputs)
        data |= {**outcome_answer(outcome).data, **outcome.artifact.json("tiers.json")}
        data["gate_tiers"], fault = against_gate(job.profile, outcome.artifact.id, data["tiers"])
        texts += [_made(outcome), tier_text(data)]
    if sensitivity:
        outcome = run_alone(_like(sensitivity_stage(system, policy), plain, "-sensitivity"), job, inputs)
        found = outcome.artifact.json("sensitivity.json")
        shown = {name: found[name] for name in ("sensitivity", "threshold")}
        data = {**outcome_answer(outcome).data, **data, **shown}
        texts += [_made(outcome), sensitivity_text(found)]
    return Answer(data, "\n\n".join(texts), fault)


def _like(stage: "Stage", plain: "Stage", suffix: str) -> "Stage":
    """Return the stage for the policy that ``plain`` evaluates, whose other reads and inputs it shares."""
    reads = tuple(dict.fromkeys((*stage.reads, "vision")))
    return replace(stage, inputs=plain.inputs, output=f"{plain.output}{suffix}", reads=reads)


def _made(outcome: "Outcome") -> str:
    state = "cached" if outcome.cached else "new"
    return f"{outcome.artifact.ref} {outcome.artifact.id[:12]} ({state})"


def against_gate(
    profile: "Profile", identity: str, found: Mapping[str, Any]
) -> "tuple[dict[str, dict[str, Any]], GateError | None]":
    """Return how the tiers of an evaluation (id) stand against the profile's gate, and the fault if any misses it."""
    from s2rctl.core.errors import GateError
    from s2rctl.stages.certificate import tier_gate

    rows = tier_gate(profile.evaluate.gate.tiers, found)
    missed = [f"{name} {_standing(row)}" for name, row in rows.items() if not row["passed"]]
    if not missed:
        return rows, None
    show = f"s2rctl artifacts show {identity[:12]}   (its figures)"
    return rows, GateError(f"the gate is not met: Wilson lower bound in {', '.join(missed)}", show)


def _standing(row: Mapping[str, Any]) -> str:
    low = "is void" if row["void"] else f"{100 * row['wilson_low']:.1f} %"
    return f"{low} (needs {100 * row['needed']:g} %)"


def tier_text(figures: Mapping[str, Any]) -> str:
    """Return the table of tiers, and below it what explains the failures of each."""
    rows = [(name, *_cells(row)) for name, row in figures["tiers"].items()]
    rows += [(name, title, "–", "–", "–", "–") for name, title in figures["left_out"].items()]
    head = (
        "tier",
        "worlds",
        "success, 95 %",
        "against T0",
        "most frequent failure",
        "controls: expert, nothing, pictures",
    )
    parts = [table(head, rows)]
    for name, row in figures["tiers"].items():
        found = [cause for cause in row["clusters"] if cause["significant"]][:_CAUSES]
        parts += [f"{name}: {cause_text(cause)}" for cause in found]
    if figures["left_out"]:
        parts.append(f"–: nothing would be different for a policy without cameras ({', '.join(figures['left_out'])})")
    return "\n".join(parts)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    pairs, controls = row["paired"], row["controls"]
    failure = next(iter(row["failures"].items()), None)
    lost = "–"
    if pairs:
        low, high = 100 * pairs["difference_low"], 100 * pairs["difference_high"]
        lost = f"{100 * pairs['difference']:+.1f} % [{low:+.1f}, {high:+.1f}], p = {pairs['p_value']:.2g}"
    checks = [_check(controls[name]) for name in ("positive", "negative")]
    if "pictures" in controls:
        checks.append(f"{100 * controls['pictures']['share']:.0f} % differ")
    state = f"void ({', '.join(row['void_because'])}): " if row["void"] else ""
    most = "–" if failure is None else f"{failure[0].replace('_', ' ')} ({failure[1]})"
    return row["title"], f"{state}{row['text']}", lost, most, ", ".join(checks)


def _check(control: Mapping[str, Any]) -> str:
    return f"{control['successes']}/{control['episodes']}"


def cause_text(cause: Mapping[str, Any]) -> str:
    """Return one line of what a quantity explains: success in each third of the worlds, by its value."""
    thirds = "; ".join(
        f"{part['low']:.3g} to {part['high']:.3g}{' ' + cause['unit'] if cause['unit'] else ''}: "
        f"{part['successes']}/{part['episodes']}"
        for part in cause["parts"]
    )
    way = "far from nominal" if cause["by"] == "distance" else "high" if cause["effect"] > 0 else "low"
    return f"fails where {cause['axis'].replace('_', ' ')} is {way} (p = {cause['p_corrected']:.2g}): {thirds}"


def sensitivity_text(figures: Mapping[str, Any]) -> str:
    """Return the table of axes, the most costly first."""
    rows = [
        (
            name.replace("_", " "),
            axis["unit"],
            f"{axis['nominal']:.3g}",
            f"{axis['range'][0]:.3g} to {axis['range'][1]:.3g}",
            f"{100 * axis['cost']:.1f} %" if axis["cost"] is not None else "–",
            *(_crossing(axis["below"][end]) for end in ("low", "high")),
        )
        for name, axis in figures["sensitivity"].items()
    ]
    share = f"below {100 * figures['threshold']:g} %"
    head = ("axis", "unit", "nominal", "range", "costs in its range", f"{share} under", f"{share} over")
    return table(head, rows)


def _crossing(value: Any) -> str:
    return value if isinstance(value, str) else "–" if value is None else f"{value:.3g}"
