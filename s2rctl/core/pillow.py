"""Pillow, which comes with the extra ``sim``: a robot computer reads no picture files."""

from typing import Any

from s2rctl.core.errors import MissingEnvironmentError


def load_image() -> Any:
    """Return the module PIL.Image; MissingEnvironmentError where Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingEnvironmentError("pictures need Pillow", "pip install 's2rctl[sim]'") from error
    return Image
