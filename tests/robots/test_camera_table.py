"""What every kind of camera keeps: the same call, and an error with a hint when the device is not there."""

import pytest

from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.robots import CAMERAS
from s2rctl.robots.cameras.view import View
from s2rctl.schema.cameras import CameraDevice


@pytest.mark.parametrize("kind", sorted(CAMERAS.rows))
def test_a_camera_that_is_not_there_is_exit_7(kind):
    settings = CameraDevice(kind=kind, device="/dev/there-is-no-such-camera", fovy_deg=60)
    with pytest.raises(MissingEnvironmentError) as caught:
        CAMERAS.load(kind)("eye", settings, View(32, 32, 40.0, None, None))
    assert caught.value.hint


def test_every_kind_can_be_named_in_a_profile():
    kinds = CameraDevice.model_fields["kind"].annotation.__args__
    assert set(kinds) == set(CAMERAS.rows)
