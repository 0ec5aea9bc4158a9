"""The page: a Viser server with the scene, what is drawn into it, the pictures and the controls of one show."""

import importlib.util
from typing import Any

import mujoco
import numpy as np

from s2rctl.core.errors import MissingEnvironmentError, S2rError
from s2rctl.core.listener import Listener
from s2rctl.render.film import viewer_of
from s2rctl.render.laboratory import MESHES
from s2rctl.render.laboratory.meshes import Meshes, load_meshes
from s2rctl.view.controls import Controls
from s2rctl.view.markers import Markers, contacts_of
from s2rctl.view.moment import Moment, Show
from s2rctl.view.pictures import Gallery
from s2rctl.view.scene import Scene

LOCAL = "127.0.0.1"
"""Only this computer, unless somebody wants more: whoever opens the page can use its buttons."""
PORT = 8080


def require_viser() -> None:
    """Raise MissingEnvironmentError where Viser is not installed."""
    if importlib.util.find_spec("viser") is None:
        raise MissingEnvironmentError("this command needs the Python package 'viser'", "pip install 's2rctl[view]'")


def open_server(title: str, host: str, port: int) -> Any:
    """Return a Viser server on an address; on the next free port where this one is taken.

    Raises MissingEnvironmentError where it cannot listen, or where Viser is not installed.
    """
    require_viser()
    import viser

    try:
        Listener(host, 0, 1).close()  # Viser itself would wait for ever
    except OSError as error:
        raise MissingEnvironmentError(f"cannot listen on {host}: {error.strerror}", "choose another --host") from error
    server = viser.ViserServer(host=host, port=port, label=title, verbose=False)
    server.gui.configure_theme(
        control_layout="collapsible", control_width="medium", show_logo=False, show_share_button=False
    )
    # Without a GPU the environment map takes eight times as long to draw as all the rest (docs/view.md).
    server.scene.configure_environment_map(None)
    server.scene.configure_default_lights(False)
    server.scene.add_light_ambient("/lights/ambient", intensity=1.2)
    server.scene.add_light_directional("/lights/sun", intensity=2.0, position=(1.0, -1.0, 2.0))
    return server


def meshes_of(robot: str) -> Meshes | None:
    """Return the maker's meshes of a robot where they are installed."""
    if robot not in MESHES.names():
        return None
    try:
        return load_meshes(MESHES.load(robot))
    except S2rError:
        return None


def url_of(server: Any, host: str) -> str:
    """Return the address at which a browser finds the page."""
    return f"http://{'localhost' if host in (LOCAL, '0.0.0.0') else host}:{server.get_port()}"


def stand_back(server: Any, model: Any, data: Any) -> None:
    """Put the person where the scene's own camera for films is, in a scene without cameras before its middle."""
    camera, middle = server.initial_camera, np.array(model.stat.center)
    if not model.ncam:
        camera.position, camera.look_at = tuple(middle + model.stat.extent * np.array([0.6, -0.9, 0.6])), tuple(middle)
        return
    number = model.camera(viewer_of(model)).id
    mujoco.mj_forward(model, data)
    place, ahead = data.cam_xpos[number], -data.cam_xmat[number].reshape(3, 3)[:, 2]
    away = max(0.3, float((middle - place) @ ahead))
    camera.position, camera.look_at = tuple(place), tuple(place + away * ahead)
    camera.fov = float(np.deg2rad(model.cam_fovy[number]))


class Page:
    """One show in the browser."""

    def __init__(self, show: Show, host: str = LOCAL, port: int = PORT, meshes: Meshes | None = None) -> None:
        self.show = show
        self.server = open_server(show.title, host, port)
        self.url = url_of(self.server, host)
        self._words = self.server.gui.add_markdown(f"**{show.title}**\n\ncompiling …")
        self.scene = Scene(self.server, show.model, meshes)
        self._markers = Markers(self.server, show.workspace)
        self._gallery = Gallery(self.server, "Cameras")
        self.controls = Controls(self.server, show)
        with self.server.gui.add_folder("Show"):
            self._wanted = {
                name: self.server.gui.add_checkbox(name, initial_value=True)
                for name in ("contacts", "cameras in the scene", *(["workspace"] if show.workspace else []))
            }
            if self.scene.has_meshes:
                box = self.server.gui.add_checkbox("maker's meshes", initial_value=True)
                box.on_update(lambda _: self.controls.ask(lambda: self.scene.show_meshes(box.value)))
        stand_back(self.server, show.model, show.data)

    def draw(self, moment: Moment, figures: str = "") -> None:
        """Show a moment; ``figures`` stand below its words."""
        show, markers = self.show, self._markers
        with self.server.atomic():
            if moment.look is not None:
                self.scene.dress(moment.look.rgba, moment.look.size)
            self.scene.place(show.data)
            markers.with_contacts = self._wanted["contacts"].value
            arrows = contacts_of(show.model, show.data)
            markers.contacts(arrows)
            markers.points(moment.points)
            markers.eyes(moment.eyes, self._wanted["cameras in the scene"].value)
            markers.workspace(moment.limited, "workspace" not in self._wanted or self._wanted["workspace"].value)
            for name, picture in moment.pictures.items():
                self._gallery.show(name, picture)
            words = {**moment.words, "contacts": str(len(arrows))}
            lines = [f"{name}: {plain(text)}" for name, text in words.items()]
            self._words.content = "  \n".join([f"**{plain(show.title)}**", *lines, figures])
            self.controls.follow(moment)

    def close(self) -> None:
        """Stop serving."""
        self.server.stop()


def plain(text: str) -> str:
    """Return text that Markdown and HTML leave as it is: a recording may hold anything."""
    return "".join(f"&#{ord(letter)};" if letter in "<>&*_`[]()#!|\\~" else letter for letter in text[:500])
