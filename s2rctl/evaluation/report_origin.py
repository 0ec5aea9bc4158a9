"""The report's origin part: the contract of the exported policy, lineage, environment, and how to do it again."""

import json
import shlex

from s2rctl.core.progress import duration
from s2rctl.evaluation import html
from s2rctl.evaluation.html import Html, fill
from s2rctl.evaluation.report_material import Material
from s2rctl.schema.contract import Contract
from s2rctl.schema.manifest import Manifest


def contract(material: Material) -> Html:
    """Return the contract card of the exported policy, and the checks that it passed."""
    card = material.artifacts["onnx"].manifest.content.contract if "onnx" in material.artifacts else None
    if card is None:
        return Html()
    return fill("<h2>Contract of the exported policy</h2>{}{}", contract_tables(card), _parity(material))


def contract_tables(card: Contract) -> Html:
    """Return the contract card as tables."""
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
        ("made with", ", ".join(f"{name} {version}" for name, version in card.versions.items()) or "-"),
    ]
    head = ("", "tensor", "type", "unit", "meaning", "elements")
    return fill("{}<p></p>{}", html.table(head, tensors), html.table(("", ""), facts))


def _scale(values: tuple[float, ...]) -> str:
    return f"{values[0]:g} for each of {len(values)}" if len(set(values)) == 1 else ", ".join(f"{v:g}" for v in values)


def _parity(material: Material) -> Html:
    """Return the rows of the parity gate."""
    artifact = material.artifacts["onnx"]
    if "parity.json" not in artifact.files:
        return Html()
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
    cells = [(what, value, "passed" if passed else "FAILED") for what, value, passed in rows]
    return fill("<h3>Checked at export</h3>{}", html.table(("check", "largest difference", ""), cells))


def lineage(material: Material) -> Html:
    """Return the graph of artifacts and a table of them."""
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
    table = html.table(("artifact", "id", "stage", "time", "made at (UTC)"), rows)
    return fill("<h2>Where it comes from</h2>{}{}", html.lineage(nodes, edges), table)


def reproduce(material: Material) -> Html:
    """Return the commands that make all of this again, the whole profile, and the environment."""
    manifests: list[Manifest] = [a.manifest for a in material.artifacts.values()]
    if not manifests:
        return Html()
    newest = max(manifests, key=lambda m: m.origin.created_at)
    name, seed = material.profile["name"], material.profile["seed"]
    lines = [shlex.join(["s2rctl", "pipeline", "run", "--profile", str(name), "--seed", str(seed)])]
    for artifact in material.evaluations:
        lines.append(_evaluation_command(artifact.manifest))
    whole = json.dumps({**material.profile}, indent=1).encode()
    link = html.download(whole, "application/yaml", f"{name}.resolved.yaml", "the resolved profile")
    note = fill(
        "<p>Run with values that the profile's file does not have? Everything was decided by {}: save it and give "
        "its path to <code>--profile</code>.</p>",
        link,
    )
    commands = "\n".join(dict.fromkeys(lines))
    versions = html.table(("package", "version"), sorted(newest.origin.versions.items()))
    where = fill("<p>Source {}; machine: {}.</p>", newest.origin.git or "not a checkout", newest.origin.host)
    head = fill("<h2>Reproduce it</h2><pre>{}</pre>{}", commands, note)
    return fill("{}<h3>Environment</h3>{}{}", head, where, versions)


def _evaluation_command(manifest: Manifest) -> str:
    """Return the command line that repeats an evaluation."""
    figures, words = manifest.origin.metrics, ["s2rctl", "evaluate", str(manifest.origin.metrics.get("policy_id"))[:12]]
    words += ["--episodes", str(figures["episodes"]), "--seed", str(manifest.content.seed)]
    for name, value in (figures.get("perturb") or {}).items():
        words += ["--perturb", f"{name}={value:g}"]
    if "against" in figures:
        words += ["--against", figures["against"]["policy_id"][:12]]
    return shlex.join(words)
