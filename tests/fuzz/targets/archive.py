"""Archives: a tar file that is imported, looked at, checked out, exported again and removed."""

import io
import json
import tarfile
from functools import cache
from typing import Any

from s2rctl.core.errors import S2rError
from s2rctl.store.archive import export_archive, import_archive
from s2rctl.store.canonical import canonical, digest
from s2rctl.store.gc import collect, remove
from s2rctl.store.store import Store
from s2rctl.store.verify import verify
from tests.fuzz import stores
from tests.fuzz.box import Box
from tests.fuzz.harness import Target, call
from tests.fuzz.mutate import WORDS, Chooser, edit_tree, mutate_bytes, pick

Members = list[tuple[str, bytes, bytes, str]]  # name, type, content, target of a link
UP = tuple("x/" + "../" * up + end for up in range(2, 8) for end in ("victim/f", "VERSION"))
NAMES = (*UP, "../f", "/f", "a//b", "a/", ".", "x/..", "own.bin/below", *WORDS)
TYPES = (b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"x", b"g", b"L", b"K", b"S")


@cache
def seeds() -> list[bytes]:
    """Return an archive of everything, and one of a single artifact."""
    found = []
    trees = stores.manifests()
    for chosen in (trees, trees[:1]):
        members: Members = []
        refs = {f"{t['content']['kind']}/{t['content']['name']}:mine": digest(t["content"]) for t in chosen}
        members.append(("index.json", b"0", canonical({"schema": 1, "refs": refs}), ""))
        members += [(f"manifests/{digest(tree['content'])}.json", b"0", canonical(tree), "") for tree in chosen]
        wanted = {file["sha256"] for tree in chosen for file in tree["content"]["files"]}
        for sha256 in sorted(wanted):
            name = f"blobs/sha256/{sha256[:2]}/{sha256[2:]}"
            members.append((name, b"0", stores.files()[name], ""))
        found.append(written(members))
    return found


def written(members: Members) -> bytes:
    """Return the members as a tar file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, kind, content, link in members:
            info = tarfile.TarInfo(name.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape"))
            info.type, info.linkname, info.size, info.mode = kind, link, len(content), 0o444
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def read(data: bytes) -> Members:
    """Return the members of a tar file."""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        return [
            (m.name, m.type, tar.extractfile(m).read() if m.isreg() else b"", m.linkname)  # type: ignore[union-attr]
            for m in tar
        ]


def shape(choose: Chooser, data: bytes) -> bytes:
    """Change members, the index, or a manifest whose name then fits again."""
    try:
        members = read(data)
        at = choose.below(len(members))
        name, kind, content, link = members[at]
        action = choose.below(8)
        if action == 0:
            del members[at]
        elif action == 1:
            members.insert(choose.below(len(members) + 1), members[at])
        elif action == 2:
            members[at] = (pick(choose, NAMES), kind, content, link)
        elif action == 3:
            members[at] = (name, pick(choose, TYPES), content, pick(choose, NAMES))
        elif name.startswith("blobs"):
            members[at] = (name, kind, mutate_bytes(choose, content), link)
        else:
            members[at] = _edited(choose, name, json.loads(content), members)
        return written(members)
    except (
        tarfile.TarError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
        RecursionError,
        IndexError,
        OverflowError,
    ):
        return data


def _edited(choose: Chooser, name: str, tree: Any, members: Members) -> tuple[str, bytes, bytes, str]:
    """Change index or manifest; a manifest gets its new name, also in the index."""
    tree = edit_tree(choose, tree, NAMES)
    if name.startswith("manifests") and choose.below(3):
        for file in tree["content"]["files"][: choose.below(3)]:
            file["path"] = pick(choose, UP if choose.below(2) else NAMES)
    text = json.dumps(tree, sort_keys=True).encode()
    if not name.startswith("manifests"):
        return name, b"0", text, ""
    identity = digest(tree["content"])
    old = name[len("manifests/") : -len(".json")]
    for number, (other, kind, content, link) in enumerate(members):
        members[number] = (other, kind, content.replace(old.encode(), identity.encode()), link)
    return f"manifests/{identity}.json", b"0", text, ""


def run(data: bytes, box: Box) -> Any:
    store = Store(box.home / "store")
    done = import_archive(store, box.file("a.tar", data))
    assert not [p for p in verify(store, full=True).problems], "what was imported does not verify"
    for identity in done.ids:
        artifact = store.get(identity)
        folder = artifact.folder()
        assert {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()} == set(artifact.files)
    if done.refs:
        chosen = {ref: store.get(identity) for ref, identity in done.refs.items()}
        export_archive(store, chosen, box.home / "again.tar")
        assert set(import_archive(Store(box.home / "other"), box.home / "again.tar").refs) == set(done.refs)
    for artifact in reversed(store.list()):
        try:
            remove(store, artifact, "fuzz")
        except S2rError:
            continue  # an input of another one
    collect(store, grace_s=-10.0)
    return len(done.ids)


def command(data: bytes, box: Box) -> Any:
    box.file("a.tar", data)
    code, _ = call("artifacts", "import", "a.tar", "--store", "store", *(["--json"] if len(data) % 3 == 0 else []))
    assert code in (0, 4)
    if code == 0:
        assert call("artifacts", "list", "--store", "store")[0] == 0
        call("artifacts", "verify", "--full", "--store", "store")
    return code


TARGET = Target("archive", run, seeds, shape, command)
