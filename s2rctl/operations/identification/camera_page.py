"""What was found of cameras as pictures and as a page: one file with everything in it."""

import base64
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from s2rctl.core.atomic import write_atomic
from s2rctl.evaluation.templates import render
from s2rctl.identification.camera.clip import Clip
from s2rctl.schema.camera_faults import NEVER_TOLD, CameraFaults, CameraFigure, CameraIdentification

PAGE = "report.html"
_MOST_POINTS = 4000


def draw_camera(path: Path, clip: Clip, found: CameraFaults) -> Path:
    """Draw brightness over time, what depth usually is, how often it is lost, and that against the step nearby."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 2.8 if clip.depth is None or clip.rgb is None else 5.6), layout="constrained")
    rows = [draw for draw, has in ((_colour_row, clip.rgb is not None), (_depth_row, clip.depth is not None)) if has]
    grid = figure.subplots(len(rows), 3, squeeze=False)
    for draw, axes in zip(rows, grid, strict=True):
        draw(axes, clip, found)
    figure.savefig(path, dpi=110)
    return path


def _colour_row(axes: np.ndarray, clip: Clip, found: CameraFaults) -> None:
    """Draw the mean picture, the brightness of frames, and the deviation of each pixel."""
    assert clip.rgb is not None
    values = clip.rgb.astype(np.float32)
    mean = values.mean(axis=0)
    gains = np.einsum("nhwc,hwc->n", values, mean) / max(float((mean**2).sum()), 1e-9)
    axes[0].imshow(mean.astype(np.uint8))
    _titled(axes[0], "mean picture", False)
    axes[1].plot(gains / gains.mean(), linewidth=0.9, color="tab:blue")
    brightness = found.figure("brightness")
    if brightness is not None and brightness.told:
        for side in (-brightness.value, brightness.value):
            axes[1].axhline(1.0 + side, color="tab:orange", linewidth=1.0)
    _titled(axes[1], "brightness of each frame, and the range found", True)
    axes[1].set_xlabel("frame", fontsize=8)
    rest = (values - gains[:, None, None, None] * mean).std(axis=0).mean(axis=2)
    image = axes[2].imshow(rest, cmap="viridis")
    axes[2].figure.colorbar(image, ax=axes[2])
    _titled(axes[2], "noise of each pixel, grey levels", False)


def _depth_row(axes: np.ndarray, clip: Clip, found: CameraFaults) -> None:
    """Draw what depth usually is, how often it is lost, and that against the largest step to a neighbour."""
    assert clip.depth is not None
    pictures = clip.depth[clip.depth.any(axis=(1, 2))].astype(np.float32) * clip.unit
    lost = (pictures == 0).mean(axis=0) if len(pictures) else np.ones(clip.size)
    seen = np.where(pictures > 0, pictures, np.nan)
    usual = np.full(clip.size, np.nan)
    known = (lost < 1.0) if len(pictures) else np.zeros(clip.size, bool)
    usual[known] = np.nanmedian(seen[:, known], axis=0)
    for one, (values, title, colours) in zip(
        axes,
        ((usual, "usual depth, m", "viridis_r"), (lost, "share of frames in which it is lost", "magma")),
        strict=False,
    ):
        image = one.imshow(values, cmap=colours)
        one.figure.colorbar(image, ax=one)
        _titled(one, title, False)
    step = np.hypot(np.diff(usual, axis=0, append=usual[-1:]), np.diff(usual, axis=1, append=usual[:, -1:])).ravel()
    shown = np.flatnonzero(np.isfinite(step))[:_MOST_POINTS]
    axes[2].scatter(step[shown], lost.ravel()[shown], s=4, color="tab:blue", alpha=0.5)
    gradient = found.figure("edge_gradient")
    if gradient is not None and gradient.told:
        axes[2].axvspan(gradient.low, max(gradient.high, gradient.low + 1e-4), color="tab:orange", alpha=0.4)
    _titled(axes[2], "loss against the step (band: least step)", True)
    axes[2].set_xlabel("m/px", fontsize=8)


def _titled(axes: object, title: str, ticks: bool) -> None:
    axes.set_title(title, fontsize=8, loc="left")  # type: ignore[attr-defined]
    axes.tick_params(labelsize=7)  # type: ignore[attr-defined]
    if ticks:
        axes.grid(alpha=0.3)  # type: ignore[attr-defined]
    else:
        axes.set_xticks([])  # type: ignore[attr-defined]
        axes.set_yticks([])  # type: ignore[attr-defined]


def write_page(folder: Path, found: CameraIdentification, files: Mapping[str, Path]) -> Path:
    """Write ``report.html`` into a folder and return its path; ``files`` are the cameras' pictures by name."""
    cameras = []
    for camera in found.cameras:
        picture = base64.b64encode(files[f"{camera.camera}.png"].read_bytes()).decode()
        cameras.append(
            {
                "name": camera.camera,
                "about": about(camera),
                "picture": f"data:image/png;base64,{picture}",
                "figures": [row_of(one) for one in camera.figures],
            }
        )
    page = render(
        "cameras",
        title=f"Cameras of the {found.robot}",
        about=f"{time.strftime('%Y-%m-%d %H:%M', time.localtime(found.made_at))}, from {', '.join(found.sources)}",
        cameras=cameras,
        never=sorted(NEVER_TOLD.items()),
    )
    write_atomic(folder / PAGE, page.encode())
    return folder / PAGE


def about(camera: CameraFaults) -> str:
    """Return in words what a camera's figures are from."""
    parts = [
        f"{count} {name}"
        for count, name in (
            (camera.colour_frames, "colour pictures"),
            (camera.depth_frames, "depth pictures"),
            (camera.flat_frames, "flat pictures"),
        )
        if count
    ]
    parts += [f"{camera.repeated} repeated ones omitted"] if camera.repeated else []
    parts += [f"{camera.never:.0%} of the pixels never have depth and say nothing"] if camera.never else []
    return f"{camera.width} x {camera.height}: {', '.join(parts)}"


def row_of(one: CameraFigure) -> tuple[str, str, str, str, str]:
    """Return a figure as a row: what it is, value, interval, unit, and what to know of it."""
    meaning = one.meaning
    if not one.told:
        return meaning.words, "not told", "", meaning.unit, one.why
    value, low, high = (f"{each:.0f}" if each >= 1e4 else f"{each:.4g}" for each in (one.value, one.low, one.high))
    return meaning.words, value, f"{low} to {high}", meaning.unit, one.why
