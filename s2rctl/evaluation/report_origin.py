"""The report's origin part: the contract of the exported policy, lineage, environment, and how to do it again."""

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from s2rctl.core.progress import duration
from s2rctl.evaluation.report_material import Material, data_uri
from s2rctl.evaluation.statistics import format_rate
from s2rctl.schema.contract import Contract, TierResult
from s2rctl.schema.manifest import Manifest
from s2rctl.store.store import Artifact

_BOX_PX = (206, 62)
"""Room for one artifact in the drawing of the lineage: width and height."""


def contract(material: Material) -> dict[str, Any]:
    """Return the contract card of the exported policy, and the checks that it passed; empty without a policy."""
    card = material.artifacts["onnx"].manifest.content.contract if "onnx" in material.artifacts else None
    return {} if card is None else card_rows(card) | {"checks": _checks(material.artifacts["onnx"])}


def card_rows(card: Contract) -> dict[str, Any]:
    """Return the rows of the card's two tables."""
    tensors = [
        (way, t.name, f"{t.dtype} {list(t.shape)}".replace("'", ""), t.unit, t.meaning, ", ".join(t.elements))
        for way, group in (("in", card.graph_inputs), ("out", card.graph_outputs))
        for t in group
    ]
    facts = [
        ("robot", card.robot),
        ("control rate", f"{card.rate_hz:g} Hz"),
        ("action", card.action_meaning),
        ("action scale", _scale(card.action_scale)),
        ("action delay trained for", ", ".join(f"{p:.3g}" for p in card.action_delay_steps)),
        ("observation delay trained for", ", ".join(f"{p:.3g}" for p in card.observation_delay_steps)),
        *((f"camera {c.name}", f"{c.width}x{c.height}, {c.fovy_deg:g} deg, on {c.parent}") for c in card.cameras),
        *((f"depth of {c.name}", f"{c.depth_unit_m:g} m per count") for c in card.cameras if c.depth_unit_m),
        *((f"success in {t.name}, {t.title}", _tier(t)) for t in card.tiers),
        ("made with", ", ".join(f"{name} {version}" for name, version in card.versions.items()) or "-"),
    ]
    return {"tensors": tensors, "facts": facts}


def _tier(result: TierResult) -> str:
    if result.void:
        return f"{result.successes}/{result.episodes}, void: a control failed"
    return f"{format_rate(result.successes, result.episodes)} %"


def _scale(values: tuple[float, ...]) -> str:
    return f"{values[0]:g} for each of {len(values)}" if len(set(values)) == 1 else ", ".join(f"{v:g}" for v in values)


def _checks(artifact: Artifact) -> list[tuple[str, str, str]] | None:
    """Return the rows of the parity gate; None for a policy that was exported without it."""
    if "parity.json" not in artifact.files:
        return None
    found = artifact.json("parity.json")
    rows = [
        (
            f"JAX = ONNX on {row['observations']} {row['inputs']} observations",
            f"{row['max_difference']:.1e}",
            row["passed"],
        )
        for row in found["agreement"]
    ]
    if loop := found.get("closed_loop"):
        what = (
            f"{loop['episodes']} paired episodes: {loop['jax_successes']} succeed with JAX, "
            f"{loop['onnx_successes']} with ONNX"
        )
        rows.append((what, f"{loop['max_difference']:.1e}", loop["passed"]))
    rows += [
        (f"{row['change']} changes the action", f"{row['max_change']:.1e}", row["passed"])
        for row in found["sensitivity"]
    ]
    return [(what, value, "passed" if passed else "FAILED") for what, value, passed in rows]


def lineage(material: Material) -> dict[str, Any]:
    """Return the drawing of the graph of artifacts, and a table of them."""
    by_id = {a.id: a for a in material.artifacts.values()}
    nodes = {i: (f"{a.manifest.content.kind}/{a.manifest.content.name}"[:25], i[:12]) for i, a in by_id.items()}
    edges = [(ref.id, i) for i, a in by_id.items() for ref in a.manifest.content.inputs if ref.id in by_id]
    rows = [
        (
            f"{a.manifest.content.kind}/{a.manifest.content.name}",
            i[:12],
            a.manifest.content.stage.name,
            duration(a.manifest.origin.duration_s),
            a.manifest.origin.created_at[:19].replace("T", " "),
        )
        for i, a in by_id.items()
    ]
    return {"graph": layout(nodes, edges), "rows": rows}


def layout(nodes: Mapping[str, tuple[str, str]], edges: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return where the graph's ``boxes`` (x, y, title, subtitle) and ``edges`` (x, y, x, y) are drawn, in px.

    ``nodes`` maps an id to (title, subtitle); ``edges`` are (from, to) ids. Each node stands one column right of the
    furthest artifact it was made from.
    """
    column: dict[str, int] = {}

    def depth(node: str) -> int:
        if node not in column:
            column[node] = 1 + max((depth(a) for a, b in edges if b == node), default=-1)
        return column[node]

    rows: Counter[int] = Counter()
    place: dict[str, tuple[int, int]] = {}
    for node in nodes:
        at = depth(node)
        place[node] = at * _BOX_PX[0], rows[at] * _BOX_PX[1]
        rows[at] += 1
    width = (max(rows, default=0) + 1) * _BOX_PX[0]
    return {
        "width": width,
        "least": round(0.8 * width),
        "height": max(rows.values(), default=1) * _BOX_PX[1],
        "boxes": [(*place[node], *texts) for node, texts in nodes.items()],
        "edges": [(place[a][0] + 178, place[a][1] + 24, place[b][0] + 6, place[b][1] + 24) for a, b in edges],
    }


def reproduce(material: Material) -> dict[str, Any]:
    """Return the commands that make all of this again, the whole profile, and the environment."""
    manifests: list[Manifest] = [a.manifest for a in material.artifacts.values()]
    if not manifests:
        return {}
    newest = max(manifests, key=lambda m: m.origin.created_at)
    name, seed = material.profile["name"], material.profile["seed"]
    lines = [shlex.join(["s2rctl", "pipeline", "run", "--profile", str(name), "--seed", str(seed)])]
    lines += [_evaluation_command(artifact.manifest) for artifact in material.evaluations]
    lines += [_tiers_command(artifact) for artifact in material.other_worlds]
    whole = json.dumps({**material.profile}, indent=1).encode()
    return {
        "commands": "\n".join(dict.fromkeys(lines)),
        "profile": data_uri(whole, "application/yaml"),
        "source": newest.origin.git or "not a checkout",
        "machine": newest.origin.host,
        "versions": sorted(newest.origin.versions.items()),
    }


def _tiers_command(artifact: Artifact) -> str:
    """Return the command line that plays a policy in tiers, or axis by axis, again."""
    figures, seed = artifact.manifest.origin.metrics, str(artifact.manifest.content.seed)
    words = ["s2rctl", "evaluate", str(figures.get("policy_id"))[:12], "--seed", seed]
    if "tiers.json" in artifact.files:
        found = figures.get("tiers") or {}
        words += ["--tiers", ",".join(found)]
        words += [word for row in list(found.values())[:1] for word in ("--episodes", str(row["episodes"]))]
    return shlex.join([*words, "--sensitivity"] if "sensitivity.json" in artifact.files else words)


def _evaluation_command(manifest: Manifest) -> str:
    """Return the command line that repeats an evaluation."""
    figures, words = manifest.origin.metrics, ["s2rctl", "evaluate", str(manifest.origin.metrics.get("policy_id"))[:12]]
    words += ["--episodes", str(figures["episodes"]), "--seed", str(manifest.content.seed)]
    for name, value in (figures.get("perturb") or {}).items():
        words += ["--perturb", f"{name}={value:g}"]
    if "against" in figures:
        words += ["--against", figures["against"]["policy_id"][:12]]
    return shlex.join(words)
