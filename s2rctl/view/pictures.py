"""Camera pictures as the page shows them: depth beside colour, as elements of HTML."""

import base64
import html
import io
from typing import Any

import numpy as np
from PIL import Image

from s2rctl.core.depth_picture import grey

_SMALL_PX = 40_000
"""Pictures with fewer pixels are shown pixel by pixel, larger ones as JPEG."""
_FIGURE = (
    '<figure style="margin:0.3em 0.8em"><figcaption style="font-size:0.85em">{name}</figcaption>'
    '<img alt="{name}" style="width:100%;{style}" src="data:image/{kind};base64,{content}"></figure>'
)


def with_depth(rgb: np.ndarray | None, depth: np.ndarray | None) -> np.ndarray:
    """Return colour (H, W, 3) uint8 with depth (H, W) in counts beside it, or one alone: near is bright, 0 is black."""
    if depth is None:
        return np.zeros((1, 1, 3), np.uint8) if rgb is None else np.asarray(rgb)
    shown = grey(depth)
    return shown if rgb is None else np.concatenate([rgb, shown], axis=1)


def figure(name: str, picture: np.ndarray) -> str:
    """Return a picture (H, W, 3) uint8 with its name as HTML.

    The picture is inside. Viser's own images are loaded from addresses that it revokes with the next picture: a browser
    that is slower than the pictures come reports an error for each one that it missed.
    """
    small = picture.shape[0] * picture.shape[1] <= _SMALL_PX
    content = io.BytesIO()
    kind, style = ("png", "image-rendering:pixelated") if small else ("jpeg", "")
    Image.fromarray(np.ascontiguousarray(picture)).save(content, format=kind)
    encoded = base64.b64encode(content.getvalue()).decode()
    return _FIGURE.format(name=html.escape(name), style=style, kind=kind, content=encoded)


class Gallery:
    """Pictures by name in a folder of the panel."""

    def __init__(self, server: Any, title: str) -> None:
        self._gui, self._folder = server.gui, server.gui.add_folder(title)
        self._handles: dict[str, Any] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the pictures that are shown."""
        return tuple(self._handles)

    def show(self, name: str, picture: np.ndarray) -> None:
        """Show a picture (H, W, 3) uint8 in the place of the last one of this name."""
        content = figure(name, picture)
        if name in self._handles:
            self._handles[name].content = content
            return
        with self._folder:
            self._handles[name] = self._gui.add_html(content)
