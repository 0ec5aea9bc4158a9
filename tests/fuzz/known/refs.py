def cases() -> dict[str, bytes]:
    return {
        "odd bytes": b"\xff/\xfe\nx\xff",
        "escape": b"onnx/a\x7f\x1b[31m\nb",
        "long alias": b"teacher/pick\n" + b"a" * 300,
        "long ref": b"teacher/" + b"a" * 5000 + b"\nx",
        "long name of a file": b"a" * 300 + b"\nx",
        "options": b"--json\n-x",
        "here": b".\n.",
        "slash": b"teacher/pick/\n/",
        "folder": b"store\nstore",
        "dots": b"a/b:..\n..",
    }
