"""What is drawn into the scene beside the bodies: contacts, the workspace, points, and where the cameras look from."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Any

import mujoco
import numpy as np

from s2rctl.core.spatial import from_matrix
from s2rctl.scene.mount import FLIP
from s2rctl.view.moment import Eye

METRES_PER_NEWTON = 0.05
"""Length of a contact's arrow; it ends at ``_LONGEST_M``."""
_LONGEST_M, _LEAST_N = 0.15, 1e-3
_CONTACT, _WITHIN, _LIMITED = (230, 60, 30), (40, 160, 80), (240, 140, 0)
_POINTS = ((30, 120, 240), (220, 40, 160), (20, 170, 170), (150, 90, 220))
_RADIUS_M, _EYE_M = 0.008, 0.05


def contacts_of(model: Any, data: Any) -> np.ndarray:
    """Return the contacts that bear a load as arrows (n, 2, 3) m: from the place along the normal, by its force."""
    arrows, force = [], np.zeros(6)
    for index in range(data.ncon):
        contact = data.contact[index]
        mujoco.mj_contactForce(model, data, index, force)
        if force[0] < _LEAST_N:
            continue
        normal = contact.frame[:3] * min(_LONGEST_M, METRES_PER_NEWTON * force[0])
        arrows.append((contact.pos, contact.pos + normal))
    return np.array(arrows, float).reshape(-1, 2, 3)


def edges_of(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the twelve edges (12, 2, 3) m of a box."""
    corners = [np.where(choice, high, low) for choice in product((False, True), repeat=3)]
    return np.array(
        [(a, b) for i, a in enumerate(corners) for b in corners[i + 1 :] if (np.abs(a - b) > 0).sum() == 1], float
    )


class Markers:
    """The markers of one scene on a Viser server."""

    def __init__(self, server: Any, workspace: tuple[np.ndarray, np.ndarray] | None) -> None:
        self._server = server
        nothing = np.zeros(6).reshape(-1, 2, 3)
        self._contacts = server.scene.add_arrows(
            "/contacts",
            nothing,
            colors=_CONTACT,
            shaft_radius=0.002,
            head_radius=0.005,
            head_length=0.01,
            visible=False,
        )
        self._box = None
        if workspace is not None:
            edges = edges_of(*workspace)
            self._box = server.scene.add_line_segments("/workspace", edges, colors=_WITHIN, thickness=0.0015)
        self._points: dict[str, Any] = {}
        self._eyes: dict[str, Any] = {}
        self._limited = False
        self.with_contacts = True

    def contacts(self, arrows: np.ndarray) -> None:
        """Show the contacts (n, 2, 3) m."""
        shown = bool(len(arrows)) and self.with_contacts
        if shown:
            self._contacts.points = arrows
        if self._contacts.visible != shown:
            self._contacts.visible = shown

    def workspace(self, limited: bool, visible: bool = True) -> None:
        """Show the tool's box: orange where the safety filter changed the command."""
        if self._box is None:
            return
        if limited != self._limited:
            self._limited = limited
            colours = np.array(_LIMITED if limited else _WITHIN, np.uint8)
            self._box.colors = np.broadcast_to(colours, (12, 2, 3))
        if self._box.visible != visible:
            self._box.visible = visible

    def points(self, found: Mapping[str, np.ndarray]) -> None:
        """Show points (3,) m by name; those that are not there any more vanish."""
        for name in _gone(self._points, found):
            self._points.pop(name).remove()
        for number, (name, place) in enumerate(found.items()):
            if name not in self._points:
                path, colour = f"/points/{number}", _POINTS[number % len(_POINTS)]
                self._points[name] = self._server.scene.add_icosphere(path, _RADIUS_M, color=colour, cast_shadow=False)
                self._server.scene.add_label(f"{path}/name", name, position=(0.0, 0.0, _RADIUS_M * (1 + 3 * number)))
            self._points[name].position = np.asarray(place, float)

    def eyes(self, found: Mapping[str, Eye], visible: bool = True) -> None:
        """Show where cameras stand and how much they see."""
        for name in _gone(self._eyes, found):
            self._eyes.pop(name).remove()
        for name, eye in found.items():
            if name not in self._eyes:
                self._eyes[name] = self._server.scene.add_camera_frustum(
                    f"/eyes/{name}",
                    np.deg2rad(eye.fovy_deg),
                    eye.aspect,
                    scale=_EYE_M,
                    thickness=0.001,
                    cast_shadow=False,
                )
            handle = self._eyes[name]
            handle.position, handle.wxyz = eye.position, from_matrix(eye.rotation @ FLIP)  # Viser takes OpenCV's axes
            handle.fov = float(np.deg2rad(eye.fovy_deg))
            if handle.visible != visible:
                handle.visible = visible


def _gone(shown: Mapping[str, Any], found: Iterable[str]) -> list[str]:
    return [name for name in shown if name not in found]
