"""A small store as files, laid down anew for every example, and what one does with a store."""

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from s2rctl.schema.contract import CameraContract, Contract, Tensor
from s2rctl.schema.manifest import InputRef, StageRef
from s2rctl.store.store import Store
from tests.fuzz.box import Box

STORE = "store"
METRICS = {"success_rate": 0.9, "successes": 9, "episodes": 10, "wilson_low": 0.6, "wilson_high": 0.98, "reward": 1.5}


def card() -> Contract:
    """Return the contract of a small policy for the Aloha."""
    camera = CameraContract(
        name="wrist_cam_left",
        width=32,
        height=32,
        fovy_deg=50.0,
        parent="left",
        position_m=(0, 0, 0),
        quaternion=(1, 0, 0, 0),
        depth_unit_m=1e-4,
        depth_range_m=(0.0, 0.4),
    )
    inputs = (
        Tensor(name="joint_pos", dtype="float32", shape=("batch", 16), meaning="joints", unit="rad"),
        Tensor(name="rgb_wrist_cam_left", dtype="uint8", shape=("batch", 32, 32, 3), meaning="picture"),
        Tensor(name="depth_wrist_cam_left", dtype="uint16", shape=("batch", 32, 32), meaning="depth"),
    )
    return Contract(
        policy="student/aloha",
        robot="aloha",
        rate_hz=20.0,
        inputs=inputs,
        outputs=(Tensor(name="action", dtype="float32", shape=("batch", 14), meaning="action"),),
        action_meaning="change of the target",
        action_scale=(0.02,) * 14,
        cameras=(camera,),
        versions={"onnx": "1.0"},
    )


@cache
def files() -> dict[str, bytes]:
    """Return the files of a store with a teacher, a policy made from it, its evaluation and a calibration."""
    with tempfile.TemporaryDirectory() as folder:
        store, source = Store(Path(folder) / STORE), Path(folder)
        made: dict[str, str] = {}
        for kind, name, names, role in (
            ("teacher", "pick", ("policy/own.bin", "shared.json"), None),
            ("onnx", "aloha-student", ("policy.onnx", "shared.json"), "teacher"),
            ("evaluation", "aloha-student", ("evaluation.json",), "onnx"),
            ("calibration", "xarm7", ("calibration.json", "overlay.png"), None),
        ):
            for file in names:
                (source / Path(file).name).write_bytes(f"{file if 'shared' in file else kind}".encode())
            artifact = store.publish(
                kind,  # type: ignore[arg-type]
                name,
                {file: source / Path(file).name for file in names},
                stage=StageRef(name=f"make-{kind}", version=1),
                profile={"name": "tiny", "system": "aloha", "steps": 3},
                seed=0,
                inputs=[InputRef(role=role, id=made[role])] if role else [],
                contract=card() if kind == "onnx" else None,
                metrics=METRICS,
                key=(kind[0].encode().hex() * 32)[:64],
            )
            made[kind] = artifact.id
            store.set_ref(f"{kind}/{name}:latest", artifact.id, "made")
        root = Path(folder) / STORE
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file() and "tmp" not in path.parts[-2] and not path.name.startswith("lock")
        }


def lay(box: Box, changed: dict[str, bytes] | None = None) -> Path:
    """Write the store's files into the box and return its folder."""
    for name, content in {**files(), **(changed or {})}.items():
        box.file(f"{STORE}/{name}", content)
    return box.home / STORE


def manifests() -> list[Any]:
    """Return the manifests as trees, without the seals of their origins, which a forger would make anew."""
    trees = [json.loads(content) for name, content in files().items() if name.startswith("manifests/")]
    return [{name: part for name, part in tree.items() if name != "origin_sha256"} for tree in trees]
