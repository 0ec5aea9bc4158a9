"""The recorder beside the loop: it never waits for the disk, and kill -9 leaves a file that can be read."""

import resource
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from s2rctl.control import recorder as recorders
from s2rctl.control.recorder import McapRecorder
from s2rctl.control.recording import read_recording
from s2rctl.robots.protocol import Frame
from tests.waiting import HANG_S

PROGRAM = """
import os, signal, sys
import numpy as np
from pathlib import Path
from s2rctl.control.recorder import McapRecorder
from s2rctl.robots.protocol import Frame

class Dying(dict):
    def items(self):  # asked while the step is being written
        os.kill(os.getpid(), signal.SIGKILL)

recorder = McapRecorder(Path(sys.argv[1]), {"robot": "xarm7"})
for number in range(26):
    frame = Frame(number * 0.01, np.full((32, 32, 3), number % 256, np.uint8))
    ages = Dying() if number == 25 else {}
    recorder.step(number * 0.01, {"step": number, "ages": ages, "codes": (), "joint_pos": np.zeros(7)}, {"eye": frame})
recorder.close({})
"""


def values(number):
    return {"step": number, "ages": {"robot": 0.001}, "codes": (), "interventions": (), "joint_pos": np.zeros(7)}


def test_kill_9_loses_at_most_the_step_under_way(tmp_path):
    path = tmp_path / "episode.mcap"
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], timeout=HANG_S, check=False)
    assert done.returncode == -signal.SIGKILL
    recording = read_recording(path)
    assert [step["step"] for step in recording.steps] == list(range(25))
    assert len(recording.frames["eye"]) == 25
    assert not recording.whole


def test_a_slow_disk_does_not_hold_up_the_loop(tmp_path, monkeypatch):
    monkeypatch.setattr(recorders, "BACKLOG", 5)
    recorder = McapRecorder(tmp_path / "slow.mcap", {"robot": "x"})
    append, disk = recorder._append, threading.Event()
    monkeypatch.setattr(recorder, "_append", lambda *item: (disk.wait(HANG_S), append(*item)))
    for number in range(20):
        recorder.step(number * 0.05, values(number), {})
    disk.set()  # all steps were handed over before the disk took the first
    recorder.close({"outcome": "time"})
    recording = read_recording(tmp_path / "slow.mcap")
    assert 5 <= len(recording.steps) <= 6  # the backlog, and the one that was being written
    assert recording.outcome["dropped_steps"] == 20 - len(recording.steps)


def test_a_disk_that_takes_no_more_is_told_at_the_end_and_not_in_the_loop(tmp_path):
    recorder = McapRecorder(tmp_path / "full.mcap", {"robot": "x"})
    _, most = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, most))
    try:
        for number in range(10):
            frame = Frame(number * 0.05, np.full((200, 200, 3), number, np.uint8))
            recorder.step(number * 0.05, values(number), {"eye": frame})
        with pytest.raises(OSError, match="File too large"):
            recorder.close({"outcome": "time"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    kept = read_recording(tmp_path / "full.mcap")
    assert not kept.whole and 3 < len(kept.steps) < 10


def test_a_repeated_frame_is_stored_once(tmp_path):
    recorder = McapRecorder(tmp_path / "a.mcap", {"robot": "x"})
    depth = np.arange(16, dtype=np.uint16).reshape(4, 4)
    for number in range(6):
        frame = Frame(float(number // 2), np.full((4, 4, 3), number // 2, np.uint8), depth)
        recorder.step(number * 0.5, values(number), {"eye": frame})
    recorder.close({"outcome": "time", "steps": 6})
    recording = read_recording(tmp_path / "a.mcap")
    assert [frame.t for frame in recording.frames["eye"]] == [0.0, 1.0, 2.0]
    assert np.array_equal(recording.frames["eye"][2].depth, depth)
    assert recording.outcome == {"outcome": "time", "steps": 6}
    assert recording.ages()["robot"] == pytest.approx(np.full(6, 0.001))
