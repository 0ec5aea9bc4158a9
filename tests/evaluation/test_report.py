"""The report is one file that needs nothing else, and says what the artifacts say."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError

from s2rctl.evaluation import report_material
from s2rctl.evaluation.episodes import rate
from s2rctl.evaluation.report import build
from s2rctl.evaluation.report_material import Material
from s2rctl.evaluation.report_origin import layout
from s2rctl.evaluation.statistics import paired
from s2rctl.evaluation.templates import templates
from s2rctl.schema.contract import CameraContract, Contract, Tensor
from s2rctl.schema.manifest import InputRef, StageRef
from s2rctl.store.store import Artifact, Store

PROFILE = {"name": "aloha-smoke", "system": "aloha", "seed": 3, "description": "<b>small</b> & quick"}
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002000001e221bc330000"
    "000049454e44ae426082"
)


class Checker(HTMLParser):
    """Collects addresses and checks that tags close in order."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass  # <line .../> and its like neither open nor fetch anything

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def artifacts(tmp_path: Path) -> dict[str, Artifact]:
    store = Store(tmp_path / "store")
    picture = tmp_path / "curve.png"
    picture.write_bytes(PNG)
    policy = store.publish(
        "student", "aloha", {"curve.png": picture}, stage=StageRef(name="distill", version=1), profile=PROFILE, seed=3
    )
    tensor = Tensor(name="action", dtype="float32", shape=("batch", 2), meaning="targets", elements=("waist", "elbow"))
    contract = Contract(
        policy="aloha-student", robot="aloha", rate_hz=20, inputs=(), outputs=(tensor,), action_meaning="deltas",
        action_scale=(0.02, 0.02),
    )  # fmt: skip
    onnx = store.publish(
        "onnx", "aloha-student", {"curve.png": picture}, stage=StageRef(name="export", version=1), profile=PROFILE,
        seed=3, inputs=[InputRef(role="policy", id=policy.id)], contract=contract,
        metrics={"parity_max_abs": 2e-7, "inference_ms_p50": 0.11, "inference_ms_p99": 0.15},
    )  # fmt: skip
    metrics = {
        "episodes": 100, "successes": 92, "success_rate": 0.92, "wilson_low": 0.85, "wilson_high": 0.959,
        "failures": {"dropped": 8}, "ever_successful": 95, "gate_success_low": 0.9, "gate_passed": False,
    }  # fmt: skip
    evaluation = store.publish(
        "evaluation", "aloha-student", {"curve.png": picture}, stage=StageRef(name="evaluate", version=1),
        profile=PROFILE, seed=3, inputs=[InputRef(role="onnx", id=onnx.id)], metrics=metrics,
    )  # fmt: skip
    return {"student": policy, "onnx": onnx, "evaluation": evaluation}


def test_the_report_is_self_contained_and_well_formed(artifacts: dict[str, Artifact]) -> None:
    page = build(Material(PROFILE, artifacts))
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert checker.addresses and all(address.startswith("data:") for address in checker.addresses)
    assert "http" not in page


def test_it_says_what_was_measured(artifacts: dict[str, Artifact]) -> None:
    page = build(Material(PROFILE, artifacts))
    for text in (
        "92/100 [84.8, 96.5]",
        "not met",
        "dropped",
        "8.0 % [3.5, 15.2]",
        "Wilson lower bound 85.0 ≥ 90 %",
        "0.11 ms",
        "2.0e-07",
        "waist, elbow",
        artifacts["onnx"].id[:12],
    ):
        assert text in page
    assert "--seed 3" in page


def test_text_from_profiles_is_escaped(artifacts: dict[str, Artifact]) -> None:
    page = build(Material(PROFILE, artifacts))
    assert "<b>small</b>" not in page
    assert "&lt;b&gt;small&lt;/b&gt; &amp; quick" in page


HOSTILE = (
    "</td></main><script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg onload=alert(3)>&{x}{}\x1b[2J\r\u202e"
)


class Inventory(HTMLParser):
    """Collects every tag, attribute and text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(f"{tag} {name}" for name, _ in attrs)}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def inventory(page: str) -> Inventory:
    read = Inventory()
    read.feed(page)
    return read


def tier_figures(word: str = "dropped", axis: str = "friction") -> dict[str, Any]:
    """Return what ``evaluate --tiers`` writes, with ``word`` as everything that is free text."""
    control = {"successes": 9, "episodes": 10, "text": "9/10", "passed": True}
    own = {
        "title": word, "changes": word, **rate(9, 10), "failures": {word: 1}, "paired": None, "clusters": [],
        "clips": [{"file": "0-success.mp4", "outcome": "success", "steps": 5}], "void": False, "void_because": [],
        "controls": {"positive": control, "negative": control},
    }  # fmt: skip
    part = {"low": 0.7, "high": 0.9, "episodes": 5, "successes": 1, "failures": {word: 4}}
    cause = {
        "axis": axis, "unit": word, "by": "value", "effect": -0.9, "p_corrected": 1e-4, "parts": [part, part],
        "significant": True,
    }  # fmt: skip
    pairs = {"difference": -0.6, "difference_low": -0.8, "difference_high": -0.3, "p_value": 0.01}
    physics = own | rate(3, 10) | {
        "title": word, "paired": pairs, "clusters": [cause], "void_because": [],
        "clips": [{"file": "1-dropped.mp4", "outcome": word, "steps": 5}],
    }  # fmt: skip
    pictures = {"share": 0.2, "passed": False}
    void = physics | {
        "void": True,
        "void_because": [word],
        "clips": [],
        "controls": own["controls"] | {"pictures": pictures},
    }
    return {"tiers": {"T0": own, "T3": physics, "T4": void}, "left_out": {"T5": word}}


def axis_figures(word: str = "", axis: str = "gravity_sag") -> dict[str, Any]:
    """Return what ``evaluate --sensitivity`` writes."""
    values = [{"value": 0.015, "successes": 6, "episodes": 10}]
    row = {
        "unit": word, "text": word, "nominal": 0.0, "range": [0.0, 0.015], "values": values, "cost": 0.4,
        "cost_low": 0.1, "cost_high": 0.6, "cost_at": 0.015, "cost_p_value": 0.01,
        "below": {"low": None, "high": 0.011},
    }  # fmt: skip
    return {"sensitivity": {axis: row}, "threshold": 0.8}


def whole_report(store: Store, folder: Path, word: str) -> str:
    """Return a report with every section in which ``word`` is everything that is free text."""
    for name in ("curve.png", "0-success.mp4", "1-dropped.mp4", "parity.json", "evaluation.json"):
        (folder / name).write_bytes(PNG)
    profile = {
        "name": word, "system": word, "seed": word, "description": word, "distill": {word: word}, "teacher": {word: 1}
    }  # fmt: skip
    stage = StageRef(name=word, version=1)
    agreement = [{"observations": word, "inputs": word, "max_difference": 0.0, "passed": True}]
    loop = {"episodes": word, "jax_successes": word, "onnx_successes": word, "max_difference": 0.0, "passed": False}
    sensitivity = [{"change": word, "max_change": 0.0, "passed": True}]
    (folder / "parity.json").write_text(
        json.dumps({"agreement": agreement, "closed_loop": loop, "sensitivity": sensitivity})
    )
    clips = [
        {"file": "0-success.mp4", "outcome": "success"},
        {"file": "1-dropped.mp4", "outcome": word, "world": word, "batch": word, "steps": word},
    ]
    (folder / "evaluation.json").write_text(json.dumps({"clips": clips}))
    camera = CameraContract(
        name=word, width=32, height=24, fovy_deg=58, parent=word, position_m=(0, 0, 0), quaternion=(1, 0, 0, 0),
        depth_unit_m=1e-4,
    )  # fmt: skip
    tensor = Tensor(name=word, dtype="float32", shape=("batch", 1), meaning=word, elements=(word,), unit=word)
    card = Contract(
        policy=word, robot=word, rate_hz=20, inputs=(tensor,), outputs=(tensor,), action_meaning=word,
        action_scale=(0.02,), cameras=(camera,), versions={word: word},
    )  # fmt: skip

    def publish(kind: Any, name: str, files: tuple[str, ...], **more: Any) -> Artifact:
        return store.publish(
            kind, name, {file: folder / file for file in files}, stage=stage, profile=profile, seed=1, **more
        )

    student = publish("student", "x", ("curve.png",), metrics={"text": word, "env_steps": 1})
    other = store.publish(
        "student", "x", {"curve.png": folder / "curve.png"}, stage=StageRef(name=word, version=2), seed=2,
        profile=profile | {"distill": {word: 3, f"{word}x": word}}, metrics={"text": word},
    )  # fmt: skip
    onnx = publish(
        "onnx", "x", ("parity.json",), contract=card, inputs=[InputRef(role=word, id=student.id)],
        metrics={"parity_max_abs": 1e-7},
    )  # fmt: skip
    figures = {
        "policy": word, "policy_id": student.id, "episodes": 10, "successes": 7, "success_rate": 0.7, "wilson_low": 0.4,
        "wilson_high": 0.9, "failures": {word: 3}, "ever_successful": word, "failure_rows": [
            {"kind": word, "steps_median": 4, "ever_successful": word},
        ],
    }  # fmt: skip
    films = ("evaluation.json", "0-success.mp4", "1-dropped.mp4")
    judged = publish("evaluation", "x", films, metrics=figures)
    late = publish("evaluation", "late", films, metrics=figures | {"perturb": {word: 0.5}, "policy_id": word})
    pairs = paired([True, True, False], [True, False, False])._asdict()
    against = {"policy": word, "policy_id": word, "text": word}
    compared = publish("evaluation", "compared", films, metrics=figures | {"paired": pairs, "against": against})
    (folder / "tiers.json").write_text(json.dumps(tier_figures(word)))
    (folder / "sensitivity.json").write_text(json.dumps(axis_figures(word)))
    both = ("tiers.json", "sensitivity.json", "0-success.mp4", "1-dropped.mp4")
    other_worlds = publish("evaluation", "tiers", both, metrics={"policy": word})
    deployment = publish("deployment", "x", ("1-dropped.mp4",), metrics={word: word, "episodes": word})
    calibration = publish("calibration", "x", ("curve.png",), metrics={word: word})
    roles = {"student": student, "onnx": onnx, "evaluation": judged, "deployment": deployment}
    origin = {"host": word, "git": word, "created_at": word, "versions": {word: word}}
    artifacts = {}
    for role, artifact in (roles | {"calibration": calibration}).items():
        changed = artifact.manifest.origin.model_copy(update=origin)
        artifacts[role] = Artifact(artifact.manifest.model_copy(update={"origin": changed}), artifact.id, store)
    return build(
        Material(profile, artifacts, evaluations=(late, compared), other_worlds=(other_worlds,), others=(other,))
    )


def test_nothing_from_outside_becomes_markup(tmp_path: Path) -> None:
    """A hostile word in every free text of a report makes the same tags and attributes as a plain one."""
    plain = inventory(whole_report(Store(tmp_path / "plain"), tmp_path, "word"))
    page = whole_report(Store(tmp_path / "hostile"), tmp_path, HOSTILE)
    hostile = inventory(page)
    assert hostile.found == plain.found and "script" not in hostile.found
    Checker().feed(page)
    assert all(char.isprintable() or char == "\n" for char in page)
    texts = "\n".join(hostile.texts)
    # It can be read as what it is, in every section that the plain word is in.
    assert texts.count("<script>alert(1)</script>") >= 40
    for heading in (
        "How often", "looks like", "failed episodes", "Outside", "Against", "How it was", "Ablations", "Rehearsal",
        "calibration", "Contract", "Checked", "comes from", "Reproduce", "Environment",
        "nobody trained in", "What was different", "Controls", "Every axis",
    ):  # fmt: skip
        assert heading in texts, heading


def piece(name: str, *values: object) -> str:
    """Return one of the pieces that the report is made of."""
    return str(getattr(templates().get_template("pieces.html.j2").module, name)(*values))


def test_what_is_not_markup_is_escaped_by_every_piece() -> None:
    for value, shown in (("<i>&\"'", "&lt;i&gt;&amp;&#34;&#39;"), ("\x1b[2J\u202e", "\\x1b[2J\\u202e")):
        assert templates().from_string('<p title="{{ x }}">{{ x }}</p>').render(x=value) == (
            f'<p title="{shown}">{shown}</p>'
        )
    # What a template puts together is no markup either.
    put_together = templates().from_string("{{ a ~ b }}{{ '%s' | format(a) }}{{ [a, b] | join(b) }}")
    assert put_together.render(a="<", b=">") == "&lt;&gt;&lt;&lt;&gt;&gt;"
    graph = layout({HOSTILE: (HOSTILE, HOSTILE)}, [])
    for made in (
        piece("card", *[HOSTILE] * 4), piece("table", [HOSTILE], [[HOSTILE]]), piece("picture", HOSTILE, HOSTILE),
        piece("video", HOSTILE, HOSTILE), piece("lineage", graph),
    ):  # fmt: skip
        assert "<script" not in made and "\x1b" not in made and "onerror" in made
        assert inventory(made).found.isdisjoint({"script", "img onerror", "svg onload"})


def test_a_value_that_nobody_gives_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="missing"):
        templates().from_string("{{ missing }}").render()


def test_sections_without_artifacts_are_left_out(artifacts: dict[str, Artifact]) -> None:
    page = build(Material(PROFILE, {"student": artifacts["student"]}))
    assert "Rehearsal" not in page
    assert "How often it works" not in page


def evaluation(store: Store, folder: Path, artifact: Artifact, name: str, **figures: object) -> Artifact:
    """Publish an evaluation with two films: a success and a drop."""
    for film in ("0-success.mp4", "1-dropped.mp4"):
        (folder / film).write_bytes(f"{name} {film}".encode() * 100)
    metrics = {
        "policy": artifact.ref, "policy_id": artifact.id, "episodes": 10, "successes": 7, "success_rate": 0.7,
        "wilson_low": 0.4, "wilson_high": 0.9, "failures": {"dropped": 2, "timed_out": 1}, **figures,
    }  # fmt: skip
    clips = [
        {"file": "0-success.mp4", "outcome": "success", "batch": 0, "world": 0, "steps": 9},
        {"file": "1-dropped.mp4", "outcome": "dropped", "batch": 1, "world": 4, "steps": 7},
    ]
    (folder / "evaluation.json").write_text(json.dumps(metrics | {"clips": clips}))
    names = ("evaluation.json", "0-success.mp4", "1-dropped.mp4")
    return store.publish(
        "evaluation", name, {n: folder / n for n in names}, stage=StageRef(name="evaluate", version=1), profile=PROFILE,
        seed=5, inputs=[InputRef(role="policy", id=artifact.id)], metrics=metrics,
    )  # fmt: skip


def test_failures_conditions_and_comparisons(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    store, student = artifacts["student"].store, artifacts["student"]
    own = evaluation(store, tmp_path, student, "own")
    late = evaluation(store, tmp_path, student, "late", perturb={"latency": 0.05}, successes=3)
    pairs = paired([True, True, False], [True, False, False])._asdict()
    against = {"policy": "reach/other", "policy_id": "ab" * 32, "text": "1/3 [0.8, 90.6]"}
    compared = evaluation(store, tmp_path, student, "compared", paired=pairs, against=against)
    page = build(Material(PROFILE, artifacts, evaluations=(own, late, compared)))
    Checker().feed(page)
    for text in (
        "timed out",
        "20.0 % [2.5, 55.6]",
        "dropped (world 4, batch 1, 7 steps)",
        "latency=0.05",
        "3/10 [6.7, 65.2]",
        "as trained",
        "1 / 1 / 0 / 1",
        f"s2rctl evaluate {student.id[:12]} --episodes 10 --seed 5 --perturb latency=0.05",
        "--against abababababab",
    ):
        assert text in page, text


def test_tiers_are_seen_at_a_glance(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    store, onnx = artifacts["onnx"].store, artifacts["onnx"]
    for name in ("0-success.mp4", "1-dropped.mp4"):
        (tmp_path / name).write_bytes(name.encode() * 50)
    (tmp_path / "tiers.json").write_text(json.dumps(tier_figures()))
    (tmp_path / "sensitivity.json").write_text(json.dumps(axis_figures("rad")))

    def publish(*names: str) -> Artifact:
        return store.publish(
            "evaluation", "x", {name: tmp_path / name for name in names}, stage=StageRef(name="x", version=1),
            profile=PROFILE, seed=0, metrics={"policy": onnx.ref, "policy_id": onnx.id},
        )  # fmt: skip

    found = (publish("tiers.json", "0-success.mp4", "1-dropped.mp4"), publish("sensitivity.json"))
    profile = PROFILE | {"evaluate": {"gate": {"tiers": {"T3": 0.8}}}}
    page = build(Material(profile, artifacts, other_worlds=found))
    Checker().feed(page)
    for text in (
        "What it cannot bear: dropped (T3: -60 of 100 episodes); gravity sag at 0.015 rad alone (-40).",
        "misses 80 %", "below 80 % over 0.011 rad", "3/10 [6.7, 65.2]", "friction low", "T3: dropped, 5 steps",
        "20 % FAILED", "void: dropped", "T5: nothing would be different",
    ):  # fmt: skip
        assert text in page, text
    assert page.count("<video") == 2
    assert "nobody trained in" not in build(Material(PROFILE, artifacts))


def test_films_beyond_the_budget_are_left_out(
    artifacts: dict[str, Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = evaluation(artifacts["student"].store, tmp_path, artifacts["student"], "own")
    material = {**artifacts, "evaluation": own}
    assert build(Material(PROFILE, material)).count("<video") == 2
    monkeypatch.setattr(report_material, "LARGEST_BYTES", own.files["0-success.mp4"].size)
    assert build(Material(PROFILE, material)).count("<video") == 1


def test_other_runs_of_a_stage_are_its_ablations(artifacts: dict[str, Artifact], tmp_path: Path) -> None:
    profile = PROFILE | {"name": "small", "distill": {"worlds": 64, "network": [8, 8]}, "deploy": {"rate": 9}}
    other = artifacts["student"].store.publish(
        "student", "aloha", {"curve.png": tmp_path / "curve.png"}, stage=StageRef(name="distill", version=1),
        profile=profile, seed=4, metrics={"action_error": 0.25},
    )  # fmt: skip
    page = build(Material(PROFILE, artifacts, others=(other,)))
    assert f"small {other.id[:8]}" in page
    assert "distill.worlds None → 64" in page and "seed 3 → 4" in page and "action error 0.25" in page
    assert "deploy.rate" not in page
    assert "Ablations" not in build(Material(PROFILE, artifacts))


def test_lineage_places_each_node_right_of_its_inputs() -> None:
    graph = layout({"a": ("a", ""), "b": ("b", ""), "c": ("c", "")}, [("a", "b"), ("b", "c"), ("a", "c")])
    svg = piece("lineage", graph)
    assert svg.count("<rect") == 3
    assert svg.count("<path") == 3
    assert 'x="6"' in svg and 'x="212"' in svg and 'x="418"' in svg


def test_interval_bar_and_table() -> None:
    assert "dashed" in piece("interval_bar", 0.9, 0.8, 0.95, 0.7)
    assert "dashed" not in piece("interval_bar", 0.9, 0.8, 0.95, 0.0)
    assert '<td class="number">3</td>' in piece("table", ("n",), [(3,)])
    mixed = piece("table", ("n", "word", "yes"), [(0.123456, "a", True), (3, 4, False)])
    assert '<th class="number">n</th>' in mixed and "<th>word</th>" in mixed and "<th>yes</th>" in mixed
    assert '<td class="number">0.1235</td>' in mixed and "<td>True</td>" in mixed
