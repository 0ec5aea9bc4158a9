"""What runs on a node of a Ray cluster: a piece of work, on the store's own folder or on what was sent of it."""

import contextlib
import hashlib
import os
import platform
import secrets
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from s2rctl.core import compile_cache, foreign
from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import Interrupted, MissingEnvironmentError, S2rError
from s2rctl.core.installation import versions
from s2rctl.core.progress import NullReporter
from s2rctl.stages.work import Work
from s2rctl.store.faults import translated
from s2rctl.store.lineage import closure
from s2rctl.store.parcel import Parcel, pack, unpack
from s2rctl.store.store import Store

_FORWARDED = ("S2RCTL_", "JAX_", "XLA_", "MUJOCO_")
"""Beginnings of variables that a node is given as they stand where the command was called."""


@dataclass(frozen=True)
class Order:
    """What a node needs to know besides the piece itself."""

    token: str  # of the store that the command was called with
    variables: Mapping[str, str]
    folder: str  # in which the command was called
    program: str  # digest of s2rctl's own code, Python and the packages that results depend on
    send: bool  # whether artifacts are sent even where the node sees the store


@dataclass(frozen=True)
class Answer:
    """How a piece ended on a node."""

    outcome: Any = None  # of the piece; None if there is none
    parcels: tuple[Parcel, ...] = ()  # what it made, where the node does not see the store
    blind: bool = False  # it was not done: the node does not see the store, and nothing was sent
    interrupted: bool = False
    node: str = ""  # its name, for people


def token_path(root: Path, token: str) -> Path:
    """Return where a store holds a token while a command uses it: whoever finds it there sees the same store."""
    return root / "runs" / f".seen-{token}"


@contextlib.contextmanager
def marked(store: Store) -> Iterator[str]:
    """Put a mark into the store by which nodes tell whether they see it."""
    token = secrets.token_hex(16)
    with translated(store.root):
        store.prepare()
        path = token_path(store.root, token)
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, b"nodes that see this see the store\n")
    try:
        yield token
    finally:
        path.unlink(missing_ok=True)


def order(token: str, send: bool) -> Order:
    """Return what nodes are told by this process."""
    given = {name: value for name, value in os.environ.items() if name.startswith(_FORWARDED)}
    own = {name: value for name, value in given.items() if name not in (*compile_cache.VARIABLES, "S2RCTL_STORE")}
    return Order(token, own, str(Path.cwd()), program(), send)


@cache
def program() -> str:
    """Return a digest of what decides results: s2rctl's code, Python's version and those of the packages."""
    top = Path(__file__).resolve().parents[1]
    hasher = hashlib.sha256(repr((platform.python_version(), sorted(versions().items()))).encode())
    for path in sorted(top.rglob("*.py")):
        hasher.update(str(path.relative_to(top)).encode())
        hasher.update(path.read_bytes())
    return hasher.hexdigest()


def work(piece: Work, order: Order, parcels: Sequence[Any] | None, held: Set[str]) -> Answer:
    """Do a piece on this node.

    ``parcels`` are references to what the store has of what the piece needs (None: not sent yet), ``held`` the first
    digits of all ids that it has. Only what Ray itself raises is raised.
    """
    node = socket.gethostname()
    try:
        prepare(order)
        if sees(order, piece.store):
            return Answer(piece.do(NullReporter()), node=node)
        if parcels is None:
            return Answer(blind=True, node=node)
        return replace(_sent(piece, parcels, held), node=node)
    except (Interrupted, KeyboardInterrupt):
        return Answer(interrupted=True, node=node)
    except S2rError as error:
        return Answer(piece.lost(error), node=node)


def prepare(order: Order) -> None:
    """Make this process like the one that gave the order; MissingEnvironmentError if its program is another one."""
    os.environ.update(order.variables)
    foreign.pin(os.environ)
    compile_cache.enable(os.environ)
    with contextlib.suppress(OSError):
        os.chdir(order.folder)
    sys.stdout = sys.stderr
    if order.program != program():
        raise MissingEnvironmentError(
            f"{socket.gethostname()} has another version of s2rctl or of what it uses", "install the same on all nodes"
        )


def sees(order: Order, store: str) -> bool:
    """Return whether this node is to use the store's own folder: it holds the mark of the command."""
    return not order.send and token_path(Path(store), order.token).is_file()


def receive(root: str, parcels: Sequence[Any]) -> Store:
    """Return the store that this node keeps in place of ``root``, with what was sent: (id, reference) each."""
    import ray

    store = Store(node_store(root))
    for identity, reference in parcels:
        if not _has(store, identity):
            unpack(store, ray.get(reference))
    return store


def _sent(piece: Work, parcels: Sequence[Any], held: Set[str]) -> Answer:
    """Do a piece on a store of the node's own, and return what it made that the other one has not."""
    store = receive(piece.store, parcels)
    there = replace(piece, store=str(store.root))
    outcome = there.do(NullReporter())
    keys = store.keys()
    new = [identity for identity in sorted(closure(store, there.made(outcome))) if identity[:16] not in held]
    return Answer(outcome, tuple(pack(store.get(identity), keys) for identity in new))


def _has(store: Store, identity: str) -> bool:
    try:
        return store.get(identity).intact()
    except S2rError:
        return False


def node_store(root: str) -> Path:
    """Return the folder of the store that this node keeps in place of one that it does not see."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "s2rctl" / "nodes" / hashlib.sha256(root.encode()).hexdigest()[:16] / "store"
