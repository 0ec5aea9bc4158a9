"""An encoder comes back from disk as it went, or is refused."""

import numpy as np
import pytest
from safetensors.numpy import save

from s2rctl.core.errors import ArtifactError
from s2rctl.learning.vision.encoder import EncoderSettings
from s2rctl.learning.vision.encoder_files import load_encoder, save_encoder

SETTINGS = EncoderSettings(width=20, height=20, channels=3, layers=(), latent=4)
PARAMS = {"encoder": {"Conv_0": {"kernel": np.ones((3, 3), np.float32)}}, "head": {"bias": np.zeros(4, np.float32)}}


def test_round_trip(tmp_path):
    save_encoder(tmp_path, SETTINGS, PARAMS)
    found = load_encoder(tmp_path, SETTINGS)
    np.testing.assert_array_equal(found["encoder"]["Conv_0"]["kernel"], PARAMS["encoder"]["Conv_0"]["kernel"])
    np.testing.assert_array_equal(found["head"]["bias"], PARAMS["head"]["bias"])


@pytest.mark.parametrize("damage", ["missing", "truncated", "no json", "names", "another shape"])
def test_damage_is_an_artifact_error(tmp_path, damage):
    save_encoder(tmp_path, SETTINGS, PARAMS)
    weights, wanted = tmp_path / "encoder.safetensors", SETTINGS
    if damage == "missing":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:40])
    elif damage == "no json":
        (tmp_path / "encoder.json").write_text("{")
    elif damage == "names":  # one array's name is a folder of another's
        weights.write_bytes(save({"a": np.zeros(1, np.float32), "a/b": np.zeros(1, np.float32)}))
    else:
        wanted = SETTINGS.model_copy(update={"width": 24})
    with pytest.raises(ArtifactError):
        load_encoder(tmp_path, wanted)
