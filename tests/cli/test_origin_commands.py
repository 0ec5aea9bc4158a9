"""``artifacts lineage|why|diff``: the answers for people and for programs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from s2rctl.cli.main import main
from s2rctl.pipeline import graph
from s2rctl.schema.load import load_profile
from s2rctl.schema.manifest import StageRef
from s2rctl.store.store import Store
from tests.pipeline import fake_stages


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command line on the fake pipeline and gives (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2RCTL_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(graph, "graph_of", lambda system: fake_stages.GRAPH)

    def run(*words: str) -> tuple[int, str, str]:
        code = main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def data(answer: tuple[int, str, str]) -> dict:
    assert answer[0] == 0, answer
    return json.loads(answer[1])["data"]


def evaluation(folder: Path, name: str, successes: list[bool], seed: int = 0, sets: tuple[str, ...] = ()) -> str:
    """Publish an evaluation with these episodes and return its id."""
    profile = load_profile("xarm7-smoke", sets, seed).profile
    log = folder / f"{name}.jsonl"
    rows = [{"batch": 0, "world": world, "success": success} for world, success in enumerate(successes)]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    figures = {
        "successes": sum(successes), "episodes": len(successes), "task": "reach", "renderer": "raycast",
        "reward": len(successes) / 10, "reward_low": 0.1 * seed, "reward_high": 9.0 + seed,
        "tiers": {"T1": {"successes": 1, "episodes": 4}},
    }  # fmt: skip
    made = Store(folder / "store").publish(
        "evaluation", name, {"episodes.jsonl": log}, stage=StageRef(name="evaluate", version=3),
        profile=profile.model_dump(mode="json"), seed=seed, metrics=figures,
    )  # fmt: skip
    return made.id


def test_lineage_goes_both_ways(call):
    call("pipeline", "run", "-p", "xarm7-smoke")
    both = data(call("artifacts", "lineage", "teacher/one", "--json"))
    assert both["lineage"]["children"] == [] and both["descendants"]["children"][0]["ref"] == "student/two"
    text = call("artifacts", "lineage", "teacher/one")[1]
    assert "made from it:\n  one: student/two" in text
    assert "student" not in call("artifacts", "lineage", "teacher/one", "--up")[1]
    up = data(call("artifacts", "lineage", "student/two", "--up", "--json"))
    assert up.keys() == {"lineage"} and up["lineage"]["children"][0]["role"] == "one"


def test_a_subtree_is_drawn_once(call, tmp_path):
    store = Store(tmp_path / "store")
    stage, file = StageRef(name="x", version=1), tmp_path / "file"
    file.write_bytes(b"x")
    made = {}
    for name, inputs in (("a", ()), ("b", ("a",)), ("c", ("a", "b")), ("d", ("b", "c"))):
        from s2rctl.schema.manifest import InputRef

        made[name] = store.publish(
            "teacher", name, {"file": file}, stage=stage, profile={"name": "x"}, seed=0,
            inputs=[InputRef(role=item, id=made[item]) for item in inputs],
        ).id  # fmt: skip
    text = call("artifacts", "lineage", made["d"], "--up")[1]
    assert text.count("(see above)") == 1 and text.count("teacher/b") == 2 and text.count("teacher/a ") == 2


def test_why_tells_what_decided_the_key_and_what_would_be_different_now(call, monkeypatch):
    call("pipeline", "run", "-p", "xarm7-smoke")
    known = data(call("artifacts", "why", "student/two", "--json"))
    assert known["key"]["stage"] == "second" and known["key"]["seed"] == 0 and known["again"] is False
    assert [(item["role"], item["ref"]) for item in known["key"]["inputs"]] == [("one", "teacher/one")]
    assert known["key"]["fields"] == {"system": "xarm7-reach", "robot.name": "xarm7"}
    assert len(known["key"]["keys"]) == 1 and known["reads"] == ["system", "robot.name"]
    changed = data(call("artifacts", "why", "teacher/one", "--set", "simulation.substeps=5", "--json"))
    assert changed["again"] is True and "simulation.substeps 10 -> 5" in changed["now"]
    assert changed["key"]["fields"]["simulation.substeps"] == 10, "as it was made"
    newer = (replace(fake_stages.GRAPH[0], version=2), *fake_stages.GRAPH[1:])
    monkeypatch.setattr(graph, "graph_of", lambda system: newer)
    assert "stage version 1 -> 2" in data(call("artifacts", "why", "teacher/one", "--json"))["now"]


def test_why_needs_no_profile_file(call, tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: xarm7-smoke\nname: mine\nsimulation: {substeps: 5}\n")
    call("pipeline", "run", "-p", "mine.yaml")
    (tmp_path / "mine.yaml").unlink()
    assert data(call("artifacts", "why", "teacher/one", "--json"))["now"] == "up to date"


def test_diff_has_sections(call):
    call("pipeline", "run", "-p", "xarm7-smoke")
    call("artifacts", "tag", "student/two", "before")
    call("pipeline", "run", "-p", "xarm7-smoke", "--set", "simulation.substeps=5")
    rows = data(call("artifacts", "diff", "student/two:before", "student/two", "--json"))["differences"]
    assert {row["section"]: row["path"] for row in rows}.items() >= {
        "input": "input.one", "file": "file.out.txt", "profile": "profile.simulation.substeps"
    }.items()  # fmt: skip
    assert call("artifacts", "diff", "student/two", "student/two")[1] == "no difference\n"


def test_diff_compares_rates_in_pairs_where_the_episodes_are_the_same(call, tmp_path):
    better = evaluation(tmp_path, "a", [True] * 28 + [False] * 4)
    worse = evaluation(tmp_path, "b", [True] * 20 + [False] * 12)
    own, tier = data(call("artifacts", "diff", better, worse, "--json"))["rates"]
    assert own["path"] == "" and own["test"] == "exact McNemar test, 32 paired episodes"
    assert own["p_value"] == pytest.approx(2 * 0.5**8) and own["difference"] == 0.25
    assert own["difference_low"] < 0.25 < own["difference_high"] and own["left"] == "28/32 [71.0, 96.5]"
    assert tier["path"] == "tiers.T1" and tier["test"].startswith("Fisher") and tier["p_value"] == 1.0
    assert "28/32 [71.0, 96.5] %" in call("artifacts", "diff", better, worse)[1]


@pytest.mark.parametrize("other", [{"seed": 1}, {"sets": ("simulation.substeps=5",)}])
def test_diff_pairs_nothing_that_was_played_elsewhere(call, tmp_path, other):
    one = evaluation(tmp_path, "a", [True] * 28 + [False] * 4)
    two = evaluation(tmp_path, "b", [True] * 20 + [False] * 12, **other)
    compared = data(call("artifacts", "diff", one, two, "--json"))
    assert compared["rates"][0]["test"] == "Fisher's exact test, 32 and 32 episodes"
    if "seed" in other:  # both ends of an interval stand beside the figure, unless the figure is equal
        assert "metrics.reward_low" in call("artifacts", "diff", one, two)[1]


def test_an_interval_stands_beside_its_figure(call, tmp_path):
    one, two = evaluation(tmp_path, "a", [True] * 10), evaluation(tmp_path, "b", [True] * 20, seed=1)
    text = call("artifacts", "diff", one, two)[1]
    row = next(line for line in text.splitlines() if line.startswith("metrics.reward"))
    assert row.split() == ["metrics.reward", "1.0", "[0.0,", "9.0]", "2.0", "[0.1,", "10.0]"]
    assert "metrics.reward_low" not in text


def test_a_damaged_log_of_episodes_is_no_obstacle(call, tmp_path):
    one = evaluation(tmp_path, "a", [True] * 10)
    two = evaluation(tmp_path, "b", [True] * 9 + [False])
    store = Store(tmp_path / "store")
    blob = store.get(two).path("episodes.jsonl")
    blob.chmod(0o644)
    blob.write_text("{")
    assert data(call("artifacts", "diff", one, two, "--json"))["rates"][0]["test"].startswith("Fisher")
