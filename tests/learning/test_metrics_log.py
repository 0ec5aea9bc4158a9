import json
import socket
import sys
from types import ModuleType

import pytest

from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.core.exits import ExitCode
from s2rctl.core.progress import NullReporter
from s2rctl.learning.metrics_log import LoggedProgress, MetricsLog, event_files, read


def scalars(files):
    """The scalars of TensorBoard event files as tag -> [(step, value)]."""
    from tensorboardX.proto.event_pb2 import Event

    found = {}
    for path in files:
        content = path.read_bytes()
        while content:
            # A record: length (8 bytes), its checksum (4), the event, its checksum (4).
            size = int.from_bytes(content[:8], "little")
            event = Event.FromString(content[12 : 12 + size])
            content = content[16 + size :]
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, round(value.simple_value, 5)))
    return found


def test_every_record_is_in_both_logs_and_the_files_name_no_computer(tmp_path):
    with MetricsLog(tmp_path, 0) as log:
        log.record(10, {"reward": 0.5})
        log.record(20, {"reward": 0.75, "kl": 0.01}, "ppo")
        files = log.files((("reward",),))
    assert [r["step"] for r in read(tmp_path / "metrics.jsonl")] == [10, 20]
    assert set(files) == {"metrics.jsonl", "curve.png", "events/events.out.tfevents.0"}
    events = [path for name, path in files.items() if name.startswith("events/")]
    assert scalars(events) == {"train/reward": [(10, 0.5)], "ppo/reward": [(20, 0.75)], "ppo/kl": [(20, 0.01)]}
    assert not any(socket.gethostname() in name for name in files)
    assert all(socket.gethostname().encode() not in path.read_bytes() for path in events)


def test_a_resumed_run_drops_what_was_lost_and_keeps_all_event_files(tmp_path):
    with MetricsLog(tmp_path, 0) as log:
        for step in (10, 20, 30):
            log.record(step, {"reward": step})
    with MetricsLog(tmp_path, 20) as log:
        log.record(25, {"reward": 25})
    assert [r["step"] for r in read(tmp_path / "metrics.jsonl")] == [10, 20, 25]
    (tmp_path / "events" / "events.out.tfevents.0000000000.killed").touch()
    assert len(event_files(tmp_path)) in (1, 2)  # a name holds the second in which the file was begun
    assert (25, 25.0) in scalars(event_files(tmp_path).values())["train/reward"]


class Run:
    def __init__(self):
        self.logged, self.metrics, self.exit_code = [], [], None

    def define_metric(self, name, step_metric=None):
        self.metrics.append((name, step_metric))

    def log(self, figures):
        self.logged.append(figures)

    def finish(self, exit_code):
        self.exit_code = exit_code


def test_wandb_gets_the_same_figures_when_asked(tmp_path, monkeypatch):
    run, asked = Run(), {}
    module = ModuleType("wandb")
    module.init = lambda **settings: asked.update(settings) or run
    monkeypatch.setitem(sys.modules, "wandb", module)
    with MetricsLog(tmp_path / "abc", 0, "robots") as log:
        log.record(10, {"reward": 0.5}, "ppo")
    assert asked == {"project": "robots", "id": "abc", "resume": "allow", "dir": str(tmp_path / "abc")}
    assert [{k: v for k, v in r.items() if k != "minutes"} for r in run.logged] == [{"step": 10, "ppo/reward": 0.5}]
    assert run.exit_code == 0 and ("*", "step") in run.metrics
    with pytest.raises(ZeroDivisionError), MetricsLog(tmp_path / "abc", 0, "robots"):
        1 / 0  # noqa: B018
    assert run.exit_code == 1


def test_wandb_that_is_asked_for_and_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingEnvironmentError, match="Weights & Biases") as caught:
        MetricsLog(tmp_path, 0, "robots")
    assert caught.value.exit_code == ExitCode.ENVIRONMENT
    MetricsLog(tmp_path, 0)  # and nobody asks for it unless told to


def test_progress_of_a_loop_that_only_reports_is_logged(tmp_path):
    told = []

    class Listener(NullReporter):
        def update(self, done, metrics):
            told.append((done, dict(metrics)))

    with MetricsLog(tmp_path, 0) as log:
        progress = LoggedProgress(Listener(), log)
        progress.start("fit", 512, "images")
        progress.update(256, {"loss": 0.5})
        progress.update(300, {})
        progress.finish("done")
    assert told == [(256, {"loss": 0.5}), (300, {})]
    assert [(r["step"], r["loss"]) for r in read(tmp_path / "metrics.jsonl")] == [(256, 0.5)]


def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1}) + "\n" + '{"step": 2, "rew')
    assert read(path) == [{"step": 1}]
    assert read(tmp_path / "none") == []
