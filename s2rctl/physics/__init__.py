"""Physics backends behind one protocol; ``factory.make_physics`` chooses and builds one."""

from s2rctl.core.tables import Table

# Each row is a factory (model, worlds, *, substeps, edits=None, poses=False, threads=0, contacts=0) -> Physics.
PHYSICS = Table(
    "physics backend",
    {
        "native": "s2rctl.physics.native:NativePhysics",
        "mjx": "s2rctl.physics.mjx:MjxPhysics",
        "warp": "s2rctl.physics.warp:WarpPhysics",
    },
)
