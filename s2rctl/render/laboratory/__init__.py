"""A look that no policy is trained in: published meshes, furnished rooms, and cameras with faults of their own.

Nothing here is in the table of renderers, and nothing that trains may import it: it is the yardstick.
"""

from s2rctl.core.tables import Table

# Each row is a RobotMeshes.
MESHES = Table(
    "robot with published meshes",
    {
        "aloha": "s2rctl.robots.aloha.meshes:MESHES",
        "xarm7": "s2rctl.robots.xarm7.meshes:MESHES",
    },
)
