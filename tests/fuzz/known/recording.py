import json
import struct
from collections.abc import Callable
from typing import Any

from tests.fuzz.targets.recording import _MESSAGE_HEAD, MAGIC, join, seeds, split

Edit = Callable[[Any], Any]


def _put(**changes: Any) -> Edit:
    return lambda body: {**body, **changes}


def _drop(name: str) -> Edit:
    return lambda body: {key: value for key, value in body.items() if key != name}


STEPS: dict[str, Edit] = {
    "list for a step": lambda body: [body],
    "number for a step": lambda body: 3,
    "no ages": _drop("ages"),
    "number for ages": _put(ages=0.5),
    "text for an age": _put(ages={"robot": "x"}),
    "no interventions": _drop("interventions"),
    "number for interventions": _put(interventions=3),
    "maps for interventions": _put(interventions=[{}]),
    "number for codes": _put(codes=1.5),
    "maps for codes": _put(codes=[{}]),
    "text and number for codes": _put(codes=["a", 1]),
    "ragged joints": _put(joint_pos=[[1], [2, 3]]),
    "map for joints": _put(joint_pos={}),
    "one joint": _put(joint_pos=[1.0]),
    "text for joints": _put(joint_pos="abc"),
    "no time": _drop("t"),
    "text for time": _put(t="x"),
    "nan for time": _put(t=float("nan")),
    "large time": _put(t=1e308),
    "map for a duration": _put(inference_ms={}),
}
IMAGES: dict[str, Edit] = {
    "number for pixels": _put(data=3),
    "no base64": _put(data="!!!"),
    "unknown encoding": _put(encoding="rgb16"),
    "list for encoding": _put(encoding=[]),
    "map for encoding": _put(encoding={}),
    "float for width": _put(width=4.0),
    "huge picture": _put(width=2**40, height=2**40),
    "negative width": _put(width=-1),
    "number for a picture's time": _put(timestamp=3),
    "text for a picture's time": _put(timestamp={"sec": "a", "nsec": 1}),
    "list for a picture": lambda body: [],
}


def _edited(records: list[tuple[int, bytes]], at: int, edit: Edit) -> bytes:
    kind, content = records[at]
    body = json.dumps(edit(json.loads(content[_MESSAGE_HEAD:]))).encode()
    return join([*records[:at], (kind, content[:_MESSAGE_HEAD] + body), *records[at + 1 :]])


def cases() -> dict[str, bytes]:
    pictures, plain = split(seeds()[0]), split(seeds()[1])
    steps = [at for at, (kind, _) in enumerate(plain) if kind == 5]
    picture = next(at for at, (kind, content) in enumerate(pictures) if kind == 5 and b"encoding" in content)
    at = steps[1]
    whole = b"".join(struct.pack("<BQ", kind, len(content)) + content for kind, content in plain[:at])
    same = plain
    for step in steps:
        same = split(_edited(same, step, _put(t=0.0)))
    flipped = bytearray(seeds()[1])
    flipped[flipped.rindex(b"joint_pos")] ^= 0x80
    return (
        {name: _edited(plain, at, edit) for name, edit in STEPS.items()}
        | {name: _edited(pictures, picture, edit) for name, edit in IMAGES.items()}
        | {
            "all at one time": join(same),
            "zeros at the end": seeds()[1][:-200] + bytes(2000),
            "a flipped bit": bytes(flipped),
            "long record": MAGIC + whole + struct.pack("<BQ", 5, 2**62) + b"x" * 30,
            "deep step": join([*plain[:at], (5, plain[at][1][:_MESSAGE_HEAD] + b"[" * 100_000), *plain[at + 1 :]]),
            "no channels": join([record for record in plain if record[0] != 4]),
            "empty": b"",
            "nothing inside": MAGIC,
        }
    )
