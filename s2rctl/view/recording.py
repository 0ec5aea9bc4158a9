"""A recording on the page, to be scrubbed; one that is still being written is followed."""

from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from s2rctl.control.recording import Recording, read_recording
from s2rctl.core.errors import ArtifactError, UsageError
from s2rctl.operations.recordings.mirror import Mirror, rate_of, robot_of
from s2rctl.schema.deployment import Safety
from s2rctl.schema.tensors import POSITION
from s2rctl.view.moment import Look, Moment
from s2rctl.view.pictures import with_depth

SUFFIX = ".mcap"


def newest(path: Path) -> Path:
    """Return a recording, or the newest one of a folder; UsageError where there is none."""
    if not path.is_dir():
        return path
    found = sorted(path.glob(f"*{SUFFIX}"), key=lambda file: file.stat().st_mtime_ns)
    if not found:
        raise UsageError(f"there is no recording in {path}", "recordings are the .mcap files of deploy")
    return found[-1]


class Playback:
    """Implements ``Show``: the recorded joints in the robot's scene, without the objects, which nobody measured.

    Of a folder the newest recording is shown, and the next one as soon as it is there: a rehearsal can be watched.
    """

    def __init__(self, path: Path, safety: Safety | None = None) -> None:
        """``safety`` are limits to show the workspace of. Raises what ``read_recording`` and ``Mirror`` raise."""
        self._place, self._path = path, newest(path)
        self._recording = _with_steps(read_recording(self._path), self._path)
        self._stamp, self._joints = _stamp(self._path), self._recording.column("joint_pos")
        self.robot, self.period_s = robot_of(self._recording), 1.0 / rate_of(self._recording)
        self._mirror = Mirror(self.robot)
        self.model = self._mirror.model
        self.data = mujoco.MjData(self.model)
        low, high = (safety.workspace_low, safety.workspace_high) if safety is not None else (None, None)
        self.workspace = None if low is None or high is None else (np.array(low), np.array(high))
        self._at = 0

    @property
    def title(self) -> str:
        """What is shown."""
        return f"{self._path.name}, {self._recording.header.get('mode', 'recorded')}"

    @property
    def profile(self) -> str:
        """Name of the profile that it was recorded with, empty where it does not say."""
        return self._recording.header.get("profile", "")

    @property
    def length(self) -> int:
        """Recorded steps so far."""
        return len(self._recording.steps)

    @property
    def step(self) -> int:
        """The step that is shown."""
        return self._at

    def begin(self) -> Moment:
        """Return the first step; the newest one where the recording is being written, or was cut off."""
        return self.seek(0 if self._recording.whole else self.length - 1)

    def advance(self) -> Moment:
        """Return the next step; the last one again where there is none yet."""
        return self.seek(self._at + 1)

    def seek(self, step: int) -> Moment:
        """Return one step, the nearest that there is."""
        recording = self._recording
        self._at = min(max(step, 0), self.length - 1)
        values: dict[str, Any] = recording.steps[self._at]
        joints = self._joints[self._at]
        self.data.qpos[:] = self._mirror.qpos(joints)
        self.data.ctrl[:] = self._mirror.ctrl(joints)
        mujoco.mj_forward(self.model, self.data)
        words = {
            "step": f"{values['step']} of {self.length - 1}, {values['t'] - recording.steps[0]['t']:.2f} s",
            "filter": ", ".join(values["interventions"]) or "nothing changed",
        }
        words |= {"codes": ", ".join(values["codes"])} if values["codes"] else {}
        words |= _outcome(recording) if self._at == self.length - 1 else {}
        seen = {camera: recording.frame_at(camera, values["t"]) for camera in sorted(recording.frames)}
        pictures = {name: with_depth(frame.rgb, frame.depth) for name, frame in seen.items() if frame is not None}
        return Moment(
            words, pictures, _points(values), look=Look(self._mirror.rgba, np.array(self.model.geom_size)),
            limited=bool(values["interventions"]), step=self._at, last=self._at == self.length - 1,
        )  # fmt: skip

    def refresh(self) -> bool:
        """Read what was written since; return whether there is something new. Another recording begins at its start."""
        path = newest(self._place)
        stamp = _stamp(path)
        if (path, stamp) == (self._path, self._stamp):
            return False
        try:
            found = _with_steps(read_recording(path), path)
        except ArtifactError:  # it has only just been begun
            return False
        if path != self._path:
            self._at = -1
        self._path, self._stamp, self._recording, self._joints = path, stamp, found, found.column("joint_pos")
        return True


def _with_steps(recording: Recording, path: Path) -> Recording:
    if not recording.steps:
        raise ArtifactError(f"{path.name} contains no steps", "choose a recording of an episode that started")
    return recording


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _outcome(recording: Recording) -> dict[str, str]:
    if not recording.whole:
        return {"outcome": "not over yet, or cut off"}
    reason = recording.outcome.get("reason", "")
    return {"outcome": f"{recording.outcome.get('outcome', '')}" + (f": {reason}" if reason else "")}


def _points(values: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return where the policy saw its tool, (3,) m by name; none of a policy that does not tell."""
    try:
        found = np.array((values.get("outputs") or {}).get(POSITION, ()), float).ravel()
    except (TypeError, ValueError):  # a recording may hold anything
        return {}
    return {f"estimate: {POSITION}": found} if found.shape == (3,) and np.isfinite(found).all() else {}
