"""Damaged files of a store: refs, keys, VERSION, the log, the lock's holder, blobs, unfinished runs.

The first line of an input names the file, the rest is its content. A store that has been damaged like this can still be
listed, verified, collected; and after the repairs that ``verify`` names it is whole.
"""

from functools import cache
from typing import Any

from s2rctl.store.gc import collect
from s2rctl.store.store import Store
from s2rctl.store.verify import verify
from tests.fuzz import stores
from tests.fuzz.box import Box
from tests.fuzz.harness import Target, call
from tests.fuzz.mutate import WORDS, Chooser, mutate_bytes, pick

EXTRA = (
    "runs/0123456789abcdef/state.json",
    "lock.pid",
    "refs/teacher/pick/other",
    "refs/x",
    "refs/teacher/x",
    "keys/0a",
)
FOLDERS = ("refs/teacher/pick/folder", "keys/0b", "manifests/" + "d" * 64 + ".json", "blobs/sha256/ab/cd", "VERSION.d")


@cache
def seeds() -> list[bytes]:
    return [name.encode() + b"\n" + content for name, content in stores.files().items()] + [
        f"{name}\n".encode() for name in EXTRA
    ]


def shape(choose: Chooser, data: bytes) -> bytes:
    """Change the content, put it into another file, or make a folder of it."""
    name, _, content = data.partition(b"\n")
    kind = choose.below(4)
    if kind == 0:
        name = pick(choose, (*stores.files(), *EXTRA, *(f"{folder}/in" for folder in FOLDERS))).encode()
    elif kind == 1:
        content = pick(choose, (*WORDS, '{"inputs": 3}', '{"inputs": {"a": 3}}', "[" * 9000)).encode("utf-8", "replace")
    else:
        content = mutate_bytes(choose, content)
    return name + b"\n" + content


def _damaged(data: bytes, box: Box) -> None:
    name, _, content = data.partition(b"\n")
    known = {*stores.files(), *EXTRA, *(f"{folder}/in" for folder in FOLDERS)}
    stores.lay(box)
    if name.decode("utf-8", "replace") in known:  # nobody but the user makes files elsewhere
        box.file(f"{stores.STORE}/{name.decode()}", content)


def run(data: bytes, box: Box) -> Any:
    _damaged(data, box)
    store = Store(box.home / stores.STORE)
    verdict = verify(store, full=True)
    listed = len(store.list())
    store.refs.history()
    for ref in store.refs.all():
        store.refs.get(*ref.replace(":", "/").split("/"))
    store.lookup_key("6f" * 32)
    collect(store, grace_s=-10.0)
    return len(verdict.problems), listed


def command(data: bytes, box: Box) -> Any:
    _damaged(data, box)
    options = ("--store", stores.STORE, *(["--json"] if len(data) % 2 else []))
    codes = []
    for words in (
        ("list",),
        ("verify", "--full"),
        ("show", "teacher/pick"),
        ("rm", "evaluation/aloha-student", "--yes"),
        ("tag", "calibration/xarm7", "other"),
        ("gc", "--yes"),
    ):
        code, _ = call("artifacts", *words, *options)
        codes.append(code)
    return codes


TARGET = Target("store", run, seeds, shape, command, command_every=24, examples=60)
