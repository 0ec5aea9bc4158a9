"""Words that shall name an artifact: refs, ids, aliases, kinds, files to write."""

from typing import Any

from s2rctl.store.refs import split
from s2rctl.store.store import Store
from tests.fuzz import stores
from tests.fuzz.box import Box
from tests.fuzz.harness import Target, call
from tests.fuzz.mutate import WORDS, Chooser, pick

SEEDS = (b"teacher/pick\nmine", b"onnx/aloha-student:latest\nbest", b"0123\nx", b"calibration/xarm7:latest\na.b_c-d")


def shape(choose: Chooser, data: bytes) -> bytes:
    """Put a word into one of the two names, or in the place of a part of them."""
    lines = data.split(b"\n")
    at = choose.below(len(lines))
    parts = lines[at].replace(b":", b"/").split(b"/")
    parts[choose.below(len(parts))] = pick(choose, WORDS).encode("utf-8", "surrogatepass")
    lines[at] = (b"/", b":")[choose.below(2)].join(parts)
    return b"\n".join(lines)


def _words(data: bytes) -> tuple[str, str]:
    first, _, second = data.replace(b"\0", b"").partition(b"\n")
    return first.decode("utf-8", "surrogateescape"), second.decode("utf-8", "surrogateescape")


def run(data: bytes, box: Box) -> Any:
    ref, alias = _words(data)
    store = Store(stores.lay(box))
    split(ref)
    artifact = store.resolve(ref)
    store.set_ref(f"{artifact.ref}:{alias}", artifact.id, "fuzz")
    assert store.resolve(f"{artifact.ref}:{alias}").id == artifact.id
    return artifact.ref


def command(data: bytes, box: Box) -> Any:
    ref, alias = _words(data)
    stores.lay(box)
    end = ("--store", stores.STORE)
    # Where the user wants to write is the user's business; this only asks for odd names in the folder at hand.
    target = ref if ".." not in ref and not ref.startswith(("/", "~")) else "out.tar"
    return [
        call("artifacts", "show", *end, "--", ref)[0],
        call("artifacts", "tag", *end, "--json", "--", ref, alias)[0],
        call("artifacts", "export", *end, f"--alias={alias}", "--", "teacher/pick", "out.tar")[0],
        call("artifacts", "export", *end, "--", "teacher/pick", target)[0],
        call("artifacts", "list", f"--kind={alias}", *end)[0],
        call("artifacts", "path", *end, "--", "teacher/pick", alias)[0],
        call("artifacts", "rm", *end, "--yes", "--", ref)[0],
    ]


TARGET = Target("refs", run, lambda: SEEDS, shape, command, command_every=24)
