"""The report's tiers: what a policy cannot bear, to be seen at a glance, with films of it."""

from collections.abc import Iterator, Mapping
from typing import Any

from s2rctl.evaluation.report_material import Figure, Material
from s2rctl.store.store import Artifact

_TIERS, _SENSITIVITY = "tiers.json", "sensitivity.json"
_AXES = 12
"""Axes that are drawn: the most costly ones."""
_CAUSES = 4
_LOSS = 0.05
"""Loss of success from which on a tier or an axis is named in the headline, if chance does not explain it."""
UNLIKELY = 0.05


def tiers(material: Material) -> list[dict[str, Any]]:
    """Return the newest results of each policy that was played in tiers or axis by axis, the deployed one first."""
    newest: dict[str, dict[str, Artifact]] = {}
    for artifact in material.other_worlds:
        for file in (_TIERS, _SENSITIVITY):
            if file in artifact.files:
                newest.setdefault(str(artifact.manifest.origin.metrics.get("policy")), {})[file] = artifact
    deployed = material.artifacts["onnx"].ref if "onnx" in material.artifacts else ""
    return [_policy(material, name, newest[name]) for name in sorted(newest, key=lambda name: name != deployed)]


def _policy(material: Material, name: str, found: Mapping[str, Artifact]) -> dict[str, Any]:
    played: dict[str, Any] = {"tiers": {}, "left_out": {}}
    axes: dict[str, Any] = {"sensitivity": {}, "threshold": 0.0}
    if _TIERS in found:
        played = found[_TIERS].json(_TIERS)
    if _SENSITIVITY in found:
        axes = found[_SENSITIVITY].json(_SENSITIVITY)
    return {
        "name": name,
        "headline": list(_headline(played["tiers"], axes["sensitivity"])),
        "bars": [_bar(tier, row, _bound(material, tier)) for tier, row in played["tiers"].items()],
        "left_out": list(played["left_out"]),
        "causes": [_cause(tier, cause) for tier, row in played["tiers"].items() for cause in _named(row)],
        "controls": [_controls(tier, row) for tier, row in played["tiers"].items()],
        "axes": [_axis(*item) for item in list(axes["sensitivity"].items())[:_AXES]],
        "tried": [_values(*item) for item in axes["sensitivity"].items()],
        "threshold": axes["threshold"],
        "films": _films(material, found[_TIERS], played["tiers"]) if _TIERS in found else [],
    }


def _bound(material: Material, tier: str) -> float:
    """Return what the profile's gate asks of a tier; 0: nothing."""
    gate = material.profile.get("evaluate", {}).get("gate", {})
    return float(gate.get("tiers", {}).get(tier, 0.0))


def _headline(found: Mapping[str, Any], axes: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the policy cannot bear, and how many of 100 episodes it costs: the worst tiers first, then axes."""
    lost = [(row["paired"], name, row) for name, row in found.items() if row["paired"] and not row["void"]]
    for pairs, name, row in sorted(lost, key=lambda item: item[0]["difference"]):
        if pairs["difference"] <= -_LOSS and pairs["p_value"] <= UNLIKELY:
            yield f"{row['title']} ({name}: {100 * pairs['difference']:+.0f} of 100 episodes)"
    for name, row in list(axes.items())[:3]:
        if row["cost"] >= _LOSS and row["cost_p_value"] <= UNLIKELY:
            yield f"{_words(name)} at {_number(row['cost_at'], row['unit'])} alone ({-100 * row['cost']:+.0f})"


def _bar(tier: str, row: Mapping[str, Any], needed: float) -> dict[str, Any]:
    missed = needed > 0 and (row["void"] or row["wilson_low"] < needed)
    pairs, lost = row["paired"], ""
    if pairs:
        lost = f"{100 * pairs['difference']:+.0f} % [{100 * pairs['difference_low']:+.0f}, "
        lost += f"{100 * pairs['difference_high']:+.0f}] against T0"
    return {
        "tier": tier,
        "title": row["title"],
        "changes": row["changes"],
        "rate": row["success_rate"],
        "low": row["interval_low"],
        "high": row["interval_high"],
        "text": row["text"],
        "lost": lost,
        "void": ", ".join(row["void_because"]),
        "needed": needed,
        "missed": missed,
    }


def _named(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [cause for cause in row["clusters"] if cause["significant"]][:_CAUSES]


def _cause(tier: str, cause: Mapping[str, Any]) -> tuple[str, ...]:
    parts = [
        f"{_number(p['low'], '')} to {_number(p['high'], cause['unit'])}: {p['successes']}/{p['episodes']}"
        for p in cause["parts"]
    ]
    way = "far from nominal" if cause["by"] == "distance" else "high" if cause["effect"] > 0 else "low"
    worst = min(cause["parts"], key=lambda part: part["successes"] / part["episodes"])
    kinds = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in list(worst["failures"].items())[:3])
    return tier, f"{_words(cause['axis'])} {way}", f"{cause['p_corrected']:.1g}", "; ".join(parts), kinds


def _controls(tier: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    checks = row["controls"]
    cells = [checks[name]["text"] + ("" if checks[name]["passed"] else " FAILED") for name in ("positive", "negative")]
    shown = checks.get("pictures")
    cells.append("" if shown is None else f"{100 * shown['share']:.0f} %{'' if shown['passed'] else ' FAILED'}")
    return (tier, *cells, "void" if row["void"] else "valid")


def _axis(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    limits = [
        f"{side} {value:.2g}"
        for side, value in (("under", row["below"]["low"]), ("over", row["below"]["high"]))
        if isinstance(value, int | float)
    ]
    return {
        "name": _words(name),
        "cost": max(row["cost"], 0.0),
        "low": max(row["cost_low"], 0.0),
        "high": max(row["cost_high"], 0.0),
        "at": "" if row["cost_at"] is None else f"at {_number(row['cost_at'], row['unit'])}",
        "limit": f"{' and '.join(limits)} {row['unit']}".rstrip() if limits else "",
        "sure": bool(row["cost_p_value"] is not None and row["cost_p_value"] <= UNLIKELY),
    }


def _values(name: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    tried = [f"{_number(v['value'], '')}: {v['successes']}/{v['episodes']}" for v in row["values"]]
    ends = [row["below"][side] for side in ("low", "high")]
    shown = [
        "–" if end is None else end if isinstance(end, str) else _number(end, row["unit"]) for end in ends
    ]  # fmt: skip
    low, high = row["range"]
    return (
        _words(name),
        _number(row["nominal"], row["unit"]),
        f"{_number(low, '')} to {_number(high, row['unit'])}",
        f"{100 * row['cost']:.0f} % [{100 * row['cost_low']:.0f}, {100 * row['cost_high']:.0f}]",
        *shown,
        "; ".join(tried),
    )


def _films(material: Material, artifact: Artifact, found: Mapping[str, Any]) -> list[Figure]:
    """Return films of failures, tier by tier from the worst one, and after them one success of each."""
    clips = [(tier, clip) for tier, row in sorted(found.items(), key=_rate) for clip in row["clips"]]
    order = sorted(clips, key=lambda item: item[1]["outcome"] == "success")
    return [
        film
        for tier, clip in order
        for film in material.film(artifact, clip["file"], f"{tier}: {_words(clip['outcome'])}, {clip['steps']} steps")
    ]


def _rate(item: tuple[str, Mapping[str, Any]]) -> float:
    return float(item[1]["success_rate"])


def _words(name: str) -> str:
    return name.replace("_", " ")


def _number(value: float, unit: str) -> str:
    return f"{value:.3g}{' ' + unit if unit else ''}"
