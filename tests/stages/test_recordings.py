"""Recordings of a real episode in the twin: replay, latency fit and LeRobot export read the same files."""

import importlib.util
import json
import shutil

import numpy as np
import pytest

from s2rctl.cli.main import main
from s2rctl.control.action import action_mapping
from s2rctl.control.envelope import envelope
from s2rctl.control.latency import LONGEST_STEPS, weights_of
from s2rctl.control.loop import Rig, Settings, run_episode
from s2rctl.control.recorder import McapRecorder
from s2rctl.control.recording import read_recording
from s2rctl.control.safety import SafetyFilter
from s2rctl.core.clock import VirtualClock
from s2rctl.core.errors import ArtifactError, RunError, UsageError
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.emulation.faults import Faults
from s2rctl.emulation.plant import PlantStart
from s2rctl.emulation.twin import Twin
from s2rctl.operations.recordings import latency, replay
from s2rctl.operations.recordings.lerobot import export
from s2rctl.operations.recordings.mirror import Mirror, robot_of
from s2rctl.schema.contract import Contract, Tensor
from s2rctl.schema.load import load_profile
from s2rctl.schema.robots import ToolLimits

STEPS = 48


class Waves:
    """A policy that moves all axes back and forth."""

    def __init__(self, size, still=False):
        self.size, self.count, self.still = size, 0, still

    def infer(self, inputs):
        self.count += 1
        phase = np.arange(self.size) * 0.7
        return {"action": 0.0 * phase[None] if self.still else 0.02 * np.sin(0.35 * self.count + phase)[None]}


class Nothing:
    cameras = ("side",)
    memory = ()

    def reset(self):
        pass

    def build(self, *_):
        return {}

    def remember(self, outputs):
        pass


def pictures(poses):
    level = int(abs(float(poses.geom_xpos[0, :, 0].sum())) * 1000) % 200
    image = np.full((84, 84, 3), level, np.uint8)
    image[20:40, 20:60] = (200, 30, 30)
    return {"rgb_side": image}


@pytest.fixture(scope="module")
def mirror():
    return Mirror("xarm7")


def episode(mirror, path, latency_s=(0.0, 0.0), still=False, steps=STEPS):
    """Record one episode of the reach robot whose commands take effect late."""
    spec, clock = mirror.specification, VirtualClock()
    twin = Twin(
        mirror.model, spec, clock, ["side"], pictures, Faults(latency_s=latency_s), ToolLimits(0.65, 5.0), period_s=0.05
    )
    home = spec.joints_from_targets(np.array(spec.home))
    twin.reset(PlantStart(mirror.qpos(home), np.zeros(mirror.model.nv), mirror.ctrl(home)), 1)
    profile = load_profile("xarm7-smoke").profile
    action = Tensor(name="action", dtype="float32", shape=("batch", 3), meaning="a", unit="m")
    fields = {"policy": "waves", "robot": "xarm7", "rate_hz": 20.0, "inputs": (), "outputs": (action,)}
    card = Contract.model_validate({**fields, "action_meaning": "", "action_scale": (0.03,) * 3})
    guard = SafetyFilter(envelope(spec, profile.deploy.safety, 20.0), action_mapping(spec, card, 0.15), spec)
    header = {"robot": "xarm7", "profile": "xarm7-smoke", "mode": "rehearse", "rate_hz": "20"}
    rig = Rig(twin, twin.cameras, Waves(3, still), Nothing(), guard, clock)
    log = run_episode(rig, Settings(20.0, steps, 2), Interrupt(), recorder=McapRecorder(path, header))
    assert log.outcome == "time", log.reason
    return path


@pytest.fixture(scope="module")
def recorded(mirror, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    return {
        "prompt": episode(mirror, folder / "prompt.mcap"),
        "late": episode(mirror, folder / "late.mcap", (0.06, 0.06)),
        "short": episode(mirror, folder / "short.mcap", steps=13),
        "still": episode(mirror, folder / "still.mcap", still=True),
    }


def test_everything_comes_back_from_a_recording(recorded):
    recording = read_recording(recorded["prompt"])
    assert recording.whole and recording.header["robot"] == "xarm7"
    assert recording.column("joint_pos").shape == (STEPS, 7) and recording.column("target").shape == (STEPS, 3)
    assert np.isnan(recording.column("nothing")).all()
    assert len(recording.frames["side"]) == STEPS
    frame = recording.frame_at("side", recording.steps[10]["t"])
    assert frame.t == pytest.approx(recording.steps[10]["t"]) and tuple(frame.rgb[30, 30]) == (200, 30, 30)
    assert recording.frame_at("side", -1.0) is None


def test_what_is_no_recording_is_refused(tmp_path, recorded):
    (tmp_path / "x.mcap").write_bytes(b"not mcap at all")
    with pytest.raises(ArtifactError, match=r"x\.mcap is not a recording"):
        read_recording(tmp_path / "x.mcap")
    with pytest.raises(UsageError, match="there is no recording"):
        read_recording(tmp_path / "y.mcap")
    whole = recorded["prompt"].read_bytes()
    for part in (0.0, 0.01, 0.3, 0.9):
        (tmp_path / "cut.mcap").write_bytes(whole[: int(part * len(whole))])
        try:
            assert not read_recording(tmp_path / "cut.mcap").whole
        except ArtifactError:
            assert part < 0.1


def test_replay_shows_pictures_the_mirror_and_the_timing(recorded, tmp_path):
    data = replay.run(recorded["short"], tmp_path / "out", NullReporter(), video=True)
    assert (data["steps"], data["outcome"], data["cameras"]) == (13, "time", ["side"])
    assert data["rate_hz"] == pytest.approx(20.0)
    assert data["timing_ms"]["period"]["max"] == pytest.approx(50.0)
    assert {"age_robot", "age_side", "inference", "filter", "send"} <= set(data["timing_ms"])
    cv2 = pytest.importorskip("cv2")
    film = cv2.VideoCapture(data["video"])
    assert int(film.get(cv2.CAP_PROP_FRAME_COUNT)) == 13
    ok, image = film.read()
    assert ok and image.shape == (480, 640, 3)
    red = image[150:180, 150:250, ::-1].mean((0, 1))
    assert red[0] > 150 and red[1] < 80  # the camera's red field, enlarged
    assert image[320:470, 430:630].std() > 10  # the mirror
    assert cv2.imread(data["contact_sheet"]).shape == (720, 1280, 3)


def test_a_cut_off_recording_can_be_looked_at(recorded, tmp_path):
    path = tmp_path / "cut.mcap"
    whole = recorded["prompt"].read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    data = replay.run(path, tmp_path, NullReporter(), video=False)
    assert 10 < data["steps"] < STEPS and data["outcome"] == "cut off"


def fit(recorded, tmp_path, *names):
    profile = load_profile("xarm7-smoke").profile
    output = tmp_path / "xarm7-measured.yaml"
    data = latency.run([recorded[name] for name in names], profile, "xarm7-smoke", output, NullReporter())
    return data, output


def test_an_injected_delay_is_found_and_becomes_a_profile(recorded, tmp_path):
    data, output = fit(recorded, tmp_path, "late")
    assert data["action_ms"]["mean"] == pytest.approx(60, abs=6)
    weights = np.array(data["joint_action_weights"])
    assert weights.sum() == pytest.approx(1, abs=1e-3)
    assert weights @ np.arange(len(weights)) == pytest.approx(1.2, abs=0.12)
    assert data["residual_rad"] < 0.005
    trained = load_profile(str(output)).profile
    assert trained.name == "xarm7-measured"
    assert trained.tasks.reach.delays.joint_action == tuple(data["joint_action_weights"])
    assert trained.tasks.reach.delays.observation == tuple(data["observation_weights"]) == (1.0,)
    assert sum(data["action_histogram"].values()) == data["windows"]


def test_a_prompt_arm_has_no_delay(recorded, tmp_path):
    data, _ = fit(recorded, tmp_path, "prompt")
    assert data["action_ms"]["max"] < 6
    assert data["joint_action_weights"][0] > 0.9


def test_an_arm_that_stands_still_tells_nothing(recorded, tmp_path):
    with pytest.raises(RunError, match="moves too little"):
        fit(recorded, tmp_path, "still")
    aloha = load_profile("aloha-smoke").profile
    with pytest.raises(UsageError, match="from the robot 'xarm7'"):
        latency.run([recorded["late"]], aloha, "aloha", tmp_path / "x.yaml", NullReporter())


@pytest.mark.parametrize("seed", range(5))
def test_weights_keep_the_mean_delay(seed):
    delays = np.random.default_rng(seed).uniform(0, 0.3, 200)
    weights = np.array(weights_of(delays, 0.05))
    assert weights.sum() == pytest.approx(1, abs=1e-3)
    assert weights @ np.arange(len(weights)) * 0.05 == pytest.approx(delays.mean(), abs=1e-4)
    assert len(weights_of(np.array([9.0]), 0.05)) == LONGEST_STEPS + 1
    assert weights_of(np.zeros(3), 0.05) == (1.0,)


def test_a_lerobot_dataset_reads_back(recorded, tmp_path):
    pytest.importorskip("pyarrow", reason="the export is an extra")
    import pyarrow.parquet as pq

    folder = tmp_path / "dataset"
    figures = export([recorded["prompt"], recorded["late"]], folder, "wave")
    assert (figures["episodes"], figures["frames"], figures["cameras"]) == (2, 2 * STEPS, ["side"])
    info = json.loads((folder / "meta/info.json").read_text())
    assert (info["codebase_version"], info["fps"], info["splits"]) == ("v3.0", 20, {"train": "0:2"})
    data = pq.read_table(folder / info["data_path"].format(chunk_index=0, file_index=0)).to_pydict()
    scalars = [name for name, feature in info["features"].items() if feature["dtype"] != "video"]
    assert sorted(data) == sorted(scalars)
    assert data["index"] == list(range(2 * STEPS)) and data["frame_index"][STEPS] == 0
    steps = read_recording(recorded["late"]).steps
    assert np.allclose(data["observation.state"][STEPS:], [step["joint_pos"] for step in steps], atol=1e-6)
    assert np.allclose(data["action"][STEPS:], [step["target"] for step in steps], atol=1e-6)
    assert data["timestamp"][3] == pytest.approx(0.15)
    assert info["features"]["action"]["names"] == ["x", "y", "z"]
    rows = pq.read_table(folder / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [(r["dataset_from_index"], r["dataset_to_index"]) for r in rows] == [(0, STEPS), (STEPS, 2 * STEPS)]
    assert rows[1]["videos/observation.images.side/from_timestamp"] == pytest.approx(STEPS / 20)
    assert pq.read_table(folder / "meta/tasks.parquet").to_pydict() == {"task_index": [0], "task": ["wave"]}
    stats = json.loads((folder / "meta/stats.json").read_text())
    everything = np.array(data["action"])
    assert np.allclose(stats["action"]["mean"], everything.mean(0), atol=1e-5)
    assert np.allclose(stats["action"]["std"], everything.std(0), atol=1e-5)
    assert np.shape(stats["observation.images.side"]["mean"]) == (3, 1, 1)
    cv2 = pytest.importorskip("cv2")
    path = folder / info["video_path"].format(video_key="observation.images.side", chunk_index=0, file_index=0)
    assert int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT)) == 2 * STEPS
    with pytest.raises(UsageError, match="exists"):
        export([recorded["prompt"]], folder)


def test_a_camera_in_a_recording_cannot_name_a_folder_elsewhere(recorded, tmp_path):
    pytest.importorskip("pyarrow", reason="the export is an extra")
    good = read_recording(recorded["short"])
    for camera in ("x/../../../../victim", "..", "a/b", "x" * 300):
        recorder = McapRecorder(tmp_path / "bad.mcap", good.header)
        for step in good.steps:
            values = {key: value for key, value in step.items() if key != "t"}
            recorder.step(step["t"], values, {camera: good.frames["side"][0]})
        recorder.close({})
        with pytest.raises(ArtifactError, match="recorded camera"):
            export([tmp_path / "bad.mcap"], tmp_path / "dataset")
        assert [p.name for p in tmp_path.iterdir()] == ["bad.mcap"]


def test_outputs_replace_files_only(recorded, tmp_path):
    (tmp_path / "file").write_bytes(b"kept")
    for name in ("short.mp4", "link.yaml", "dataset"):
        (tmp_path / name).symlink_to(tmp_path / "file")
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    profile = load_profile("xarm7-smoke").profile
    attempts = [
        lambda: replay.run(recorded["short"], tmp_path, NullReporter(), video=True),
        lambda: replay.run(recorded["short"], tmp_path / "file", NullReporter(), video=True),
        lambda: latency.run([recorded["late"]], profile, "xarm7-smoke", tmp_path / "link.yaml", NullReporter()),
    ]
    if importlib.util.find_spec("pyarrow"):
        attempts += [lambda name=name: export([recorded["short"]], tmp_path / name) for name in ("dataset", "gone")]
        attempts.append(lambda: export([recorded["short"]], tmp_path / "file" / "below"))
    before = sorted(p.name for p in tmp_path.iterdir())
    for attempt in attempts:
        with pytest.raises(UsageError):
            attempt()
    assert sorted(p.name for p in tmp_path.iterdir()) == before and (tmp_path / "file").read_bytes() == b"kept"


def test_a_measured_profile_loads_whatever_its_file_and_parent_are_called(recorded, tmp_path):
    parent = tmp_path / "my: profile #1" / "p.yaml"
    parent.parent.mkdir()
    parent.write_text("extends: xarm7-smoke\nname: parent\n")
    output = tmp_path / "My Arm_2 (measured).yaml"
    latency.run([recorded["short"]], load_profile(str(parent)).profile, str(parent), output, NullReporter())
    assert load_profile(str(output)).profile.name == "my-arm-2-measured"


def test_the_commands_speak_json(recorded, tmp_path, capsys):
    shutil.copy(recorded["short"], tmp_path / "a.mcap")
    assert main(["replay", str(tmp_path / "a.mcap"), "--no-video", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)["data"]["recordings"][0]
    assert data["steps"] == 13
    output = tmp_path / "measured.yaml"
    assert main(["latency", "fit", str(tmp_path / "a.mcap"), "-p", "xarm7-smoke", "-o", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["output"] == str(output)
    assert main(["replay", str(tmp_path / "a.mcap"), "--no-video", "-q"]) == 0
    assert "p99" in capsys.readouterr().out
    assert main(["replay", str(tmp_path / "nothing.mcap"), "-q"]) == 2


def test_recordings_that_do_not_name_their_robot_are_told_by_their_joints(recorded):
    recording = read_recording(recorded["short"], images=False)
    recording.header = {"onnx": "x"}
    assert robot_of(recording) == "xarm7"
    recording.steps[0]["joint_pos"] = [0.0]
    with pytest.raises(ArtifactError, match="which robot"):
        robot_of(recording)


def damaged(recorded, path, at):
    """Write a recording whose ``at``-th step is hit, with the picture behind it, and whose tail is zeros."""
    content = bytearray(recorded["late"].read_bytes())
    where = content.index(f'"step": {at},'.encode())
    content[where : where + 3000] = bytes(3000)
    end = content.index(f'"step": {STEPS - 3},'.encode())
    content[end:] = bytes(len(content) - end)
    path.write_bytes(bytes(content))
    return path


def test_every_reader_uses_what_is_whole_and_says_what_is_lost(recorded, tmp_path, capsys):
    pytest.importorskip("pyarrow", reason="the export is an extra")
    import pyarrow.parquet as pq

    path = damaged(recorded, tmp_path / "damaged.mcap", 5)
    kept = [number for number in range(STEPS - 3) if number != 5]
    assert [step["step"] for step in read_recording(path).steps] == kept
    words = ["replay", str(path), "--no-video", "--lerobot", str(tmp_path / "dataset"), "--json"]
    assert main(words) == 0
    said = capsys.readouterr()
    answer = json.loads(said.out)["data"]
    shown = answer["recordings"][0]
    assert (shown["steps"], shown["outcome"], shown["lost"]["steps"]) == (len(kept), "cut off", 1)
    assert shown["lost"]["bytes"] > 3000 and shown["rate_hz"] == pytest.approx(20.0)
    assert shown["timing_ms"]["period"]["max"] == pytest.approx(50.0)  # the gap is no long period
    assert said.err.count("damaged.mcap is damaged: ") == 2 and "consecutive steps are exported" in said.err
    table = pq.read_table(tmp_path / "dataset/data/chunk-000/file-000.parquet").to_pydict()
    steps = {step["step"]: step for step in read_recording(recorded["late"]).steps}
    row = [number for number in kept if number > 5][:-1]  # the last one's picture may be what is missing
    assert np.allclose(table["action"], [steps[number]["target"] for number in row], atol=1e-6)
    late, output = damaged(recorded, tmp_path / "end.mcap", 33), tmp_path / "measured.yaml"
    assert main(["latency", "fit", str(late), "-p", "xarm7-smoke", "-o", str(output), "--json"]) == 0
    said = capsys.readouterr()
    figures = json.loads(said.out)["data"]
    assert figures["action_ms"]["mean"] == pytest.approx(60, abs=6) and figures["windows"] == 4
    assert "its first 33 steps are fitted" in said.err
    assert main(["replay", str(path), "--no-video"]) == 0
    assert "bytes are damaged" in capsys.readouterr().out


def rewritten(recorded, path, header, change=lambda step: step):
    """Write a recording with another header and other steps, sums and all."""
    recorder = McapRecorder(path, header, images=False)
    for step in read_recording(recorded["short"], images=False).steps:
        body = change(dict(step))
        recorder.step(body.pop("t"), body, {})
    recorder.close({"outcome": "time"})
    return path


FORGED = {
    "unknown robot": ({"robot": "spot"}, lambda step: step),
    "joints of another robot": ({"robot": "aloha"}, lambda step: step),
    "rate of zero": ({"robot": "xarm7", "rate_hz": "0"}, lambda step: step),
    "rate that is none": ({"robot": "xarm7", "rate_hz": "often"}, lambda step: step),
    "no joints": ({"robot": "xarm7"}, lambda step: {**step, "joint_pos": None}),
    "no target": ({"robot": "xarm7"}, lambda step: {key: value for key, value in step.items() if key != "target"}),
    "commands of another robot": ({"robot": "xarm7"}, lambda step: {**step, "target": [0.0] * 14}),
    "no ages": ({"robot": "xarm7"}, lambda step: {**step, "ages": {}}),
    "no steps": ({"robot": "xarm7"}, lambda step: {**step, "ages": 3}),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_recording_of_another_form_is_shown_or_refused_with_two_lines(recorded, tmp_path, capsys, name):
    pytest.importorskip("pyarrow", reason="the export is an extra")
    path = rewritten(recorded, tmp_path / "x.mcap", *FORGED[name])
    commands = (
        ["replay", str(path), "--output", str(tmp_path)],
        ["replay", str(path), "--no-video", "--lerobot", str(tmp_path / "dataset")],
        ["latency", "fit", str(path), "-p", "xarm7-smoke", "-o", str(tmp_path / "y.yaml")],
    )
    for words in commands:
        code = main([*words, "-q"])
        said = capsys.readouterr()
        assert code in (0, 1, 2, 4), said.err
        if code:
            assert [line.partition(":")[0] for line in said.err.splitlines()] == ["error", "hint"]
