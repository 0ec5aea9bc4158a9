"""Where fields of older profiles stand now: named in errors for people's files, applied to profiles in manifests."""

import copy
from collections.abc import Mapping
from typing import Any

_TASK = ("episode_steps", "delays", "noise", "rewards", "tracking")
_REACH = ("episode_steps", "delays", "planner", "threshold_m")

MOVED: Mapping[str, str] = {
    **{f"teacher.pick.{name}": f"tasks.pick.{name}" for name in _TASK},
    **{f"teacher.insert.{name}": f"tasks.insertion.{name}" for name in _TASK},
    **{f"reach.{name}": f"tasks.reach.{name}" for name in _REACH},
    "reach.action_scale_m": "tasks.reach.action_scale",
    "distill.gripper_poses": "distill.hand_poses",
    "distill.guided": "distill.teacher_prefix",
    "distill.fresh_looks": "distill.resample_appearance",
    "reach.fresh_looks": "reach.resample_appearance",
}
"""Old dotted path -> new one."""
_OTHER_ROBOTS: Mapping[str, tuple[str, ...]] = {
    "aloha": ("address", "tool_acceleration"),
    "xarm7": ("ports", "gripper", "gripper_range_rad", "gripper_current_ma"),
}
"""Fields that older resolved profiles carried for robots that have no such thing."""


def moved_to(path: str) -> str | None:
    """Return where the field at an old dotted path, or the one around it, stands now."""
    for old, new in MOVED.items():
        if path == old or path.startswith(f"{old}."):
            return new + path[len(old) :]
    return None


def upgraded(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resolved profile of an artifact's manifest in today's shape; one of today's is returned as it is."""
    new: dict[str, Any] = copy.deepcopy(dict(profile))
    for old, path in MOVED.items():
        *parents, name = old.split(".")
        node: Any = new
        for part in parents:
            node = node.get(part) if isinstance(node, dict) else None
        if isinstance(node, dict) and name in node:
            _put(new, path.split("."), node.pop(name))
    robot = new.get("robot")
    if isinstance(robot, dict):
        for name in _OTHER_ROBOTS.get(str(robot.get("name")), ()):
            robot.pop(name, None)
    return new


def _put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):  # a manifest from outside: validation says what is wrong there
            return
    tree.setdefault(path[-1], value)
