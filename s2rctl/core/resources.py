"""Where profiles and assets are: the top of a checkout, or inside the installed package."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def data_folder(name: str) -> Path:
    """Return the folder ``profiles`` or ``assets`` that belongs to this installation."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def pretrained() -> dict[str, Path]:
    """Return the archives of pretrained artifacts that came with this installation, by name."""
    return {path.stem: path for path in sorted((data_folder("assets") / "pretrained").glob("*.tar"))}
