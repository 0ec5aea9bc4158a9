"""Batch renderers behind one protocol."""

from s2rctl.core.tables import Table

# Each row is a factory (model, cameras: tuple[str, ...], width, height, *, shadows=False) -> Renderer.
RENDERERS = Table(
    "renderer",
    {
        "raycast": "s2rctl.render.raycast:RaycastRenderer",
        "gl": "s2rctl.render.gl:GlRenderer",
        "warp": "s2rctl.render.warp:WarpRenderer",
        "madrona": "s2rctl.render.madrona:MadronaRenderer",
    },
)
