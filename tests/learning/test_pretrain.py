import tarfile
from pathlib import Path

import jax
import numpy as np
import pytest

from s2rctl.core.errors import Interrupted, MissingEnvironmentError
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.learning.checkpoint import Checkpoints
from s2rctl.learning.vision import cifar, pretrain
from s2rctl.learning.vision.encoder import Size, settings_for
from s2rctl.learning.vision.preprocess import Camera
from s2rctl.schema.learning import Encoder

SIZE = 20
CAMERA = Camera(name="side", width=SIZE, height=SIZE)
SETTINGS = settings_for(Size(SIZE, SIZE), 3, 16)
BUDGET = Encoder(images=400, batch=32, passes=4, latent=16)


def brightness() -> pretrain.Images:
    """Images whose left and right halves have two brightnesses, which are to be told."""
    generator = np.random.default_rng(0)
    told = generator.uniform(-1, 1, (400, 2)).astype(np.float32)
    rgb = np.repeat((127 + 100 * told)[:, None, :, None], SIZE, 1).repeat(SIZE // 2, 2).repeat(3, 3)
    return pretrain.Images({"rgb": rgb.astype(np.uint8)}, told, np.arange(400) >= 360)


def fit(folder: Path, interrupt: Interrupt | None = None) -> pretrain.Fit:
    flag = interrupt or Interrupt()
    return pretrain.fit(brightness(), CAMERA, SETTINGS, BUDGET, 1, Checkpoints(folder), NullReporter(), flag)


class StopAt(Interrupt):
    """Asks to stop at the n-th look."""

    def __init__(self, looks: int) -> None:
        self._looks = looks

    @property
    def requested(self) -> bool:
        self._looks -= 1
        return self._looks < 0


def test_a_resumed_fit_equals_an_uninterrupted_one_and_learns(tmp_path):
    whole = fit(tmp_path / "whole")
    told = brightness().targets[brightness().held_out]
    assert np.abs(whole.predicted - told).mean() < 0.1
    with pytest.raises(Interrupted):
        fit(tmp_path / "halved", StopAt(30))
    assert 0 < Checkpoints(tmp_path / "halved").latest() < 44
    resumed = fit(tmp_path / "halved")
    for one, other in zip(jax.tree.leaves(resumed.params), jax.tree.leaves(whole.params), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def archive(folder: Path, records: int = 20) -> Path:
    """Write a small archive in the layout of the binary version."""
    generator = np.random.default_rng(0)
    place = folder / "cifar-10-batches-bin"
    place.mkdir(parents=True)
    for name in ("data_batch_1", "data_batch_2", "test_batch"):
        labels = np.arange(records) % 10
        content = np.concatenate([labels[:, None], generator.integers(0, 256, (records, 3072))], axis=1)
        (place / f"{name}.bin").write_bytes(content.astype(np.uint8).tobytes())
    (place / "batches.meta.txt").write_text("airplane")
    with tarfile.open(folder / "cifar.tar.gz", "w:gz") as packed:
        packed.add(place, place.name)
    return folder / "cifar.tar.gz"


def test_cifar_is_read_from_archive_and_folder_with_the_test_batch_held_out(tmp_path):
    path = archive(tmp_path)
    shape = settings_for(Size(32, 32), 4, 16)
    packed, unpacked = cifar.load(path, shape), cifar.load(tmp_path / "cifar-10-batches-bin", shape)
    np.testing.assert_array_equal(packed.inputs["rgb"], unpacked.inputs["rgb"])
    assert packed.inputs["rgb"].shape == (60, 32, 32, 3) and packed.inputs["depth"].shape == (60, 32, 32)
    np.testing.assert_array_equal(packed.targets.argmax(axis=1)[:20], np.arange(20) % 10)
    np.testing.assert_array_equal(packed.held_out, np.arange(60) >= 40)
    raw = np.frombuffer((tmp_path / "cifar-10-batches-bin" / "data_batch_1.bin").read_bytes(), np.uint8)
    assert packed.inputs["rgb"][0, 0, 1, 2] == raw[1 + 2 * 1024 + 1], "third channel of the second pixel"


@pytest.mark.parametrize("fault", ["missing", "python", "cut", "size"])
def test_what_is_not_the_binary_archive_is_refused_with_a_hint(tmp_path, fault):
    shape = settings_for(Size(32, 32), 3, 16)
    path = archive(tmp_path)
    batch = tmp_path / "cifar-10-batches-bin" / "data_batch_1.bin"
    if fault == "missing":
        path = tmp_path / "nothing.tar.gz"
    elif fault == "python":
        path = tmp_path / "python"
        path.mkdir()
        (path / "data_batch_1").write_bytes(b"a pickle")
    elif fault == "cut":
        batch.write_bytes(batch.read_bytes()[:-5])
        path = batch.parent
    else:
        shape = SETTINGS
    with pytest.raises(MissingEnvironmentError) as caught:
        cifar.load(path, shape)
    assert caught.value.hint


def test_cross_entropy_is_that_of_the_right_class():
    logits = np.log(np.array([[0.7, 0.2, 0.1]], np.float32))
    assert float(cifar.cross_entropy(logits, np.array([[0.0, 1.0, 0.0]]))) == pytest.approx(-np.log(0.2), rel=1e-5)
