from tests.fuzz.targets.xarm import READY, floats, frame


def cases() -> dict[str, bytes]:
    nan, inf, line = float("nan"), float("inf"), floats(400, 0, 228, 3.1, 0, 0, 200, 5000, 0)
    short = {f"nothing for function {number}": frame(number) for number in (11, 12, 19, 21, 23, 29, 30, 35, 43, 44)}
    short |= {f"nothing for function {number}": frame(number) for number in (47, 50, 52, 59, 82)}
    return short | {
        "mode 16": b"".join([*READY, frame(19, b"\x10")]),
        "mode 255": frame(19, b"\xff"),
        "nan for the offset": frame(35, floats(*[nan] * 6)) + frame(41) + frame(59, b"\x01"),
        "infinity for the offset": frame(35, floats(*[inf] * 6)) + frame(41),
        "large offset": frame(35, floats(*[3e38] * 6)) + frame(41) + frame(43, floats(400, 0, 228, 3.1, 0, 0)),
        "nan for the inverse": frame(43, floats(*[nan] * 6)),
        "infinity for the forward": frame(44, floats(*[inf] * 7)),
        "nan for the speed": b"".join(
            (frame(47, floats(nan)), *READY, frame(19, b"\x07"), READY[1], frame(21, floats(400, 50, 250, *[3e38] * 6)))
        ),
        "length 0": frame(1, length=0) + frame(1),
        "length 65535": frame(1, length=65535) + frame(1) * 3,
        "state 9": frame(12, b"\x09") + frame(13),
        "many lines": b"".join([*READY, frame(21, line) * 300]),
    }
