"""CIFAR-10 (Krizhevsky 2009) as pretraining images, read from the archive that the user has on disk.

Only the binary version is read (``cifar-10-binary.tar.gz`` from the data set's page, or the folder it unpacks to): the
Python version is a pickle, and loading a pickle runs what is in it.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.learning.vision.encoder import EncoderSettings
from s2rctl.learning.vision.pretrain import Images

CLASSES = 10
SIDE = 32
_RECORD = 1 + 3 * SIDE * SIDE  # a label, then red, green and blue planes
_TRAIN, _TEST = "data_batch", "test_batch"
_HINT = "download cifar-10-binary.tar.gz and set encoder.cifar10 to it, or use encoder.source=states"


def load(path: Path, settings: EncoderSettings) -> Images:
    """Return the images with one-hot targets (M, 10); the test batch is held out.

    Where the encoder has a depth channel it sees nothing (0). Raises MissingEnvironmentError if the archive is missing
    or damaged, or images of another size are wanted.
    """
    if (settings.height, settings.width) != (SIDE, SIDE):
        raise MissingEnvironmentError(
            f"CIFAR-10 has {SIDE}x{SIDE} pixels, the cameras have {settings.width}x{settings.height}",
            "use encoder.source=states",
        )
    try:
        parts = dict(_batches(path))
    except (OSError, tarfile.TarError, EOFError) as error:
        raise MissingEnvironmentError(f"no readable CIFAR-10 archive at {path}: {error}", _HINT) from error
    train = [content for name, content in sorted(parts.items()) if name.startswith(_TRAIN)]
    test = [content for name, content in parts.items() if name.startswith(_TEST)]
    if not train or not test or any(len(content) % _RECORD for content in (*train, *test)):
        raise MissingEnvironmentError(f"{path} is not the binary version of CIFAR-10", _HINT)
    records = np.frombuffer(b"".join((*train, *test)), np.uint8).reshape(-1, _RECORD)
    if records[:, 0].max() >= CLASSES:
        raise MissingEnvironmentError(f"{path} has labels above {CLASSES - 1}", _HINT)
    rgb = records[:, 1:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    inputs = {"rgb": np.ascontiguousarray(rgb)}
    if settings.channels == 4:
        inputs["depth"] = np.zeros((len(rgb), SIDE, SIDE), np.uint16)
    held_out = np.arange(len(records)) >= sum(len(content) for content in train) // _RECORD
    return Images(inputs, np.eye(CLASSES, dtype=np.float32)[records[:, 0]], held_out)


def cross_entropy(predicted: jax.Array, targets: jax.Array) -> jax.Array:
    """Return the mean cross entropy of logits (N, 10) against one-hot targets (N, 10)."""
    return -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(predicted), axis=-1))


def _batches(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each ``.bin`` file in a folder or an archive."""
    if path.is_dir():
        for file in path.rglob("*.bin"):
            yield file.name, file.read_bytes()
        return
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() and member.name.endswith(".bin") else None
            if content is not None:
                yield Path(member.name).name, content.read()
