"""A pretrained encoder on disk: ``encoder.safetensors`` (encoder and head) and ``encoder.json`` (its shape)."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import ArtifactError
from s2rctl.learning.policy_files import flatten, unflatten
from s2rctl.learning.vision.encoder import EncoderSettings

WEIGHTS = "encoder.safetensors"
DESCRIPTION = "encoder.json"


def save_encoder(folder: Path, settings: EncoderSettings, params: Any) -> dict[str, Path]:
    """Write ``params`` (``encoder`` and ``head``) and return the files by name."""
    arrays = {name: np.ascontiguousarray(value) for name, value in flatten(params).items()}
    write_atomic(folder / WEIGHTS, save(arrays))
    write_atomic(folder / DESCRIPTION, settings.model_dump_json(indent=2).encode())
    return {name: folder / name for name in (WEIGHTS, DESCRIPTION)}


def load_encoder(folder: Path, settings: EncoderSettings) -> Any:
    """Return the parameters; ArtifactError if the files are damaged or belong to another shape than ``settings``."""
    try:
        found = EncoderSettings.model_validate_json((folder / DESCRIPTION).read_text(encoding="utf-8"))
        arrays = unflatten(load((folder / WEIGHTS).read_bytes()))
    except (OSError, ValueError, ValidationError, SafetensorError) as error:
        raise ArtifactError(f"{folder.name} has no readable encoder: {error}", "s2rctl artifacts verify") from error
    if found != settings:
        raise ArtifactError(
            f"the encoder was made for {found.width}x{found.height}x{found.channels} and a latent of {found.latent}, "
            f"the profile asks for {settings.width}x{settings.height}x{settings.channels} and {settings.latent}",
            "run the pipeline again from the encoder's stage",
        )
    return jax.tree.map(jnp.asarray, arrays)
