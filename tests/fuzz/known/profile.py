from tests.fuzz.targets.profile import SMALL

_BOMB = b"a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (level, level, b", ".join([b"*a%d" % (level - 1)] * 9)) for level in range(1, 9)
)


def cases() -> dict[str, bytes]:
    return {
        "nul": SMALL + b"description: \0\n",
        "aliases": SMALL + _BOMB,
        "brackets": SMALL + b"reach: " + b"[" * 3000,
        "octal": SMALL + b"seed: 010\n",
        "digits with a zero in front": SMALL.replace(
            b"{name: xarm7}", b"{name: xarm7, cameras: {side_cam: {kind: realsense, serial: 098765}}}"
        ),
        "long number": SMALL + b"seed: 1" + b"0" * 5000 + b"\n",
        "large seed": SMALL + b"seed: 99999999999999999999\n",
        "half a pair": SMALL + b'description: "\\uD800"\n',
        "escape in a key": SMALL + b'"\\e[31mred": 1\n',
        "escape in a value": SMALL + b'description: "\\e[31mred \\x9b31m"\n',
        "denormal": SMALL + b"simulation: {timestep_s: 1e-320}\n",
        "range backwards": SMALL + b"deploy: {rehearsal: {latency_s: [0.2, 0.1]}}\n",
        "extends with nul": b'extends: "a\\0/b.yaml"\n',
        "extends a long name": b"extends: ./" + b"a" * 5000 + b".yaml\n",
        "extends from nobody's home": b"extends: ~nosuchuser/p.yaml\n",
        "extends itself": b"extends: p.yaml\n",
        "board too large": SMALL.replace(
            b"{camera: side_cam}", b"{camera: side_cam, board: {columns: 200, rows: 200}}"
        ),
        "marker too large": SMALL.replace(b"{camera: side_cam}", b"{camera: side_cam, board: {marker_m: 0.05}}"),
        "a list as key": SMALL + b"? [a, b]\n: 1\n",
        "no digit": SMALL + b"seed: ._\n",
        "no text": b"\xff\xfe\0",
    }
