"""Scenes: arena, robot, props and named sensors composed into one MuJoCo model."""

from s2rctl.core.tables import Table

# Each row is a function (timestep: float) -> mujoco.MjModel. One that also takes ``movable: bool`` offers the axes of
# dynamics that need ``pieces.make_movable``.
SCENES = Table(
    "scene",
    {
        "pick": "s2rctl.scene.aloha:build_pick",
        "insertion": "s2rctl.scene.aloha:build_insertion",
        "reach": "s2rctl.scene.xarm7:build_reach",
    },
    group="s2rctl.scenes",
    fits=callable,
)
