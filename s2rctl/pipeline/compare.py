"""What differs between two artifacts, and whether their success rates do."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from s2rctl.core.errors import ArtifactError
from s2rctl.evaluation.statistics import Paired, Unpaired, format_rate, paired, unpaired
from s2rctl.pipeline.plan import flat
from s2rctl.schema.moved import upgraded
from s2rctl.store.canonical import plain
from s2rctl.store.store import Artifact

Section = Literal["artifact", "code", "input", "profile", "contract", "file", "metrics"]

EPISODES = "episodes.jsonl"
"""File of an evaluation with one line per episode."""
_WORLDS = ("system", "robot", "tasks", "simulation", "vision", "evaluate.worlds", "evaluate.perturb")
"""Profile sections that decide from which states the episodes of an evaluation start, and in which worlds."""

_MOST = 1_000_000_000
"""Episodes."""


@dataclass(frozen=True)
class Difference:
    """One thing that two artifacts do not share; None where one of them lacks it."""

    section: Section
    path: str  # e.g. profile.distill.iterations
    left: Any
    right: Any


@dataclass(frozen=True)
class RateDifference:
    """Two success rates under one name, and by how much they differ: left minus right, with its 95 % interval."""

    path: str  # in the metrics; empty for the artifact's own rate
    left: str  # ``92/100 [84.8, 96.5]``
    right: str
    difference: float
    difference_low: float
    difference_high: float
    p_value: float
    test: str  # what p_value is of


def differences(left: Artifact, right: Artifact) -> list[Difference]:
    """Return everything that differs, section by section; profiles of older shape are compared in today's."""
    found = []
    one, two = _sections(left), _sections(right)
    for section in one:
        for path in sorted({*one[section], *two[section]}):
            a, b = one[section].get(path), two[section].get(path)
            if a != b:
                found.append(Difference(section, path, a, b))
    return found


def _sections(artifact: Artifact) -> dict[Section, dict[str, Any]]:
    content, origin = artifact.manifest.content, artifact.manifest.origin
    card = content.contract.model_dump(mode="json") if content.contract is not None else {}
    return {
        "artifact": {
            "ref": artifact.ref,
            "seed": content.seed,
            "stage": f"{content.stage.name} {content.stage.version}",
        },
        "code": {"code.git": origin.git}
        | {f"code.versions.{name}": version for name, version in origin.versions.items()},
        "input": {f"input.{item.role}": item.id[:12] for item in content.inputs},
        "profile": _under("profile", upgraded(content.profile)),
        "contract": _under("contract", card),
        "file": {f"file.{file.path}": file.sha256[:12] for file in content.files},
        "metrics": _under("metrics", origin.metrics),
    }


def _under(name: str, tree: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{name}.{path}": value for path, value in flat(tree).items() if path}


def rates(metrics: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield (path, (successes, episodes)) of every success rate that the metrics hold, however deep."""
    successes, episodes = metrics.get("successes"), metrics.get("episodes")
    # Metrics come from other people's archives, too.
    if type(successes) is int and type(episodes) is int and 0 <= successes <= episodes and 0 < episodes <= _MOST:
        yield path, (successes, episodes)
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from rates(value, f"{path}.{name}" if path else str(name))


def rate_differences(left: Artifact, right: Artifact) -> list[RateDifference]:
    """Return how all success rates that both have differ: in pairs where the episodes are the same ones."""
    one, two = (artifact.manifest.origin.metrics for artifact in (left, right))
    return compared_rates(one, two, paired_successes(left, right))


def compared_rates(
    left: Mapping[str, Any], right: Mapping[str, Any], pairs: tuple[list[bool], list[bool]] | None
) -> list[RateDifference]:
    """Return how all success rates that both metrics have differ; ``pairs`` are the episodes of the topmost rate."""
    one, two = dict(rates(left)), dict(rates(right))
    return [_rate_difference(path, one[path], two[path], None if path else pairs) for path in one if path in two]


def _rate_difference(
    path: str, one: tuple[int, int], two: tuple[int, int], pairs: tuple[list[bool], list[bool]] | None
) -> RateDifference:
    compared: Paired | Unpaired
    if pairs is not None:
        compared, test = paired(*pairs), f"exact McNemar test, {len(pairs[0])} paired episodes"
    else:
        compared, test = unpaired(one, two), f"Fisher's exact test, {one[1]} and {two[1]} episodes"
    return RateDifference(
        path,
        format_rate(*one),
        format_rate(*two),
        compared.difference,
        compared.difference_low,
        compared.difference_high,
        compared.p_value,
        test,
    )


def paired_successes(left: Artifact, right: Artifact) -> tuple[list[bool], list[bool]] | None:
    """Return the successes of two evaluations, episode by episode; None unless both began in the same states.

    They did if task, seed and everything that worlds are drawn from agree.
    """
    if not all(EPISODES in artifact.files for artifact in (left, right)) or _worlds(left) != _worlds(right):
        return None
    try:
        return paired_files(left.path(EPISODES), right.path(EPISODES))
    except (ArtifactError, OSError, ValueError, KeyError, TypeError):
        return None


def paired_files(left: Path, right: Path) -> tuple[list[bool], list[bool]] | None:
    """Return the successes in two files of episodes that began in the same states, by batch and world.

    None if they do not hold the same episodes; OSError, ValueError, KeyError or TypeError for a damaged file.
    """
    one, two = _successes(left), _successes(right)
    if not one or one.keys() != two.keys():
        return None
    return [one[key] for key in sorted(one)], [two[key] for key in sorted(one)]


def _worlds(artifact: Artifact) -> dict[str, Any]:
    content, metrics = artifact.manifest.content, artifact.manifest.origin.metrics
    values = flat(upgraded(content.profile))
    read = {path: value for path, value in values.items() if _is_below(path, _WORLDS)}
    return read | {"seed": content.seed, "task": metrics.get("task"), "renderer": metrics.get("renderer")}


def _is_below(path: str, tops: tuple[str, ...]) -> bool:
    return any(path == top or path.startswith(f"{top}.") for top in tops)


def _successes(path: Path) -> dict[tuple[int, int], bool]:
    """Return whether each episode succeeded, by (batch, world)."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    return {(int(row["batch"]), int(row["world"])): bool(row["success"]) for row in rows}


def comparison_data(left: Artifact, right: Artifact) -> dict[str, Any]:
    """Return all differences as data for programs."""
    rows: list[dict[str, Any]] = plain([asdict(item) for item in differences(left, right)])
    return {"differences": rows, "rates": plain([asdict(item) for item in rate_differences(left, right)])}
