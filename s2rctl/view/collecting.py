"""The page beside a calibration that is being collected: what the camera saw, and what follows from it so far."""

import time
from typing import Any

import mujoco
import numpy as np
import trimesh

from s2rctl.calibration.board import BoardDetector, board_size, draw_detection
from s2rctl.calibration.intrinsics import FLIP
from s2rctl.calibration.overlay import blend, coverage_plot, ellipsoid_plot
from s2rctl.calibration.rehearse import with_camera
from s2rctl.core.errors import MissingEnvironmentError
from s2rctl.core.spatial import from_matrix, transform
from s2rctl.operations.calibration.work import stand_for
from s2rctl.render.film import Film
from s2rctl.render.layout import model_rgba
from s2rctl.schema.cameras import Intrinsics
from s2rctl.schema.deployment import Board
from s2rctl.schema.profile import Profile
from s2rctl.view.glance import Believed, Glance, detection
from s2rctl.view.markers import Markers
from s2rctl.view.moment import Eye
from s2rctl.view.page import LOCAL, meshes_of, open_server, plain, stand_back, url_of
from s2rctl.view.pictures import Gallery
from s2rctl.view.scene import Scene

MAGNIFIED = 20.0
"""Times that the ellipsoid of the camera's place is drawn larger than it is: millimetres cannot be seen."""


_EVERY_S = 0.2
"""Time between two pictures of what the camera sees; never more than a fifth of the time is spent on them."""


class CollectPage:
    """Shows each view while a calibration is collected; ``board`` has its measured size."""

    def __init__(self, profile: Profile, board: Board, host: str = LOCAL, port: int = 8080) -> None:
        self._stand = stand_for(profile)
        self._board = board
        self._camera = profile.calibration.camera
        self.server = open_server(f"calibrate {self._camera}", host, port)
        self.url = url_of(self.server, host)
        self._words = self.server.gui.add_markdown("waiting for the first view …")
        self._gallery = Gallery(self.server, "Pictures")
        model = self._stand.model
        self._data = mujoco.MjData(model)
        self._scene = Scene(self.server, model, meshes_of(profile.robot.name))
        self._rgba = _without_objects(model)
        self._scene.dress(self._rgba, model.geom_size)
        self._markers = Markers(self.server, self._stand.box)
        width, height = board_size(self._board)
        self._plate = self.server.scene.add_box(
            "/board", color=(250, 250, 250), dimensions=(width, height, 0.002), cast_shadow=False, visible=False
        )
        self._ellipsoid: Any = None
        self._detector, self._next = BoardDetector(self._board), 0.0
        self._at(self._stand.home)
        stand_back(self.server, model, self._data)

    def __call__(self, now: Glance) -> None:
        """Show a view."""
        seen = None if now.corners is None else detection(now.corners)
        with self.server.atomic():
            self._gallery.show("last picture", now.image if seen is None else draw_detection(now.image, seen))
            corners = [*now.taken, *([now.corners] if now.used and now.corners is not None else [])]
            self._gallery.show("coverage", coverage_plot([detection(one) for one in corners], now.lens))
            self._words.content = "  \n".join(f"**{name}**: {plain(text)}" for name, text in _told(now).items())
            if now.reading is not None:
                self._at(now.reading)
                self._place(now.lens, now.believed)
                picture = self._blended(now)
                if picture is not None:
                    self._gallery.show("render over the picture", picture)
            if now.believed is not None:
                plot = ellipsoid_plot(now.believed.covariance, now.believed.scale)
                self._gallery.show("error of the camera's place", plot)

    def see(self, picture: np.ndarray) -> None:
        """Show what the camera sees now (H, W, 3); most pictures are left out, because this takes a while."""
        now = time.monotonic()
        if now < self._next:
            return
        seen = self._detector.detect(picture)
        self._gallery.show("camera now", picture if seen is None else draw_detection(picture, seen))
        self._next = time.monotonic() + max(_EVERY_S, 4 * (time.monotonic() - now))

    def close(self) -> None:
        """Stop serving."""
        self.server.stop()

    def _at(self, reading: np.ndarray) -> None:
        """Bring the robot to a reading (n,)."""
        self._data.qpos[:] = self._stand.qpos(reading)
        mujoco.mj_forward(self._stand.model, self._data)
        self._scene.place(self._data)

    def _camera_in_parent(self, believed: Believed | None) -> np.ndarray:
        return self._stand.nominal_camera() if believed is None else believed.camera

    def _body(self, body: int) -> np.ndarray:
        return transform(self._data.xpos[body].copy(), self._data.xmat[body].reshape(3, 3))

    def _place(self, lens: Intrinsics, believed: Believed | None) -> None:
        """Draw camera and board where they are believed to be, with the ellipsoid of the camera's place."""
        stand = self._stand
        parent, other = (stand.hand, stand.base) if stand.in_hand else (stand.base, stand.hand)
        mounted = self._body(parent) @ self._camera_in_parent(believed)
        fovy = float(np.rad2deg(2 * np.arctan2(lens.height / 2, lens.fy)))
        eye = Eye(mounted[:3, 3], mounted[:3, :3] @ FLIP, fovy, lens.width / lens.height)
        self._markers.eyes({self._camera: eye})
        width, height = board_size(self._board)
        board = stand.nominal_board(self._board) if believed is None else believed.board
        middle = self._body(other) @ board @ transform((width / 2, height / 2, 0.0), np.eye(3))
        self._plate.position, self._plate.wxyz, self._plate.visible = middle[:3, 3], from_matrix(middle[:3, :3]), True
        if believed is None:
            return
        root = np.linalg.cholesky(believed.covariance[:3, :3] * believed.scale)
        ball = trimesh.creation.icosphere(2)
        if self._ellipsoid is not None:
            self._ellipsoid.remove()
        self._ellipsoid = self.server.scene.add_mesh_simple(
            "/ellipsoid", MAGNIFIED * np.asarray(ball.vertices) @ root.T, np.asarray(ball.faces), color=(60, 110, 230),
            opacity=0.5, cast_shadow=False, position=mounted[:3, 3], wxyz=from_matrix(mounted[:3, :3]),
        )  # fmt: skip

    def _blended(self, now: Glance) -> np.ndarray | None:
        """Return the render from the believed camera over the picture; None where nothing can render."""
        model = with_camera(self._stand, self._camera_in_parent(now.believed), now.lens)
        try:
            with Film(model, self._camera, now.lens.width, now.lens.height) as film:
                return blend(now.image, film.frame(np.array(self._data.qpos), geom_rgba=self._rgba))
        except MissingEnvironmentError:
            return None


def _told(now: Glance) -> dict[str, str]:
    words = {
        "views": f"{now.views + int(now.used)} of {now.wanted}",
        "last": "used" if now.used else f"not used: {now.refused}",
    }
    if now.believed is None:
        return words | {"camera": "where the scene has it; five views tell more"}
    axes = np.linalg.eigvalsh(now.believed.covariance[:3, :3]) * now.believed.scale
    halves = " ".join(f"{1000 * value:.2f}" for value in np.sqrt(axes))
    return words | {"95 % ellipsoid": f"half axes {halves} mm, drawn {MAGNIFIED:g} times as large"}


def _without_objects(model: Any) -> np.ndarray:
    """Return the geoms' colours (ngeom, 4) with those of loose bodies invisible: nobody has measured where they are."""
    loose = model.jnt_bodyid[model.jnt_type == mujoco.mjtJoint.mjJNT_FREE]
    rgba = model_rgba(model).astype(float)
    rgba[np.isin(model.geom_bodyid, loose), 3] = 0.0
    return rgba
