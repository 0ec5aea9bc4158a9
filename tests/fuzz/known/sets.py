def cases() -> dict[str, bytes]:
    words = {
        "superscript": "²=1",
        "superscript in a path": "vision.cameras.²=1",
        "octal": "seed=010",
        "brackets": "vision.cameras=" + "[" * 3000,
        "long number": "seed=1" + "0" * 5000,
        "large seed": "seed=99999999999999999999",
        "large index": "vision.cameras.99999999999999999999999.width=1",
        "negative index": "vision.cameras.-1.width=1",
        "escape": "\x1b[31m=\x1b[31m",
        "half a pair": 'description="\\uD800"',
        "inside itself": "description=&a [*a]",
        "tag": "description=!!python/object:os.system x",
        "part of a number": "seed.a=1",
        "long key": "a" * 5000 + "=1",
        "deep key": ".".join(["a"] * 3000) + "=1",
    }
    return {name: word.encode() for name, word in words.items()} | {"odd bytes": b"description=\xff\xfe"}
