"""Small artifacts for store tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from s2rctl.schema.manifest import InputRef, Kind, StageRef
from s2rctl.store.store import Artifact, Store

Publish = Callable[..., Artifact]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def publish(tmp_path_factory: pytest.TempPathFactory) -> Publish:
    """Return a function that publishes an artifact with a file of its own and one that all artifacts share."""

    def make(
        store: Store,
        name: str = "pick",
        kind: Kind = "teacher",
        content: bytes = b"weights",
        inputs: dict[str, str] | None = None,
        key: str | None = None,
    ) -> Artifact:
        folder = tmp_path_factory.mktemp("files")
        own, shared = folder / "own.bin", folder / "shared.json"
        own.write_bytes(content)
        shared.write_bytes(b"{}")
        return store.publish(
            kind,
            name,
            {"policy/own.bin": own, "shared.json": shared},
            stage=StageRef(name="train", version=1),
            profile={"name": "tiny", "steps": 3},
            seed=0,
            inputs=[InputRef(role=role, id=identity) for role, identity in (inputs or {}).items()],
            metrics={"reward": 1.5, "bad": float("nan")},
            key=key,
        )

    return make
