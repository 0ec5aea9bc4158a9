"""``deploy`` from the outside: what it refuses before anything moves, and the policy server as a process."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from s2rctl.cli.deploy import told_of_ctrl_c
from s2rctl.cli.main import main
from s2rctl.cli.output import Answer
from s2rctl.schema.load import load_profile
from s2rctl.schema.manifest import StageRef
from s2rctl.store.store import Store
from tests.control.rigs import write_policy
from tests.stages.test_deploy import reach_card
from tests.waiting import HANG_S, wait_for


@pytest.fixture
def store(tmp_path):
    profile = load_profile("xarm7-smoke").profile
    card = reach_card()
    path = write_policy(tmp_path / "policy.onnx", card, np.zeros(3))
    made = Store(tmp_path / "store")
    artifact = made.publish(
        "onnx", "xarm7-reach", {"policy.onnx": path}, stage=StageRef(name="export", version=1),
        profile=profile.model_dump(mode="json"), seed=0, contract=card,
    )  # fmt: skip
    made.set_ref("onnx/xarm7-reach:latest", artifact.id, "test")
    return made


def run(store, capsys, *words):
    code = main(["deploy", "onnx/xarm7-reach", "--store", str(store.root), "--json", *words])
    said = capsys.readouterr()
    return code, json.loads(said.out), said.err


def test_live_refuses_without_a_terminal_unless_yes(store, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", Path(os.devnull).open())
    code, answer, _ = run(store, capsys, "--mode", "live", "--arm")
    assert code == 2 and "no terminal" in answer["error"]["message"]
    assert answer["error"]["hint"].endswith("--mode live --arm --yes")
    code, answer, _ = run(store, capsys, "--mode", "live", "--arm", "--yes")
    assert code == 5 and "never evaluated" in answer["error"]["message"]  # the next gate, not motion


def test_live_asks_and_takes_only_the_robots_name(store, capsys, monkeypatch):
    class Terminal:
        def __init__(self, text):
            self.text = text

        def isatty(self):
            return True

        def readline(self):
            return self.text

    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    code, answer, said = run(store, capsys, "--mode", "live", "--arm")
    assert code == 2 and "nothing was moved" in answer["error"]["message"]
    assert "10% -> 30% -> 100%" in said and "emergency stop" in said
    monkeypatch.setattr("sys.stdin", Terminal("xarm7\n"))
    assert run(store, capsys, "--mode", "live", "--arm")[0] == 5


@pytest.mark.parametrize(
    "words", [("--mode", "live"), ("--arm",), ("--yes",), ("--serve", "openpi", "--mode", "shadow")]
)
def test_options_that_do_not_belong_together(store, capsys, words):
    assert run(store, capsys, *words)[0] == 2


def test_a_damaged_policy_is_found_before_a_cached_rehearsal_is_returned(store, capsys, monkeypatch):
    from s2rctl.pipeline import run as pipeline_run

    def never(*_):
        raise AssertionError("a damaged policy must not get as far as the cache")

    artifact = store.resolve("onnx/xarm7-reach")
    blob = artifact.path("policy.onnx")
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(content)
    os.utime(blob, ns=(time.time_ns(), time.time_ns() + 10**9))
    monkeypatch.setattr(pipeline_run, "run_alone", never)
    code, answer, _ = run(store, capsys)
    assert code == 4 and "corrupt" in answer["error"]["message"]


def test_the_policy_server_runs_as_a_command_until_ctrl_c(store):
    pytest.importorskip("websockets", reason="the policy server is an extra")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "s2rctl.cli.main", "deploy", "onnx/xarm7-reach", "--store", str(store.root)]
    child = subprocess.Popen(
        [*command, "--serve", "openpi", "--port", str(port), "--json"], stdout=subprocess.PIPE, text=True
    )
    try:

        def healthy():
            try:
                link = http.client.HTTPConnection("127.0.0.1", port, timeout=HANG_S)
                link.request("GET", "/healthz")
                return link.getresponse().status == 200
            except OSError:
                return False

        assert wait_for(healthy)
        child.send_signal(signal.SIGINT)
        out = child.communicate(timeout=HANG_S)[0]
    finally:
        child.kill()
    assert child.returncode == 0
    data = json.loads(out)["data"]
    assert (data["port"], data["requests"]) == (port, 0)


def test_a_run_that_ctrl_c_ended_keeps_its_data_and_exits_130():
    ended = told_of_ctrl_c(Answer({"outcomes": "time, interrupted", "steps": 9}, "text"))
    assert ended.fault.exit_code == 130 and ended.data["steps"] == 9
    assert told_of_ctrl_c(Answer({"outcomes": "time, time"})).fault is None
    assert told_of_ctrl_c(Answer({"episodes": 3})).fault is None
