"""Shows a recording: what the cameras saw with the simulated mirror beside it, a contact sheet, and where time went."""

import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from s2rctl.control.recording import Recording, read_recording
from s2rctl.control.timing import QUANTILES
from s2rctl.core.atomic import output_folder, replacing, require_replaceable, write_output
from s2rctl.core.errors import ArtifactError, MissingEnvironmentError
from s2rctl.core.progress import Reporter

WIDTH, HEIGHT = 640, 480
_INSET = (214, 160)  # px, width and height of the mirror beside camera pictures
_MARGIN = 8
_SHEET = (4, 3)  # moments across and down
_ORANGE = (255, 140, 0)
_FIELDS = ("inference", "filter", "send", "sent", "lateness")


def summary(recording: Recording) -> dict[str, Any]:
    """Return what happened in a recording and its timing: p50, p95, p99 and max in ms of everything measured."""
    if not recording.steps:
        raise ArtifactError("the recording contains no steps", "choose a recording of an episode that started")
    t = recording.column("t")
    timing = {f"age_{source}": age * 1e3 for source, age in recording.ages().items()}
    timing |= {name: recording.column(f"{name}_ms") for name in _FIELDS if f"{name}_ms" in recording.steps[0]}
    numbers = np.array([step["step"] for step in recording.steps])
    consecutive = np.diff(numbers) == 1  # where a step is lost, two periods are no long one
    if consecutive.any():
        timing["period"] = np.diff(t)[consecutive] * 1e3
    lasted = float(t[-1] - t[0])
    return {
        "steps": len(t),
        "duration_s": round(lasted, 3),
        "rate_hz": round(float(numbers[-1] - numbers[0]) / lasted, 3) if lasted > 0 else 0.0,
        "whole": recording.whole,
        "lost": recording.lost.as_json() if recording.lost else None,
        "outcome": recording.outcome.get("outcome", "cut off"),
        "reason": recording.outcome.get("reason", "the recorder did not end the file"),
        "interventions": dict(Counter(name for step in recording.steps for name in step["interventions"])),
        "codes": sorted({code for step in recording.steps for code in step["codes"]}),
        "cameras": sorted(recording.frames),
        **({"memory": sorted(recording.steps[0]["memory"])} if "memory" in recording.steps[0] else {}),
        **{key: recording.header[key] for key in ("robot", "profile", "mode", "onnx") if key in recording.header},
        "timing_ms": {name: _quantiles(values) for name, values in timing.items() if np.isfinite(values).any()},
    }


def run(path: Path, folder: Path, reporter: Reporter, *, video: bool) -> dict[str, Any]:
    """Return the summary of a recording; with ``video`` also write ``<name>.mp4`` and ``<name>.png`` into a folder."""
    recording = read_recording(path)
    if recording.lost:
        reporter.note(f"{path.name} is damaged: {recording.lost.text()}")
    data: dict[str, Any] = {"recording": str(path), **summary(recording)}
    if not video:
        return data
    output_folder(folder, "--output")
    film, sheet = folder / f"{path.stem}.mp4", folder / f"{path.stem}.png"
    for target in (film, sheet):
        require_replaceable(target, "--output")
    reporter.start("replay", len(recording.steps), "steps")
    from s2rctl.operations.recordings.mirror import robot_of

    frames = list(_frames(recording, robot_of(recording), reporter))
    rate = data["rate_hz"] or 20.0
    _write_film(film, frames, rate)
    _write_sheet(sheet, frames)
    reporter.finish(f"{film.name} and {sheet.name}")
    return data | {"video": str(film), "contact_sheet": str(sheet)}


def _frames(recording: Recording, robot: str, reporter: Reporter) -> Iterator[np.ndarray]:
    """Yield one picture (HEIGHT, WIDTH, 3) per step."""
    from s2rctl.evaluation.film import compose
    from s2rctl.operations.recordings.mirror import Mirror
    from s2rctl.render.film import Film, viewer_of

    mirror = Mirror(robot)
    cameras = sorted(recording.frames)
    size = _INSET if cameras else (WIDTH, HEIGHT)
    joints, t = recording.column("joint_pos"), recording.column("t")
    with Film(mirror.model, viewer_of(mirror.model), *size) as film:
        for number, step in enumerate(recording.steps):
            picture = film.frame(mirror.qpos(joints[number]), geom_rgba=mirror.rgba)
            if cameras:
                seen = [recording.frame_at(camera, t[number]) for camera in cameras]
                picture = compose(_mosaic([frame.rgb for frame in seen if frame is not None]), [picture])
            if step["interventions"]:
                picture[:4] = _ORANGE  # the filter changed the action
            yield picture
            reporter.update(number + 1, {})


def _mosaic(images: list[np.ndarray]) -> np.ndarray:
    """Return a black picture (HEIGHT, WIDTH, 3) with images side by side at its top, as large as they fit."""
    from s2rctl.evaluation.film import enlarge

    canvas = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    if not images:
        return canvas
    room = (WIDTH - _MARGIN * (len(images) + 1)) // len(images)
    left = _MARGIN
    for image in images:
        tall, wide = image.shape[:2]
        factor = max(1, min(room // wide, (HEIGHT - 2 * _MARGIN) // tall))
        step = max(1, -(-wide // room), -(-tall // (HEIGHT - 2 * _MARGIN)))  # larger than the canvas: every n-th pixel
        big = enlarge(image[::step, ::step], factor)
        canvas[_MARGIN : _MARGIN + big.shape[0], left : left + big.shape[1]] = big
        left += big.shape[1] + _MARGIN
    return canvas


def _write_film(path: Path, frames: list[np.ndarray], rate_hz: float) -> None:
    from s2rctl.evaluation.film import write_mp4

    with replacing(path, "--output") as temporary:
        write_mp4(temporary, frames, WIDTH, HEIGHT, rate_hz)


def _write_sheet(path: Path, frames: list[np.ndarray]) -> None:
    """Write moments at equal distances, first and last among them, at half size."""
    try:
        from matplotlib.image import imsave
    except ImportError as error:
        raise MissingEnvironmentError("contact sheets need matplotlib", "pip install 's2rctl[sim]'") from error
    across, down = _SHEET
    chosen = np.linspace(0, len(frames) - 1, across * down).round().astype(int)
    small = [frames[index][::2, ::2] for index in chosen]
    rows = [np.concatenate(small[row * across : (row + 1) * across], axis=1) for row in range(down)]
    content = io.BytesIO()
    imsave(content, np.concatenate(rows, axis=0), format="png")
    write_output(path, content.getvalue(), "--output")


def _quantiles(values: np.ndarray) -> dict[str, float]:
    p50, p95, p99, top = (round(float(value), 3) for value in np.nanquantile(values, QUANTILES))
    return {"p50": p50, "p95": p95, "p99": p99, "max": top}
