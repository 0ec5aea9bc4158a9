"""Named sensors of the scenes: the only way in which tasks see a world.

Only the kinds that MJX can evaluate are used: joints, frames relative to a body, contact between two geoms.
"""

from collections.abc import Sequence

import mujoco

FINGERS = ("left_finger_top", "left_finger_bottom", "right_finger_top", "right_finger_bottom")
"""Collision geoms of a hand's fingers."""

_SITE = mujoco.mjtObj.mjOBJ_SITE
_BODY = mujoco.mjtObj.mjOBJ_XBODY  # the body's frame; mjOBJ_BODY is the one of its inertia
_SENSOR = mujoco.mjtSensor
_FOUND, _FORCE, _NORMAL = (
    1 << int(mujoco.mjtConDataField.mjCONDATA_FOUND),
    1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE),
    1 << int(mujoco.mjtConDataField.mjCONDATA_NORMAL),
)
_STRONGEST = 2  # contact sensor reduction "maxforce"


def add_joints(spec: mujoco.MjSpec, group: str, prefix: str, joints: Sequence[str]) -> None:
    """Add ``<group>_pos/<joint>`` and ``<group>_vel/<joint>`` for joints named ``prefix`` + joint."""
    for kind, quantity in ((_SENSOR.mjSENS_JOINTPOS, "pos"), (_SENSOR.mjSENS_JOINTVEL, "vel")):
        for joint in joints:
            spec.add_sensor(
                name=f"{group}_{quantity}/{joint}",
                type=kind,
                objtype=mujoco.mjtObj.mjOBJ_JOINT,
                objname=f"{prefix}{joint}",
            )


def add_frame(
    spec: mujoco.MjSpec,
    name: str,
    kind: mujoco.mjtSensor,
    *,
    site: str | None = None,
    body: str | None = None,
    reference_body: str | None = None,
    reference_site: str | None = None,
) -> None:
    """Add a frame sensor of a site or body, expressed in the frame of a reference body or site."""
    spec.add_sensor(
        name=name,
        type=kind,
        objtype=_SITE if site else _BODY,
        objname=site or body,
        reftype=_SITE if reference_site else _BODY,
        refname=reference_site or reference_body,
    )


def add_arm(spec: mujoco.MjSpec, arm: str, joints: Sequence[str]) -> None:
    """Add the signals of the arm ``left`` or ``right``, and what its hand touches of the table."""
    base = f"{arm}/base_link"
    add_joints(spec, f"{arm}_joint", f"{arm}/", joints)
    for side in ("left", "right"):
        tip = f"{arm}/{side}_fingertip"
        add_frame(spec, f"{arm}_fingertip_pos/{side}", _SENSOR.mjSENS_FRAMEPOS, site=tip, reference_body=base)
    add_frame(spec, f"{arm}_gripper_quat", _SENSOR.mjSENS_FRAMEQUAT, site=f"{arm}/gripper", reference_body=base)
    for geom in (*FINGERS, "gripper_base"):
        _add_contact(spec, f"{arm}_table_contact/{geom}", f"{arm}/{geom}", "table", _FOUND)


def add_object(spec: mujoco.MjSpec, name: str, arm: str) -> None:
    """Add the signals of the object ``name`` that belongs to ``arm``, in the frame of that arm's base.

    Each ``<arm>_<name>_contact/<finger>`` has 7 numbers: how many contacts, the force of the strongest one in its own
    frame (N, normal first), and its normal in the world, which points from the finger to the object.
    """
    base = f"{arm}/base_link"
    for kind, quantity in (
        (_SENSOR.mjSENS_FRAMEPOS, "pos"),
        (_SENSOR.mjSENS_FRAMEQUAT, "quat"),
        (_SENSOR.mjSENS_FRAMELINVEL, "linvel"),
        (_SENSOR.mjSENS_FRAMEANGVEL, "angvel"),
    ):
        add_frame(spec, f"{name}_{quantity}", kind, body=name, reference_body=base)
    add_frame(spec, f"{name}_grip_pos", _SENSOR.mjSENS_FRAMEPOS, site=f"{name}_grip", reference_body=base)
    for finger in FINGERS:
        contact = f"{arm}_{name}_contact/{finger}"
        _add_contact(spec, contact, f"{arm}/{finger}", name, _FOUND | _FORCE | _NORMAL)


def _add_contact(spec: mujoco.MjSpec, name: str, geom: str, other: str, data: int) -> None:
    """Add a sensor of the strongest contact between two geoms."""
    spec.add_sensor(
        name=name,
        type=_SENSOR.mjSENS_CONTACT,
        objtype=mujoco.mjtObj.mjOBJ_GEOM,
        objname=geom,
        reftype=mujoco.mjtObj.mjOBJ_GEOM,
        refname=other,
        intprm=[data, _STRONGEST, 1],
    )
