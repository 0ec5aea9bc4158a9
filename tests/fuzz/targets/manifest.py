"""A manifest in the store that somebody else wrote: shown, compared, checked out, removed."""

import json
from functools import cache
from typing import Any

from s2rctl.core.errors import S2rError
from s2rctl.store.canonical import canonical, digest
from s2rctl.store.gc import collect, remove
from s2rctl.store.store import Store
from s2rctl.store.verify import verify
from tests.fuzz import stores
from tests.fuzz.box import Box
from tests.fuzz.harness import Target, call
from tests.fuzz.mutate import Chooser, edit_tree, pick
from tests.fuzz.targets.archive import NAMES, UP


@cache
def seeds() -> list[bytes]:
    return [canonical(tree) for tree in stores.manifests()]


def shape(choose: Chooser, data: bytes) -> bytes:
    """Change a part of the tree; often the path of a file."""
    try:
        tree = edit_tree(choose, json.loads(data), NAMES)
        if choose.below(3) == 0:
            pick(choose, tree["content"]["files"])["path"] = pick(choose, UP if choose.below(2) else NAMES)
        return json.dumps(tree).encode()
    except (ValueError, KeyError, TypeError, RecursionError, IndexError, AttributeError):
        return data


def _placed(data: bytes, box: Box) -> str:
    """Put the manifest where a store would have it, under its own digest if it has one; return its id."""
    try:
        identity = digest(json.loads(data)["content"])
    except (ValueError, KeyError, TypeError, RecursionError, UnicodeEncodeError):
        identity = "e" * 64
    stores.lay(box, {f"manifests/{identity}.json": data, "refs/teacher/pick/theirs": f"{identity}\n".encode()})
    return identity


def run(data: bytes, box: Box) -> Any:
    identity = _placed(data, box)
    store = Store(box.home / stores.STORE)
    store.list()
    verify(store)
    done: list[str] = []
    try:
        artifact = store.get(identity)
        folder = artifact.folder()
        done = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())
        assert done == sorted(artifact.files)
        remove(store, artifact, "fuzz")
    except S2rError:
        pass
    collect(store, grace_s=-10.0)
    return len(done)


def command(data: bytes, box: Box) -> Any:
    identity = _placed(data, box)
    options = ("--store", stores.STORE, *(["--json"] if len(data) % 2 else []))
    codes = [
        call("artifacts", *words, *options)[0]
        for words in (
            ("list",),
            ("show", identity),
            ("lineage", identity),
            ("diff", identity, "teacher/pick"),
            ("path", identity),
            ("rm", identity, "--yes"),
            ("verify",),
        )
    ]
    return codes


TARGET = Target("manifest", run, seeds, shape, command, command_every=24, examples=60)
