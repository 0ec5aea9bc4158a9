"""Damage of every kind in a recording: every whole step comes back, none is wrong, and what is lost is said."""

import json
import os
import struct
import tracemalloc
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.records import Metadata
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, Writer

from s2rctl.control import checksum, mcap_scan
from s2rctl.control.recorder import STEP_SCHEMA, McapRecorder
from s2rctl.control.recording import read_recording
from s2rctl.core.errors import ArtifactError, UsageError
from s2rctl.core.exits import ExitCode
from s2rctl.robots.protocol import Frame

STEPS = 12
HEADER = {"robot": "xarm7", "profile": "test", "rate_hz": "20"}
OUTCOME = {"outcome": "time", "reason": "", "steps": STEPS}


def record(path, steps=STEPS, close=True):
    recorder = McapRecorder(path, HEADER)
    for number in range(steps):
        t = number * 0.05
        values = {
            "step": number,
            "ages": {"robot": 0.001, "eye": 0.01},
            "codes": (),
            "interventions": ("rate",) if number % 3 == 0 else (),
            "joint_pos": np.arange(7) + number / 7,
            "tool": np.full((1, 7), number / 3),
            "target": np.array([0.4, 0.0, 0.2 + number / 100]),
            "sent": True,
            "sent_ms": 1.5,
        }
        image = np.full((4, 5, 3), number, np.uint8)
        depth = np.full((4, 5), 1000 + number, np.uint16)
        recorder.step(t, values, {"eye": Frame(t, image, depth if number % 2 == 0 else None)})
    recorder.close({**OUTCOME, "steps": steps})
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = record(tmp_path_factory.mktemp("recordings") / "whole.mcap")
    recording = read_recording(path)
    assert recording.lost is None and recording.whole and not recording.breaks
    return SimpleNamespace(path=path, content=path.read_bytes(), recording=recording, spans=spans(path))


def spans(path):
    """Return what kind of record lies where, by the library's own reader."""
    found, stream = [], path.open("rb")
    reader = StreamReader(stream)
    for item in reader.records:
        found.append((type(item).__name__, item, stream.tell()))
    stream.close()
    return found


def read(whole, content, folder):
    """Read damaged content and hold the result against the original."""
    path = folder / "damaged.mcap"
    path.write_bytes(content)
    recording = read_recording(path)
    steps = {step["step"]: step for step in whole.recording.steps}
    assert [step["step"] for step in recording.steps] == sorted({step["step"] for step in recording.steps})
    for step in recording.steps:
        assert step == steps[step["step"]]
    frames = {frame.t: frame for frame in whole.recording.frames["eye"]}
    for frame in recording.frames.get("eye", ()):
        assert np.array_equal(frame.rgb, frames[frame.t].rgb)
        assert frame.depth is None or np.array_equal(frame.depth, frames[frame.t].depth)
    assert set(recording.frames) <= {"eye"}
    assert recording.header in ({}, HEADER)
    assert recording.outcome in ({}, OUTCOME)
    if len(recording.steps) < len(steps):
        assert recording.lost is not None or not recording.whole
    if recording.whole and len(recording.steps) < len(steps):
        assert recording.lost.steps == len(steps) - len(recording.steps)
    part = recording.unbroken()
    numbers = [step["step"] for step in part.steps]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
    for camera, moment in ((c, s["t"]) for c in part.frames for s in part.steps):
        shown = part.frame_at(camera, moment)
        assert shown is None or shown.t == pytest.approx(moment)  # never a picture of before in a part without a gap
    return recording


def test_any_bit_of_a_recording_may_flip(whole, tmp_path):
    """Not by chance: one bit of every byte of the part with the messages, another one each time."""
    fewest = STEPS
    for at in range(0, len(whole.content), 1 if os.environ.get("S2RCTL_LONG_TESTS") else 5):
        content = bytearray(whole.content)
        content[at] ^= 1 << (at * 7 % 8)
        recording = read(whole, bytes(content), tmp_path)
        fewest = min(fewest, len(recording.steps))
        assert recording.header == HEADER  # written twice
    assert fewest == STEPS - 1  # one bit never costs more than the step that it is in


def test_a_recording_may_be_cut_anywhere(whole, tmp_path):
    ends = [end for kind, item, end in whole.spans if kind == "Message" and b'"encoding"' not in item.data]
    header = next(end for kind, item, end in whole.spans if kind == "Metadata")
    for at in range(0, len(whole.content), 7):
        if at < header:
            with pytest.raises(ArtifactError, match="is not a recording of s2rctl"):
                read(whole, whole.content[:at], tmp_path)
            continue
        recording = read(whole, whole.content[:at], tmp_path)
        assert len(recording.steps) == sum(end <= at for end in ends)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_a_tail_of_zeros_costs_only_itself(whole, tmp_path, share):
    at = int(len(whole.content) * share)
    recording = read(whole, whole.content[:at] + bytes(len(whole.content) - at), tmp_path)
    kept = read(whole, whole.content[:at], tmp_path)
    assert recording.steps == kept.steps and not recording.whole
    offset, length = recording.lost.places[-1]
    assert offset <= at and offset + length == len(whole.content)
    assert str(length) in recording.lost.text()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_gives_a_part_of_the_steps_or_a_clean_refusal(whole, tmp_path, data):
    content = bytearray(whole.content)
    for _ in range(data.draw(st.integers(1, 3))):
        if not content:
            break
        first = data.draw(st.integers(0, len(content) - 1))
        last = data.draw(
            st.integers(first, min(len(content), first + data.draw(st.sampled_from([1, 64, 5000, 10**6]))))
        )
        match data.draw(st.sampled_from(["flip", "cut", "zero", "noise", "insert", "remove", "repeat"])):
            case "flip":
                content[first] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del content[first:]
            case "zero":
                content[first:last] = bytes(last - first)
            case "noise":
                content[first:last] = np.random.default_rng(first).bytes(last - first)
            case "insert":
                content[first:first] = data.draw(st.binary(max_size=60))
            case "remove":
                del content[first:last]
            case "repeat":
                content[last:last] = content[first:last]
    try:
        read(whole, bytes(content), tmp_path)
    except ArtifactError as error:
        assert error.exit_code == ExitCode.ARTIFACT and error.hint


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400), st.booleans())
def test_what_is_no_recording_is_refused(tmp_path, content, magic):
    path = tmp_path / "x.mcap"
    path.write_bytes((mcap_scan.MAGIC if magic else b"") + content)
    with pytest.raises(ArtifactError, match=r"x\.mcap is not a recording of s2rctl"):
        read_recording(path)


def test_an_empty_file_a_folder_and_nothing_are_refused(tmp_path):
    (tmp_path / "empty.mcap").touch()
    with pytest.raises(ArtifactError):
        read_recording(tmp_path / "empty.mcap")
    os.mkfifo(tmp_path / "pipe.mcap")
    for name in ("pipe.mcap", ".", "none.mcap"):
        with pytest.raises(UsageError):
            read_recording(tmp_path / name)


def foreign(path, schema="geometry_msgs/Pose", **options):
    with path.open("wb") as file:
        writer = Writer(file, **options)
        writer.start()
        channel = writer.register_channel("/step", "json", writer.register_schema(schema, "jsonschema", b"{}"))
        for number in range(5):
            writer.add_message(channel, number, json.dumps({"t": number, "x": 1}).encode(), number)
        writer.finish()


def test_somebody_elses_mcap_file_is_refused(tmp_path):
    foreign(tmp_path / "other.mcap")
    with pytest.raises(ArtifactError, match="is not a recording of s2rctl"):
        read_recording(tmp_path / "other.mcap")


def again(whole, path, keep=lambda item: True, change=lambda data: data, **options):
    """Write a recording once more with the library, as tools do that copy MCAP files."""
    with path.open("wb") as file:
        writer = Writer(file, **options)
        writer.start()
        with whole.path.open("rb") as source:
            for schema, channel, message in make_reader(source).iter_messages(log_time_order=False):
                if keep(channel.topic):
                    number = writer.register_schema(schema.name, schema.encoding, schema.data)
                    number = writer.register_channel(channel.topic, channel.message_encoding, number)
                    writer.add_message(number, message.log_time, change(message.data), message.publish_time)
        for _, item, _ in whole.spans:
            if isinstance(item, Metadata):
                writer.add_metadata(item.name, item.metadata)
        writer.finish()
    return path


COMPRESSIONS = [CompressionType.NONE, CompressionType.LZ4, CompressionType.ZSTD]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_chunks_are_read_and_a_damaged_one_costs_only_itself(whole, tmp_path, compression):
    path = again(whole, tmp_path / "chunks.mcap", compression=compression, chunk_size=3000)
    recording = read_recording(path)
    assert recording.steps == whole.recording.steps and recording.lost is None
    content = path.read_bytes()
    worst = STEPS
    for at in range(20, len(content) - 20, max(1, len(content) // 150)):
        flipped = bytearray(content)
        flipped[at] ^= 1 << (at % 8)
        worst = min(worst, len(read(whole, bytes(flipped), tmp_path).steps))
    assert worst >= STEPS - 6


def test_a_chunk_does_not_unpack_to_more_than_the_limit(whole, tmp_path):
    import zstandard

    bomb = zstandard.compress(bytes(1 << 30))
    body = struct.pack("<QQQI", 0, 0, 1 << 30, 0) + struct.pack("<I", 4) + b"zstd" + struct.pack("<Q", len(bomb)) + bomb
    at = whole.content.index(b"\x0c", 8)
    content = whole.content[:at] + b"\x06" + struct.pack("<Q", len(body)) + body + whole.content[at:]
    tracemalloc.start()
    recording = read(whole, content, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(recording.steps) == STEPS and recording.lost.bytes > 0
    assert peak < 3 * (256 << 20)


@pytest.mark.parametrize("length", [1 << 25, 1 << 31, (1 << 63) - 1, (1 << 64) - 1])
def test_a_huge_announced_length_costs_no_memory(whole, tmp_path, length):
    at = whole.content.index(b'{"t": 0.') - 31
    content = bytearray(whole.content)
    content[at + 1 : at + 9] = struct.pack("<Q", length)
    tracemalloc.start()
    recording = read(whole, bytes(content), tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(recording.steps) == STEPS - 1 and recording.lost.steps == 1
    assert peak < 32 << 20


def test_a_sparse_terabyte_is_refused_without_reading_it_into_memory(tmp_path, whole):
    path = tmp_path / "sparse.mcap"
    path.write_bytes(whole.content[: len(whole.content) // 2])
    with path.open("r+b") as file:
        file.truncate(64 << 20)
    tracemalloc.start()
    recording = read_recording(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert recording.steps and recording.lost.bytes > 60 << 20 and peak < 32 << 20


def test_without_index_and_footer_everything_is_there(whole, tmp_path):
    end = next(end for kind, _, end in whole.spans if kind == "DataEnd")
    recording = read(whole, whole.content[:end], tmp_path)
    assert len(recording.steps) == STEPS and recording.whole and recording.lost is None


def test_steps_that_lack_a_topic_stay_steps(whole, tmp_path):
    for topic in ("/rgb_eye", "/depth_eye"):
        recording = read_recording(again(whole, tmp_path / "less.mcap", lambda name, topic=topic: name != topic))
        assert recording.steps == whole.recording.steps
    recording = read_recording(again(whole, tmp_path / "none.mcap", lambda name: name != "/step"))
    assert recording.steps == [] and recording.lost.steps == STEPS and len(recording.frames["eye"]) == STEPS


def test_a_lost_header_costs_the_header_only(whole, tmp_path):
    content = bytearray(whole.content)
    for _ in range(2):
        at = content.index(b"xarm7")
        content[at : at + 5] = b"spotx"
    recording = read(whole, bytes(content), tmp_path)
    assert recording.header == {} and recording.lost.header and "the header" in recording.lost.text()
    assert len(recording.steps) == STEPS and recording.whole


def unsummed(data):
    return data[: -checksum.TAIL_BYTES] + b"}"


def old(whole, path):
    """Write the recording as an earlier version did: without sums."""
    with path.open("wb") as file:
        writer = Writer(file, use_chunking=False)
        writer.start()
        writer.add_metadata("s2rctl", HEADER)
        ids = {}
        with whole.path.open("rb") as source:
            for schema, channel, message in make_reader(source).iter_messages(log_time_order=False):
                if channel.topic not in ids:
                    number = writer.register_schema(schema.name, schema.encoding, schema.data)
                    ids[channel.topic] = writer.register_channel(channel.topic, channel.message_encoding, number)
                writer.add_message(ids[channel.topic], message.log_time, unsummed(message.data), message.publish_time)
        writer.add_metadata("s2rctl.outcome", {key: str(value) for key, value in OUTCOME.items()})
        writer.finish()
    return path


def test_recordings_of_earlier_versions_are_read_also_when_they_are_damaged(whole, tmp_path):
    path = old(whole, tmp_path / "old.mcap")
    recording = read_recording(path)
    assert recording.steps == whole.recording.steps and recording.lost is None
    assert recording.header == HEADER and recording.outcome == OUTCOME
    content = path.read_bytes()
    at = content.index(b'{"t": 0.25, ') - 31  # the head of its record
    for change in (bytes(9), b"\xff" * 9):
        damaged = content[:at] + change + content[at + 9 :]
        (tmp_path / "d.mcap").write_bytes(damaged)
        recording = read_recording(tmp_path / "d.mcap")
        assert [step["step"] for step in recording.steps] == [n for n in range(STEPS) if n != 5]
        assert recording.lost.steps == 1
    (tmp_path / "d.mcap").write_bytes(content[: len(content) // 2] + bytes(5000))
    recording = read_recording(tmp_path / "d.mcap")
    assert recording.steps == whole.recording.steps[: len(recording.steps)] and recording.lost.bytes >= 5000


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_in_an_old_recording_is_never_another_exception(whole, tmp_path, data):
    content = bytearray(old(whole, tmp_path / "old.mcap").read_bytes())
    first = data.draw(st.integers(0, len(content) - 1))
    last = data.draw(st.integers(first, min(len(content), first + 3000)))
    content[first:last] = np.random.default_rng(first).bytes(last - first)
    (tmp_path / "d.mcap").write_bytes(bytes(content))
    try:
        recording = read_recording(tmp_path / "d.mcap")
    except ArtifactError:
        return
    for name in ("joint_pos", "tool", "target", "sent_ms"):
        assert len(recording.column(name)) == len(recording.steps)
    recording.ages()


BAD_STEPS = [
    {"t": "now"}, {"t": None}, {"t": 1e300}, {"t": True}, {"step": "1"}, {"step": -1}, {"step": 0}, {"ages": []},
    {"ages": {"robot": "x"}}, {"codes": 1}, {"codes": [1]}, {"interventions": "rate"}, {"joint_pos": [1, "2"]},
    {"joint_pos": [1.0] * 6}, {"joint_pos": [[1.0] * 7, [1.0]]}, {"joint_pos": {"a": 1}}, {"tool": [[1.0]]},
    {"target": "x"}, {"sent_ms": "fast"}, {"sent_ms": [1]}, {"joint_pos": [10**400] * 7},
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_STEPS, ids=str)
def test_a_step_of_another_form_is_lost_even_if_its_sum_is_right(tmp_path, bad):
    good = {
        "t": 0.0,
        "step": 0,
        "ages": {"robot": 0.0},
        "joint_pos": [0.0] * 7,
        "tool": [[0.0] * 7],
        "target": [0.0] * 3,
    }
    path = tmp_path / "x.mcap"
    with path.open("wb") as file:
        writer = Writer(file, use_chunking=False)
        writer.start()
        channel = writer.register_channel(
            "/step", "json", writer.register_schema("s2rctl.Step", "jsonschema", json.dumps(STEP_SCHEMA).encode())
        )
        for body in (good, {**good, "t": 0.05, "step": 1, **bad}, {**good, "t": 0.1, "step": 2}):
            writer.add_message(channel, 0, checksum.stamped(body), 0)
        writer.finish()
    recording = read_recording(path)
    assert [step["step"] for step in recording.steps] == [0, 2]
    assert recording.lost.steps == 1 and recording.breaks == (1,)


@pytest.mark.parametrize(
    "bad",
    [
        {"width": 0}, {"width": -4}, {"height": 10**9}, {"encoding": "rgb9"}, {"data": "!"}, {"data": 5},
        {"frame_id": []}, {"timestamp": {}}, {"timestamp": {"sec": 10**400, "nsec": 0}}, {"timestamp": 3},
        {"encoding": []},
    ],
    ids=str,
)  # fmt: skip
def test_a_picture_of_another_form_is_lost_even_if_its_sum_is_right(whole, tmp_path, bad):
    def change(data):
        body = json.loads(data)
        body.pop("crc32")
        return checksum.stamped({**body, **bad} if "encoding" in body else body)

    recording = read_recording(again(whole, tmp_path / "x.mcap", change=change, use_chunking=False))
    assert recording.steps == whole.recording.steps and recording.frames == {}
    assert recording.lost is not None


def test_deep_and_wide_json_is_lost_and_no_more(whole, tmp_path):
    for text in (b'{"t": ' + b"[" * 200_000 + b"]" * 200_000, b'{"t": [' + b"0," * 500_000 + b"0]"):
        data = text + b', "crc32": "%08x"}' % zlib.crc32(text)
        body = bytes(22) + data
        at = whole.content.index(b"\x0c", 8)
        content = whole.content[:at] + b"\x05" + struct.pack("<Q", len(body)) + body + whole.content[at:]
        assert len(read(whole, content, tmp_path).steps) == STEPS


def test_a_hostile_file_costs_a_multiple_of_its_size(tmp_path, monkeypatch):
    """A thousand records that overlap, each of which must be summed up whole to see that it is wrong."""
    spent = []
    real = checksum.is_whole
    monkeypatch.setattr(checksum, "is_whole", lambda data: spent.append(len(data)) or real(data))
    size = 60_000
    heads = b"".join(b"\x05" + struct.pack("<Q", size - 9 * number - 9) for number in range(size // 18))
    content = mcap_scan.MAGIC + heads
    content += b"x" * (size - len(content) - checksum.TAIL_BYTES + 8) + b', "crc32": "00000000"}'
    monkeypatch.setattr(mcap_scan, "LARGEST_RECORD", 1 << 20)
    (tmp_path / "x.mcap").write_bytes(content)
    with pytest.raises(ArtifactError):
        read_recording(tmp_path / "x.mcap")
    assert sum(spent) < 20 * (1 << 20)


def test_other_readers_read_what_is_written(whole):
    with whole.path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        bodies = [json.loads(message.data) for _, _, message in reader.iter_messages(log_time_order=False)]
    assert sum("encoding" not in body for body in bodies) == STEPS


def test_a_vector_that_was_not_finite_keeps_its_shape(tmp_path):
    recorder = McapRecorder(tmp_path / "x.mcap", HEADER)
    tools = [np.zeros((2, 7)), np.array([[np.nan] * 7, [1.0] * 7])]
    for number, tool in enumerate(tools):
        recorder.step(number * 0.1, {"step": number, "ages": {}, "tool": tool}, {})
    recorder.close({"outcome": "time", "steps": 2})
    column = read_recording(tmp_path / "x.mcap").column("tool")
    assert column.shape == (2, 2, 7) and np.isnan(column[1, 0]).all() and (column[1, 1] == 1).all()
