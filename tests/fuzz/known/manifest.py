import json
from collections.abc import Callable
from typing import Any

from s2rctl.store.canonical import canonical
from tests.fuzz import stores

PATHS = {
    "up to a victim": "x/../../../../../victim/f",
    "up to VERSION": "x/../../../VERSION",
    "dot in front": "./x",
    "dot inside": "a/./b",
    "two slashes": "a//b",
    "slash at the end": "a/",
    "dots at the end": "a/..",
    "long part": "a" * 300,
    "long path": "a/" * 3000 + "b",
    "name of another one's folder": "shared.json/below",
    "twice": "shared.json",
    "nul": "a\0b",
    "dash": "-rf",
}
"""Paths of a file inside an artifact."""
ESCAPE = "\x1b[2Jred\x9b\r"


def edited(edit: Callable[[Any], None]) -> Any:
    """Return the teacher's manifest, changed."""
    tree = next(tree for tree in stores.manifests() if tree["content"]["kind"] == "teacher")
    edit(tree)
    return tree


def with_path(path: str) -> Any:
    return edited(lambda tree: tree["content"]["files"][0].update(path=path))


def with_escapes() -> Any:
    def edit(tree: Any) -> None:
        tree["origin"] |= {"host": ESCAPE, "metrics": {ESCAPE: ESCAPE}}
        tree["content"]["profile"]["name"] = ESCAPE

    return edited(edit)


def cases() -> dict[str, bytes]:
    half = edited(lambda tree: tree["origin"].update(host="\ud800"))
    changes: dict[str, Callable[[Any], Any]] = {
        "input that is missing": lambda tree: tree["content"].update(inputs=[{"role": "self", "id": "e" * 64}]),
        "size": lambda tree: tree["content"]["files"][0].update(size=2**70),
        "seed": lambda tree: tree["content"].update(seed=10**400),
        "duration": lambda tree: tree["origin"].update(duration_s=1e308),
        "negative duration": lambda tree: tree["origin"].update(duration_s=-1.0),
        "metrics": lambda tree: tree["origin"].update(metrics={"success_rate": "high", "successes": [], "reward": {}}),
        "large metrics": lambda tree: tree["origin"].update(metrics={"success_rate": 10**400, "episodes": 2**70}),
        "date": lambda tree: tree["origin"].update(created_at=""),
        "profile": lambda tree: tree["content"].update(profile={"name": [], "system": {}}),
    }
    return (
        {name: canonical(with_path(path)) for name, path in PATHS.items()}
        | {name: canonical(edited(change)) for name, change in changes.items()}
        | {
            "escapes": canonical(with_escapes()),
            "half a pair": json.dumps(half).encode(),
            "deep": b'{"content": ' + b"[" * 100_000,
            "nothing": b"",
            "list": b"[]",
        }
    )
