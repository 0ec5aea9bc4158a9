"""The recorder beside the loop: it never waits for the disk, and kill -9 leaves a file that can be read."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from s2rctl.control import recorder as recorders
from s2rctl.control.recorder import McapRecorder
from s2rctl.control.recording import read_recording
from s2rctl.robots.protocol import Frame

pytestmark = pytest.mark.paced

PROGRAM = """
import sys, time
import numpy as np
from pathlib import Path
from s2rctl.control.recorder import McapRecorder
from s2rctl.robots.protocol import Frame
recorder = McapRecorder(Path(sys.argv[1]), {"robot": "xarm7"})
for number in range(100000):
    frame = Frame(number * 0.01, np.full((32, 32, 3), number % 256, np.uint8))
    recorder.step(number * 0.01, {"step": number, "ages": {}, "codes": (), "joint_pos": np.zeros(7)}, {"eye": frame})
    print(number, flush=True)
    time.sleep(0.01)
"""


def values(number):
    return {"step": number, "ages": {"robot": 0.001}, "codes": (), "interventions": (), "joint_pos": np.zeros(7)}


def test_kill_9_loses_at_most_the_step_under_way(tmp_path):
    path = tmp_path / "episode.mcap"
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, str(path)], stdout=subprocess.PIPE, text=True)
    last = 0
    while last < 25:
        last = int(child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    rest = child.communicate(timeout=10)[0].split()
    handed_over = int(rest[-1]) if rest else last
    recording = read_recording(path)
    numbers = [step["step"] for step in recording.steps]
    assert numbers == list(range(len(numbers)))
    assert handed_over - numbers[-1] <= 2
    assert not recording.whole
    assert len(recording.frames["eye"]) >= len(numbers) - 1


def test_a_slow_disk_does_not_hold_up_the_loop(tmp_path, monkeypatch):
    monkeypatch.setattr(recorders, "BACKLOG", 5)
    recorder = McapRecorder(tmp_path / "slow.mcap", {"robot": "x"})
    append = recorder._append
    monkeypatch.setattr(recorder, "_append", lambda *item: (time.sleep(0.02), append(*item)))
    begun = time.perf_counter()
    for number in range(20):
        recorder.step(number * 0.05, values(number), {})
    assert time.perf_counter() - begun < 0.02
    recorder.close({"outcome": "time"})
    recording = read_recording(tmp_path / "slow.mcap")
    assert recording.outcome["dropped_steps"] == 20 - len(recording.steps) > 0


def test_a_full_disk_is_told_at_the_end_and_not_in_the_loop(tmp_path, monkeypatch):
    recorder = McapRecorder(tmp_path / "full.mcap", {"robot": "x"})

    def full(*item):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recorder, "_append", full)
    for number in range(5):
        recorder.step(number * 0.05, values(number), {})
    with pytest.raises(OSError, match="No space left"):
        recorder.close({"outcome": "time"})


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
