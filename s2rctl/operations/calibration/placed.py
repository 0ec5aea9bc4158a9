"""Whether a policy bears a camera that was screwed on by hand, or needs it measured before anything moves."""

from s2rctl.core.errors import SafetyStop
from s2rctl.schema.contract import Contract
from s2rctl.schema.profile import Profile

PLACED_M, PLACED_DEG = 0.004, 2.0
"""How far off a camera is at least that nobody measured: on a printed part, behind links with play."""


def require_measured(contract: Contract, profile: Profile) -> None:
    """Raise SafetyStop where a policy knows a camera only nearer to nominal than it is placed by hand.

    Unless the profile names a calibration of it: then the policy was evaluated where that says that the camera is.
    """
    measured = {camera.name for camera in profile.vision.cameras if camera.mount is not None}
    for camera in contract.cameras:
        near, turned = max(camera.position_range_m), camera.rotation_range_deg
        if camera.name not in measured and (near < PLACED_M or turned < PLACED_DEG):
            raise SafetyStop(
                f"the policy was trained with '{camera.name}' within {1e3 * near:g} mm and {turned:g} deg of where the "
                "profile has it, and nobody has measured where it is",
                f"s2rctl calibrate-camera -p {profile.name} --mode live --arm --every-camera   (then its apply)",
            )
