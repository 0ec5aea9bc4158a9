from tests.fuzz import stores

DEEP = b"[" * 100_000
STATE = "runs/0123456789abcdef/state.json"
REF = "refs/teacher/pick/latest"


def cases() -> dict[str, bytes]:
    names = list(stores.files())
    key, manifest, blob = (
        next(name for name in names if name.startswith(f"{folder}/")) for folder in ("keys", "manifests", "blobs")
    )
    damage = {
        "bytes in a key": (key, b"\xff\xfe"),
        "bytes in a ref": (REF, b"\0\xff\xfe"),
        "bytes in VERSION": ("VERSION", b"\xff"),
        "another VERSION": ("VERSION", b"2\n"),
        "an empty VERSION": ("VERSION", b""),
        "bytes in the log": ("refs.log", b'{"a": 1}\n\xff\xfe\n'),
        "numbers in the log": ("refs.log", b"3\n[]\nnull\n"),
        "depth in the log": ("refs.log", DEEP),
        "a folder among refs": ("refs/teacher/pick/folder/in", b""),
        "a file among folders of refs": ("refs/x", b""),
        "escapes in a ref": ("refs/teacher/pick/other", b"\x1b[31m"),
        "a folder among keys": ("keys/0b/in", b""),
        "a folder among manifests": ("manifests/" + "d" * 64 + ".json/in", b""),
        "a folder among blobs": ("blobs/sha256/ab/cd/in", b""),
        "a deep manifest": (manifest, DEEP),
        "an empty manifest": (manifest, b""),
        "an empty blob": (blob, b""),
        "a list in a run's state": (STATE, b'{"inputs": [1, 2]}'),
        "numbers in a run's state": (STATE, b'{"inputs": {"a": 3, "b": {}}}'),
        "bytes in a run's state": (STATE, b"\xff"),
        "depth in a run's state": (STATE, DEEP),
        "bytes in the lock's holder": ("lock.pid", b"\xff"),
    }
    return {name: file.encode() + b"\n" + content for name, (file, content) in damage.items()}
