"""``evaluate REF``: success rate with its interval, failures by kind, comparison, tiers of other worlds, films."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from s2rctl.cli import complete
from s2rctl.cli.describe import outcome_answer
from s2rctl.cli.output import Answer, table
from s2rctl.cli.session import (
    ForceOption,
    FreshOption,
    OnOption,
    OptionalProfile,
    SeedOption,
    Session,
    SetOption,
    register,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from s2rctl.schema.profile import Profile
    from s2rctl.store.store import Artifact
    from s2rctl.systems.protocol import Policy, Stage

TiersOption = Annotated[
    str | None,
    typer.Option("--tiers", metavar="[T0,T3,…]", help="Worlds nobody trained in; without a list: all that apply."),
]
SensitivityOption = Annotated[
    bool, typer.Option("--sensitivity", help="Measure how much success each single axis of variation costs.")
]
ShardsOption = Annotated[
    int, typer.Option("--shards", help="Play the episodes in so many processes; the result is the same.", min=1)
]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    from s2rctl.cli.tiers import TiersCommand

    register(app, "evaluate", cls=TiersCommand)(evaluate)


def evaluate(
    session: Session,
    ref: Annotated[str, complete.ref("onnx/…, student/…, reach/…, teacher/…, an id, or a file.")],
    profile: OptionalProfile = None,
    episodes: Annotated[int | None, typer.Option("--episodes", help="Episodes (default: the gate's).", min=1)] = None,
    perturb: Annotated[
        list[str] | None,
        typer.Option("--perturb", metavar="NAME=VALUE", help="Change a condition, e.g. latency=0.05. Repeatable."),
    ] = None,
    against: Annotated[
        str | None, complete.ref("Another policy on the same episodes, compared in pairs.", "--against")
    ] = None,
    tiers: TiersOption = None,
    sensitivity: SensitivityOption = False,
    physics: Annotated[
        Literal["auto", "native", "mjx", "warp"] | None,
        typer.Option("--physics", "--backend", help="Physics backend (default: the profile's)."),
    ] = None,
    renderer: Annotated[
        str | None, typer.Option("--renderer", help="Renderer of the policy's images (default: the profile's).")
    ] = None,
    shards: ShardsOption = 1,
    on: OnOption = None,
    sets: SetOption = None,
    seed: SeedOption = None,
    force: ForceOption = False,
    fresh: FreshOption = False,
) -> Answer:
    """Measure how often a policy succeeds, in episodes that training never saw. Exit code 5 if the gate is not met.

    REF is any policy of the store or an exported .onnx file. Perturbations and tiers are in docs/evaluation.md.

    Examples:
      s2rctl evaluate onnx/aloha-student
      s2rctl evaluate teacher/pick --episodes 1000 --seed 7 --json
      s2rctl evaluate onnx/aloha-student --perturb latency=0.05 --perturb friction=0.5
      s2rctl evaluate onnx/aloha-student --tiers T3,T5 --sensitivity
      s2rctl evaluate onnx/aloha-student --shards 4 --on ray
      s2rctl evaluate policy.onnx --against student/aloha

    """
    from s2rctl.cli import tiers as other_worlds
    from s2rctl.pipeline.launch import spread_of

    _check(against, perturb, tiers is not None or sensitivity, shards, on)
    given = [
        *(sets or ()),
        *_changes(episodes, perturb, physics, renderer),
        *other_worlds.changes(tiers, sensitivity, episodes),
    ]
    found = _Asked.of(session, ref, profile, given, seed, against)
    job = replace(session.job(found.profile, force, fresh), spread=spread_of(found.profile.launcher, on, shards))
    if tiers is not None or sensitivity:
        return other_worlds.run(job, found.policy, found.inputs, tiers is not None, sensitivity, found.stage)
    from s2rctl.pipeline.run import run_alone

    answer = outcome_answer(run_alone(found.stage, job, found.inputs))
    return Answer(answer.data, f"{answer.text}\n{tables(answer.data)}".rstrip(), answer.fault)


def _check(against: str | None, perturb: list[str] | None, other_worlds: bool, shards: int, on: str | None) -> None:
    """Raise UsageError for options that do not belong together."""
    from s2rctl.core.errors import UsageError

    if on is not None and shards == 1:
        raise UsageError("--on says where shards are played", "give --shards N, too")
    plain = {"--perturb": bool(perturb), "--against": against is not None, "--shards": shards > 1}
    option = next((name for name, given in plain.items() if given), None)
    if other_worlds and option is not None:
        raise UsageError(f"{option} belongs to a plain evaluation, not to --tiers or --sensitivity", "give one of them")


def _changes(episodes: int | None, perturb: list[str] | None, physics: str | None, renderer: str | None) -> list[str]:
    """Return what the options of a plain evaluation change in the profile."""
    from s2rctl.evaluation.perturb import parse

    given = {"gate.episodes": episodes} | {f"perturb.{name}": value for name, value in parse(perturb or []).items()}
    changes = [f"evaluate.{name}={value}" for name, value in given.items() if value is not None]
    changes += [f"simulation.physics={physics}"] if physics else []
    return [*changes, f"vision.renderer={renderer}"] if renderer else changes


@dataclass(frozen=True)
class _Asked:
    """What is to be evaluated."""

    profile: "Profile"
    policy: "Policy"
    inputs: "Mapping[str, Artifact]"
    stage: "Stage"  # of the plain evaluation

    @classmethod
    def of(
        cls,
        session: Session,
        ref: str,
        profile: str | None,
        changes: list[str],
        seed: int | None,
        against: str | None,
    ) -> "_Asked":
        """Find the policies and choose the profile."""
        from s2rctl.cli.refs import profile_for
        from s2rctl.stages.policies import policy_of

        artifact = _policy(session, ref, profile, seed)
        evaluated = policy_of(artifact)
        chosen = profile_for(session, artifact, profile, changes, seed)
        inputs = {"onnx" if artifact.manifest.content.kind == "onnx" else "policy": artifact}
        if against is not None:
            inputs["against"] = _policy(session, against, profile, seed)
            policy_of(inputs["against"])
        return cls(chosen, evaluated, inputs, _stage(chosen, evaluated, inputs))


def _stage(profile: "Profile", policy: "Policy", inputs: "Mapping[str, Artifact]") -> "Stage":
    """Return the policy's own evaluation, or one like it with refs of its own: ``deploy`` asks for the plain one."""
    from s2rctl.pipeline.graph import evaluation_stage
    from s2rctl.systems import system_named
    from s2rctl.systems.protocol import Input

    system = system_named(profile.system)
    own = evaluation_stage(system, policy)
    role, artifact = next(iter(inputs.items()))
    kind, name = artifact.manifest.content.kind, artifact.manifest.content.name
    suffixes = [s for s, on in (("-perturbed", profile.evaluate.perturb), ("-compared", "against" in inputs)) if on]
    if not suffixes and (kind, name) == ("onnx", system.deployed.export):
        return own
    output = "".join([name if role == "onnx" else f"{kind}-{name}", *suffixes])
    reads = tuple(dict.fromkeys((*own.reads, "vision")))  # the other policy may see
    wanted = tuple(Input(r, a.manifest.content.kind, a.manifest.content.name) for r, a in inputs.items())
    return replace(own, output=output, reads=reads, inputs=wanted)


def _policy(session: Session, ref: str, profile: str | None, seed: int | None) -> "Artifact":
    """Return what REF names; an ONNX file becomes an artifact unless the store has its content already."""
    from s2rctl.operations.sealed import require_sealed

    store, path = session.store(), Path(ref)
    if not ref.endswith(".onnx"):
        artifact = store.resolve(ref)
        if artifact.manifest.content.kind == "onnx":
            require_sealed(artifact)  # here, because the result may be in the cache
        return artifact
    from s2rctl.stages.policies import import_onnx, read_contract, stored_onnx
    from s2rctl.systems import policy_named

    held = stored_onnx(store, path)
    if held is not None:
        require_sealed(held)
        return held
    if profile is None:
        kind, _, name = read_contract(path).policy.partition("/")
        found = policy_named(kind, name)
        profile = found[0].profile if found is not None else ""
    loaded = session.load(profile, None, seed).profile
    return import_onnx(store, path, loaded.model_dump(mode="json"), loaded.seed)


def tables(figures: "dict[str, Any] | Any") -> str:
    """Return the failures, and the comparison if there is one, as text."""
    parts = []
    if rows := figures.get("failure_rows"):
        cells = [
            (
                row["kind"].replace("_", " "),
                row["episodes"],
                f"{100 * row['share']:.1f} % [{100 * row['interval_low']:.1f}, {100 * row['interval_high']:.1f}]",
                f"{row['steps_median']:.0f}",
                row["ever_successful"],
            )
            for row in rows
        ]
        parts.append(table(("failure", "episodes", "share", "median steps", "met the goal before"), cells))
    if (stops := figures.get("perception_stops")) is not None:
        limits = ", ".join(f"{name} {limit * 1e3:.0f} mm" for name, limit in figures["perception_limit_m"].items())
        parts.append(
            f"the perception check would have stopped {stops} of {figures['episodes']} episodes, "
            f"{figures['perception_stopped_successes']} of the {figures['successes']} successes (limit: {limits})"
        )
    if pairs := figures.get("paired"):
        other = figures["against"]
        low, high = 100 * pairs["difference_low"], 100 * pairs["difference_high"]
        parts.append(
            f"against {other['policy']} {other['policy_id'][:12]}: {other['text']}\n"
            f"same episodes: both {pairs['both']}, only this {pairs['only_first']}, only the other "
            f"{pairs['only_second']}, neither {pairs['neither']}\n"
            f"difference {100 * pairs['difference']:+.1f} % [{low:+.1f}, {high:+.1f}], "
            f"McNemar chi-square {pairs['statistic']:.2f}, exact p = {pairs['p_value']:.3g}"
        )
    return "\n\n".join(["", *parts]) if parts else ""
