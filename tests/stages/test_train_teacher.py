from types import SimpleNamespace

import numpy as np
import pytest

from s2rctl.core.errors import Interrupted
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.env.build import make_env
from s2rctl.learning.metrics_log import read
from s2rctl.learning.policy_files import load_policy
from s2rctl.pipeline.graph import graph_of, stage_named
from s2rctl.schema.load import load_profile
from s2rctl.stages import train_teacher
from s2rctl.stages.protocol import Context

WORLDS = 8
SETS = [
    f"teacher.pick.{item}"
    for item in (
        f"warm_start.worlds={WORLDS}",
        "warm_start.rounds=1",
        "warm_start.steps=20",
        "warm_start.batch=64",
        f"ppo.worlds={WORLDS}",
        "ppo.unroll=5",
        "ppo.steps=80",
        "ppo.minibatches=2",
        "ppo.updates=1",
        f"gate.episodes={WORLDS}",
        "network.policy=[16]",
        "network.value=[16]",
    )
] + ["tasks.pick.episode_steps=20"]


class Stop(NullReporter):
    """Asks to stop once PPO has done some steps, as Ctrl-C does."""

    def __init__(self, interrupt):
        self.interrupt, self.stage, self.stages, self.summary = interrupt, "", [], ""

    def start(self, stage, total, unit):
        self.stage = stage
        self.stages.append(stage)

    def update(self, done, metrics):
        if "ppo" in self.stage and 0 < done < 80 and self.interrupt is not None:
            self.interrupt.requested = True

    def finish(self, summary):
        self.summary = summary


def context(folder, reporter, interrupt):
    profile = load_profile("aloha-smoke", SETS).profile
    return Context(
        stage_named(graph_of("aloha"), "train-teacher-pick"),
        profile,
        {},
        SimpleNamespace(),
        folder,
        reporter,
        interrupt,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A pick training that is interrupted in PPO and run again."""
    folder, interrupt = tmp_path_factory.mktemp("run"), Interrupt()
    with pytest.raises(Interrupted):
        train_teacher.run(context(folder, Stop(interrupt), interrupt))
    first = read(folder / "metrics.jsonl")
    reporter = Stop(None)
    return folder, first, train_teacher.run(context(folder, reporter, Interrupt())), reporter


def test_the_second_attempt_goes_on_instead_of_starting_over(run):
    folder, first, _, reporter = run
    records = read(folder / "metrics.jsonl")
    assert records[: len(first)] == first
    assert [r["step"] for r in records if r["kind"] == "ppo"] == [200, 240]
    assert reporter.stages == ["pick ppo"]


def test_files_and_figures(run):
    _, _, result, reporter = run
    names = {"policy.safetensors", "policy.json", "metrics.jsonl", "curve.png"}
    # One file of TensorBoard events for each of the two attempts.
    assert set(result.files) == names | {f"events/events.out.tfevents.{number}" for number in (0, 1)}
    assert all(path.stat().st_size > 0 for path in result.files.values())
    assert result.files["curve.png"].read_bytes().startswith(b"\x89PNG")
    figures = result.metrics
    assert figures["episodes"] == WORLDS and figures["env_steps"] == 160 + 80
    assert 0 <= figures["wilson_low"] <= figures["success_rate"] <= figures["wilson_high"] <= 1
    assert figures["text"] in reporter.summary


def test_the_published_policy_acts_in_the_environment(run):
    folder, _, _, _ = run
    import jax

    env = make_env(load_profile("aloha-smoke", SETS).profile, "pick", WORLDS, seed=1)
    observation = jax.jit(env.reset)(jax.random.key(0)).observation
    action = np.asarray(load_policy(folder).act(observation))
    assert action.shape == (WORLDS, 7) and np.isfinite(action).all() and np.abs(action).max() <= 1
