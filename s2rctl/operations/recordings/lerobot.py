"""Writes recordings as a LeRobotDataset v3.0 folder.

Layout and columns after LeRobot 0.4 to 0.6 (``codebase_version`` v3.0): ``meta/info.json``, ``meta/stats.json``,
``meta/tasks.parquet``, ``meta/episodes`` and ``data`` as parquet, one video per camera over all episodes. ``action`` is
the command that was sent after the safety filter, ``observation.state`` the measured joints. Depth and everything else
stay in the recordings, which are the complete and crash-safe log.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s2rctl.control.recording import Recording, read_recording
from s2rctl.core.atomic import output_folder, write_atomic
from s2rctl.core.errors import ArtifactError, MissingEnvironmentError, UsageError
from s2rctl.core.names import part_fault
from s2rctl.core.progress import Reporter
from s2rctl.operations.recordings.mirror import rate_of, robot_of
from s2rctl.robots import ROBOTS
from s2rctl.robots.protocol import RobotSpecification

VERSION = "v3.0"
_PART = "chunk-{chunk_index:03d}/file-{file_index:03d}"
_INDEX_FEATURES = ("frame_index", "episode_index", "index", "task_index")
Stats = dict[str, dict[str, Any]]


def export(paths: Sequence[Path], folder: Path, task: str = "", reporter: Reporter | None = None) -> dict[str, Any]:
    """Write recordings of one robot as one dataset into a folder that does not exist yet; return its figures.

    An episode ends before its first step with a measurement or command that was not finite. Of a damaged recording it
    is the longest part without a gap: a dataset has none. MissingEnvironmentError without pyarrow.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise MissingEnvironmentError("LeRobot datasets need pyarrow", "pip install 's2rctl[lerobot]'") from error
    del pyarrow
    if os.path.lexists(folder):
        raise UsageError(f"{folder} exists", "choose a new folder with --lerobot")
    recordings = [read_recording(path) for path in paths]
    robots = {robot_of(recording) for recording in recordings}
    if len(robots) != 1:
        raise UsageError(f"the recordings are from {' and '.join(sorted(robots))}", "export each robot separately")
    spec: RobotSpecification = ROBOTS.load(robots.pop())
    rates = {rate_of(recording) for recording in recordings}
    if len(rates) != 1:
        raise UsageError(f"the recordings have different rates: {sorted(rates)} Hz", "export each rate separately")
    for path, recording in zip(paths, recordings, strict=True):
        if recording.lost and reporter is not None:
            kept = len(recording.unbroken().steps)
            reporter.note(f"{path.name} is damaged: {recording.lost.text()}; {kept} consecutive steps are exported")
    episodes = [_Episode(path, recording.unbroken(), spec) for path, recording in zip(paths, recordings, strict=True)]
    cameras = sorted(set.intersection(*({*episode.images} for episode in episodes)))
    for camera in cameras:  # becomes the name of a folder
        fault = part_fault(camera) or part_fault(f"observation.images.{camera}")
        if fault is not None:
            raise ArtifactError(f"the recorded camera {camera[:80]!r} {fault}", "do not trust the recording")
    words = task or f"{episodes[0].recording.header.get('profile', spec.name)} policy on {spec.name}"
    return _Dataset(folder, spec, rates.pop(), cameras, words).write(episodes)


class _Episode:
    """The usable part of one recording: states (k, n), actions (k, m) and pictures (k, H, W, 3) by camera."""

    def __init__(self, path: Path, recording: Recording, spec: RobotSpecification) -> None:
        self.recording = recording
        state, action, t = recording.column("joint_pos"), recording.column("target"), recording.column("t")
        if not len(t):
            raise ArtifactError(f"{path.name} contains no steps", "omit this recording")
        if (state.shape[1:], action.shape[1:]) != ((len(spec.joints),), (len(spec.command),)):
            raise ArtifactError(f"{path.name} has no joints, or no commands for the robot", "omit this recording")
        bad = ~(np.isfinite(state).all(axis=1) & np.isfinite(action).all(axis=1))
        length = int(np.argmax(bad)) if bad.any() else len(t)
        if length == 0:
            raise ArtifactError(f"{path.name} contains no finite step", "omit this recording")
        seen = {camera: [recording.frame_at(camera, moment) for moment in t[:length]] for camera in recording.frames}
        begin = 0
        if recording.lost:  # behind damage, a camera's first picture may be a while away
            blind = [sum(frame is None for frame in frames) for frames in seen.values()]
            begin = max((count for count in blind if count < length), default=0)
        self.state, self.action = state[begin:length].astype(np.float32), action[begin:length].astype(np.float32)
        self.images: dict[str, np.ndarray] = {}
        for camera, frames in seen.items():
            pictures = [frame.rgb for frame in frames[begin:] if frame is not None]
            if len({picture.shape for picture in pictures}) > 1:
                raise ArtifactError(f"{path.name}: the images of '{camera}' differ in size", "omit this recording")
            if len(pictures) == length - begin:
                self.images[camera] = np.stack(pictures)

    def __len__(self) -> int:
        return len(self.state)


class _Dataset:
    """A dataset folder under construction."""

    def __init__(self, folder: Path, spec: RobotSpecification, rate: float, cameras: Sequence[str], task: str) -> None:
        self._folder, self._spec, self._rate, self._task = folder, spec, rate, task
        self._keys = {camera: f"observation.images.{camera}" for camera in cameras}

    def write(self, episodes: Sequence[_Episode]) -> dict[str, Any]:
        """Write everything, the description last, and return the figures."""
        for name in ("meta/episodes/chunk-000", "data/chunk-000"):
            output_folder(self._folder / name, "--lerobot")
        rows, stats, begin = [], [], 0
        for number, episode in enumerate(episodes):
            stats.append(self._stats(episode, number, begin))
            rows.append(self._row(episode, number, begin, stats[-1]))
            begin += len(episode)
        self._write_data(episodes)
        self._write_videos(episodes)
        self._write_episodes(rows)
        self._write_tasks()
        _json(self._folder / "meta/stats.json", _merged(stats))
        _json(self._folder / "meta/info.json", self._info(episodes, begin))
        return {"folder": str(self._folder), "episodes": len(episodes), "frames": begin, "cameras": sorted(self._keys)}

    def _features(self, episodes: Sequence[_Episode]) -> dict[str, Any]:
        features: dict[str, Any] = {
            "observation.state": _feature(episodes[0].state, self._spec.joints),
            "action": _feature(episodes[0].action, self._spec.space.names),
        }
        for camera, key in self._keys.items():
            height, width = episodes[0].images[camera].shape[1:3]
            details = {
                "video.height": height,
                "video.width": width,
                "video.codec": "h264",
                "video.pix_fmt": "yuv420p",
                "video.is_depth_map": False,
                "video.fps": self._rate,
                "video.channels": 3,
                "has_audio": False,
            }
            axes = ["height", "width", "channels"]
            features[key] = {"dtype": "video", "shape": [height, width, 3], "names": axes, "info": details}
        features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
        return features | {name: {"dtype": "int64", "shape": [1], "names": None} for name in _INDEX_FEATURES}

    def _info(self, episodes: Sequence[_Episode], frames: int) -> dict[str, Any]:
        return {
            "codebase_version": VERSION,
            "robot_type": self._spec.name,
            "total_episodes": len(episodes),
            "total_frames": frames,
            "total_tasks": 1,
            "chunks_size": 1000,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": int(self._rate) if self._rate == int(self._rate) else self._rate,
            "splits": {"train": f"0:{len(episodes)}"},
            "data_path": f"data/{_PART}.parquet",
            "video_path": f"videos/{{video_key}}/{_PART}.mp4" if self._keys else None,
            "features": self._features(episodes),
        }

    def _columns(self, episode: _Episode, number: int, begin: int) -> dict[str, np.ndarray]:
        """Return the index columns of an episode; times are exact multiples of the period, as readers demand."""
        frame = np.arange(len(episode))
        return {
            "timestamp": (frame / self._rate).astype(np.float32),
            "frame_index": frame,
            "episode_index": np.full(len(episode), number),
            "index": begin + frame,
            "task_index": np.zeros(len(episode), int),
        }

    def _write_data(self, episodes: Sequence[_Episode]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        tables, begin = [], 0
        for number, episode in enumerate(episodes):
            columns: dict[str, Any] = {
                "observation.state": _vectors(episode.state),
                "action": _vectors(episode.action),
            }
            for name, values in self._columns(episode, number, begin).items():
                columns[name] = pa.array(values, pa.float32() if name == "timestamp" else pa.int64())
            tables.append(pa.table(columns))
            begin += len(episode)
        pq.write_table(pa.concat_tables(tables), self._folder / "data/chunk-000/file-000.parquet", compression="snappy")

    def _write_videos(self, episodes: Sequence[_Episode]) -> None:
        from s2rctl.evaluation.film import write_mp4

        for camera, key in self._keys.items():
            path = self._folder / "videos" / key / "chunk-000" / "file-000.mp4"
            path.parent.mkdir(parents=True)
            height, width = episodes[0].images[camera].shape[1:3]
            write_mp4(path, (image for e in episodes for image in e.images[camera]), width, height, self._rate)

    def _row(self, episode: _Episode, number: int, begin: int, stats: Stats) -> dict[str, Any]:
        row: dict[str, Any] = {
            "episode_index": number,
            "tasks": [self._task],
            "length": len(episode),
            "data/chunk_index": 0,
            "data/file_index": 0,
            "dataset_from_index": begin,
            "dataset_to_index": begin + len(episode),
        }
        for key in self._keys.values():
            row |= {
                f"videos/{key}/chunk_index": 0,
                f"videos/{key}/file_index": 0,
                f"videos/{key}/from_timestamp": begin / self._rate,
                f"videos/{key}/to_timestamp": (begin + len(episode)) / self._rate,
            }
        row |= {f"stats/{key}/{name}": value for key, values in stats.items() for name, value in values.items()}
        return row | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}

    def _write_episodes(self, rows: Sequence[Mapping[str, Any]]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.Table.from_pydict({name: [row[name] for row in rows] for name in rows[0]})
        pq.write_table(table, self._folder / "meta/episodes/chunk-000/file-000.parquet", compression="snappy")

    def _write_tasks(self) -> None:
        """Write the table of tasks; readers expect a pandas frame whose index is the task's text."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        column = {"pandas_type": "int64", "numpy_type": "int64", "metadata": None}
        text = {"pandas_type": "unicode", "numpy_type": "object", "metadata": None}
        pandas = {
            "index_columns": ["task"],
            "column_indexes": [],
            "columns": [
                {"name": "task_index", "field_name": "task_index", **column},
                {"name": "task", "field_name": "task", **text},
            ],
            "creator": {"library": "pyarrow", "version": pa.__version__},
            "pandas_version": "2.0.0",
        }
        table = pa.table({"task_index": pa.array([0], pa.int64()), "task": pa.array([self._task], pa.string())})
        table = table.replace_schema_metadata({b"pandas": json.dumps(pandas).encode()})
        pq.write_table(table, self._folder / "meta/tasks.parquet")

    def _stats(self, episode: _Episode, number: int, begin: int) -> Stats:
        """Return minimum, maximum, mean, standard deviation and count of every feature of an episode."""
        values = {"observation.state": episode.state, "action": episode.action}
        values |= {name: column[:, None] for name, column in self._columns(episode, number, begin).items()}
        stats = {name: _moments(column) for name, column in values.items()}
        for camera, key in self._keys.items():
            pixels = episode.images[camera].reshape(-1, 3) / 255.0
            moments = _moments(pixels, len(episode))
            stats[key] = {
                name: value if name == "count" else [[[channel]] for channel in value]
                for name, value in moments.items()
            }
        return stats


def _feature(values: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    return {"dtype": "float32", "shape": [values.shape[1]], "names": list(names)}


def _vectors(values: np.ndarray) -> Any:
    """Return (k, n) float32 as a column of lists of fixed length."""
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), pa.float32()), values.shape[1])


def _moments(values: np.ndarray, count: int | None = None) -> dict[str, Any]:
    columns = values.astype(float)
    figures = {name: getattr(columns, name)(axis=0).tolist() for name in ("min", "max", "mean", "std")}
    return figures | {"count": [len(values) if count is None else count]}


def _merged(episodes: Sequence[Stats]) -> Stats:
    """Return the statistics of all episodes together, by the law of total variance."""
    merged: Stats = {}
    for key in episodes[0]:
        parts = [stats[key] for stats in episodes]
        count = np.array([part["count"][0] for part in parts], float)
        share = (count / count.sum()).reshape(-1, *[1] * np.ndim(parts[0]["mean"]))
        means = np.array([part["mean"] for part in parts])
        mean = (share * means).sum(axis=0)
        spread = np.array([part["std"] for part in parts]) ** 2 + (means - mean) ** 2
        merged[key] = {
            "min": np.min([part["min"] for part in parts], axis=0).tolist(),
            "max": np.max([part["max"] for part in parts], axis=0).tolist(),
            "mean": mean.tolist(),
            "std": np.sqrt((share * spread).sum(axis=0)).tolist(),
            "count": [int(count.sum())],
        }
    return merged


def _json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomic(path, json.dumps(content, indent=4).encode())
