"""The text of a profile: read, merged with what it extends, validated; what is valid survives its manifest."""

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from s2rctl.schema.load import load_profile, load_resolved
from tests.fuzz.box import Box
from tests.fuzz.harness import Target, call
from tests.fuzz.mutate import Chooser, at_path, edit_tree, pick, places

SMALL = b"""\
name: small
system: xarm7-reach
robot: {name: xarm7}
vision: {cameras: [{name: side_cam, width: 84, height: 84}]}
calibration: {camera: side_cam}
"""
CHILD = b"""\
# a comment
extends: small.yaml
name: child
seed: 7
reach: {worlds: 32, steps: 2_000, hidden: [64, 64]}
deploy:
  safety: {position_gap_m: null, workspace_low: [0.1, -0.4, 0.02], workspace_high: [0.7, 0.4, 0.7]}
  rehearsal: {episodes: 1, latency_s: [0.0, 0.01]}
vision:
  cameras:
  - {name: side_cam, width: 84, height: 84, depth_range_m: [0.3, 3.0]}
calibration: &anchor
  camera: side_cam
  board: {columns: 7, rows: 5, square_m: 0.03, marker_m: 0.022}
"""
ALOHA = b"""\
name: small-aloha
system: aloha
robot: {name: aloha, ports: {left: /dev/left}}
vision:
  cameras:
  - {name: wrist_cam_left, width: 32, height: 32, depth: true, depth_range_m: [0.0, 0.4]}
  - {name: wrist_cam_right, width: 32, height: 32, depth: true, depth_range_m: [0.0, 0.4]}
calibration: {camera: wrist_cam_left, poses: 8}
simulation: {substeps: 10, timestep_s: 0.005}
distill: {worlds: 8}
"""


SEEDS = (SMALL, CHILD, ALOHA)


def shape(choose: Chooser, data: bytes) -> bytes:
    """Change a part of the tree, or put in any field that the schema has, changed or not."""
    try:
        tree = yaml.load(data, yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader)
        if choose.below(2):
            _graft(choose, tree, pick(choose, complete()))
        else:
            tree = edit_tree(choose, tree)
        flow = (None, True, False)[choose.below(3)]
        text = yaml.safe_dump(tree, allow_unicode=bool(choose.below(2)), sort_keys=False, default_flow_style=flow)
        return text.encode("utf-8", "surrogatepass")
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError, TypeError, OverflowError):
        return data


def _graft(choose: Chooser, tree: Any, whole: Any) -> None:
    """Copy one part of a whole profile into a tree, with another value at its end."""
    path = pick(choose, places(whole)[1:])
    value = at_path(whole, path)
    if choose.below(4):
        value = edit_tree(choose, {"value": value}).get("value")
    for key in path[:-1]:
        if not isinstance(tree, dict):
            return
        tree = tree.setdefault(key, {}) if isinstance(key, str) else tree
    if isinstance(tree, dict):
        tree[path[-1]] = value


@cache
def complete() -> list[Any]:
    """Return resolved profiles: every field that there is."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.yaml" for number in range(2)]
        for file, text in zip(files, (SMALL, ALOHA), strict=True):
            file.write_bytes(text)
        return [load_profile(str(file)).profile.model_dump(mode="json") for file in files]


def run(data: bytes, box: Box) -> Any:
    box.file("small.yaml", SMALL)
    loaded = load_profile(str(box.file("p.yaml", data)))
    loaded.values()
    resolved = json.loads(json.dumps(loaded.profile.model_dump(mode="json"), allow_nan=False))
    assert load_resolved(resolved).profile == loaded.profile, "a valid profile is another one after its manifest"
    return loaded.profile.system


def command(data: bytes, box: Box) -> Any:
    box.file("small.yaml", SMALL)
    box.file("p.yaml", data)
    code, _ = call("profile", "validate", "p.yaml", *(["--json"] if len(data) % 2 else []))
    assert code in (0, 3)
    return call("profile", "show", "p.yaml", "--origin")[0]


TARGET = Target("profile", run, lambda: SEEDS, shape, command)
