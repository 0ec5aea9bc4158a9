import json
from typing import Any

from s2rctl.store.canonical import canonical, digest
from tests.fuzz import stores
from tests.fuzz.known.manifest import PATHS, with_escapes, with_path
from tests.fuzz.targets.archive import written


def _tar(tree: Any) -> bytes:
    """Return an archive of one artifact."""
    identity = digest(tree["content"])
    index = {"schema": 1, "refs": {"teacher/pick:mine": identity}}
    members = [("index.json", b"0", canonical(index), "")]
    members.append((f"manifests/{identity}.json", b"0", json.dumps(tree, sort_keys=True).encode(), ""))
    for sha256 in sorted({file["sha256"] for file in tree["content"]["files"]}):
        name = f"blobs/sha256/{sha256[:2]}/{sha256[2:]}"
        members.append((name, b"0", stores.files()[name], ""))
    return written(members)


def cases() -> dict[str, bytes]:
    return {name: _tar(with_path(path)) for name, path in PATHS.items()} | {
        "escapes": _tar(with_escapes()),
        "escapes in a member's name": written([("\x9b31m\x1b[1m", b"0", b"", "")]),
        "odd bytes in a member's name": written([("\udcff", b"0", b"", "")]),
        "link": written([("index.json", b"2", b"", "/etc/passwd")]),
        "device": written([("index.json", b"3", b"", "")]),
        "deep index": written([("index.json", b"0", b"[" * 100_000, "")]),
        "empty": b"",
        "compressed": b"\x1f\x8b\x08\0",
    }
