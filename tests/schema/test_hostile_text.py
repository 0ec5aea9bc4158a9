"""Whatever a profile file or ``--set`` holds: a fault with its line, never a crash, a hang or a silent other value."""

import os

import pytest

from s2rctl.core.errors import ProfileError, UsageError
from s2rctl.schema.load import load_profile
from s2rctl.schema.source import DEEPEST, MOST_BYTES, MOST_VALUES, read_scalar, read_yaml

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


def faults(text):
    return [str(fault) for fault in read_yaml(text, "p.yaml").faults]


def refusal(text):
    found = faults(text)
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1\n" + BOMB, f"p.yaml:6: not valid YAML: more than {MOST_VALUES} values"),
        ("a: 1\n\nb: \0\n", "p.yaml:3: not valid YAML: the character U+0000 is not allowed"),
        ("a: 1\nb: \x1b[31m\n", "p.yaml:2: not valid YAML: the character U+001B"),
        ("\n" + "[" * 3000, f"p.yaml:2: not valid YAML: nested more than {DEEPEST} levels deep"),
        ("a: 1\nb: " + "{x: " * 3000, f"p.yaml:2: not valid YAML: nested more than {DEEPEST} levels deep"),
        ("".join(f"{' ' * n}a:\n" for n in range(200)), f"not valid YAML: nested more than {DEEPEST}"),
        ("".join(f"{' ' * 2 * n}-\n" for n in range(200)), f"not valid YAML: nested more than {DEEPEST}"),
        ("b: 1\na: &a [*a]\n", "p.yaml:2: not valid YAML: "),
        ("b: 1\na: &a {x: *a}\n", "p.yaml:2: not valid YAML: "),
        ("a: 1\nb: !!bool maybe\n", "p.yaml:2: not valid YAML: 'maybe' is no bool"),
        ("a: 1\nb: !!int ''\n", "p.yaml:2: not valid YAML: '' is no int"),
        ("a: 1\nb: !!timestamp 2026-13-45\n", "p.yaml:2: not valid YAML: unknown tag"),
        ("a: 1\nb: !!binary '****'\n", "p.yaml:2: not valid YAML: unknown tag"),
        ("a: 1\nb: !!python/object/apply:os.system ['true']\n", "p.yaml:2: not valid YAML: unknown tag"),
        ("a: 1\n!!python/name:os.system b: 1\n", "p.yaml:2: not valid YAML: a key is plain text"),
        ("a: 1\n? [b]\n: 1\n", "p.yaml:2: not valid YAML: a key is plain text"),
        ("a: &a {x: 1}\nb:\n  <<: *a\n", "p.yaml:3: not valid YAML: merge keys"),
        ("a: 1\n" + "k" * 500 + ": 1\n", "p.yaml:2: not valid YAML: a key of more than"),
        ("a: 1\n---\nb: 1\n", "p.yaml:2: not valid YAML"),
        ("a: *nothing\n", "p.yaml:1: not valid YAML"),
        ("x" * (MOST_BYTES + 1), "p.yaml:1: not valid YAML: longer than"),
        (b"x" * (MOST_BYTES + 1), "p.yaml:1: not valid YAML: a profile has at most 256 kB"),
        ("name: café\n".encode("latin-1"), "p.yaml:1: not valid YAML: the byte 0xe9 is no UTF-8 text"),
        (b"a: 1\nb: 2\nc: \xff\n", "p.yaml:3: not valid YAML: the byte 0xff"),
        ("a: 1\n".encode("utf-16"), "p.yaml:1: not valid YAML: it is UTF-16 text; save it as UTF-8"),
    ],
    ids=lambda value: None if isinstance(value, str) and len(value) < 80 else "text",
)
def test_what_cannot_be_read_is_one_fault_on_its_line(text, fault):
    assert fault in refusal(text)


def test_numbers_that_mislead_are_faults_on_their_own_lines_and_the_rest_is_read():
    found = faults("a: 010\nb: 1\nc: [1, 098765]\nd: +007\ne: 1" + "0" * 5000 + "\nf: 0x" + "f" * 5000 + "\n")
    assert found[0].startswith("p.yaml:1: a: 010 begins with 0")
    assert "leave the 0 out (10), or quote it if it is text ('010')" in found[0]
    assert found[1].startswith("p.yaml:3: c.1: 098765 begins with 0")
    assert [line.split(": ")[:2] for line in found[2:]] == [["p.yaml:4", "d"], ["p.yaml:5", "e"], ["p.yaml:6", "f"]]
    assert all(len(line) < 200 for line in found)


def test_control_characters_and_half_surrogates_from_escapes_are_faults():
    assert faults('a: 1\nb: "x\\0y"\n') == ["p.yaml:2: b: text with the character U+0000"]
    assert faults('a: "\\ud800"\n') == ["p.yaml:1: a: text with the character U+D800"]
    assert "U+001B" in refusal('"\\e": 1\n')
    assert faults('a: "two\\nlines\\tand a tab"\n') == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("0.5", 0.5),
        ("010.5", 10.5),
        ("'010'", "010"),
        ("0x10", 16),
        ("0o17", "0o17"),
        ("1:30", "1:30"),
        ("190:20:30", "190:20:30"),
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00Z"),
        ("=", "="),
        ("²", "²"),
        ("!!str 010", "010"),
        ("!!float 1", 1.0),
    ],
)
def test_scalars_mean_what_they_look_like(text, value):
    assert read_scalar(text) == value and type(read_scalar(text)) is type(value)


def test_aliases_and_a_byte_order_mark_work():
    source = read_yaml(b"\xef\xbb\xbfa: &one {x: [1, 2]}\nb: *one\n", "p.yaml")
    assert not source.faults and source.value == {"a": {"x": [1, 2]}, "b": {"x": [1, 2]}}


@pytest.mark.parametrize(
    "setting",
    [
        "seed=010",
        "robot.cameras.x.serial=098765",
        "seed=" + "[" * 3000,
        "seed=!!bool maybe",
        "seed=!!python/name:os.system",
        "seed=*a",
        "seed=&a [*a]",
        "seed=1" + "0" * 4000,
        "seed=0x" + "f" * 4000,
        "seed=" + "x" * 100_000,
        ".".join("a" * 10_000) + "=1",
        ".".join("a" * 100) + "=1",
        "seed=\x1b[31m",
        'seed="\\0"',
        "se\x00ed=1",
        "se\udc80ed=1",
    ],
    ids=lambda value: None if len(value) < 40 else value[:20],
)
def test_set_keeps_the_same_rules_and_is_a_usage_error(setting):
    with pytest.raises(UsageError) as caught:
        load_profile("aloha", [setting])
    assert len(caught.value.message) < 5000 and "\0" not in caught.value.message


@pytest.mark.parametrize(
    "setting",
    ["²=1", "vision.cameras.².width=32", "9" * 4000 + "=1", "vision.cameras.01.width=32"],
    ids=lambda v: v[:30],
)
def test_only_plain_numbers_are_positions(setting):
    with pytest.raises(ProfileError):
        load_profile("aloha", [setting])


def test_a_serial_number_says_that_it_is_to_be_quoted_where_it_stands(tmp_path):
    def load(serial):
        (tmp_path / "p.yaml").write_text(
            f"extends: aloha\nname: mine\nrobot:\n  cameras:\n    x: {{kind: realsense}}\n    y:\n"
            f"      kind: realsense\n      serial: {serial}\n"
        )
        return load_profile(str(tmp_path / "p.yaml")).profile.robot.cameras["y"].serial

    assert load("'098765'") == "098765"
    for serial in ("098765", "198765"):
        with pytest.raises(ProfileError, match=r"p.yaml:8: robot.cameras.y.serial: .*quote it"):
            load(serial)


def test_true_is_no_number(tmp_path):
    (tmp_path / "p.yaml").write_text("extends: aloha\nname: mine\n\nseed: true\n")
    with pytest.raises(ProfileError, match=r"p.yaml:4: seed: needs a number, not true"):
        load_profile(str(tmp_path / "p.yaml"))


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "profiles").mkdir()
    os.mkfifo(tmp_path / "profiles" / "waits.yaml")
    (tmp_path / "closed.yaml").write_text("x")
    names = ["./pipe.yaml", "./folder.yaml", "./loop.yaml", "/dev/zero", "/dev/stdin", "waits", "x" * 5000 + ".yaml"]
    for name in [*names, "~nosuchuser/x.yaml", "a\0b.yaml", "a\0b", "", "/proc/self/mem"]:
        with pytest.raises(ProfileError) as caught:
            load_profile(name)
        assert "\0" not in caught.value.message
    for name in ["./pipe.yaml", "./folder.yaml", "~nosuchuser/x.yaml", '"a\\0b.yaml"', "'" + "x" * 5000 + ".yaml'"]:
        (tmp_path / "p.yaml").write_text(f"name: p\nextends: {name}\n")
        with pytest.raises(ProfileError, match=r"p.yaml:2: "):
            load_profile("p.yaml")


def test_a_long_chain_of_extends_ends(tmp_path):
    for number in range(1200):
        (tmp_path / f"{number}.yaml").write_text(f"extends: ./{number + 1}.yaml\n")
    with pytest.raises(ProfileError, match="longer than 16 profiles"):
        load_profile(str(tmp_path / "0.yaml"))
    (tmp_path / "b.yaml").write_text("\nextends: ./c.yaml\n")
    (tmp_path / "c.yaml").write_text("extends: ./b.yaml\n")
    with pytest.raises(ProfileError, match=r"c.yaml:1: circular 'extends'"):
        load_profile(str(tmp_path / "b.yaml"))


def test_thousands_of_errors_are_told_in_a_page(tmp_path):
    (tmp_path / "p.yaml").write_text("extends: aloha\n" + "".join(f"nmae{n}: 1\n" for n in range(9000)))
    with pytest.raises(ProfileError) as caught:
        load_profile(str(tmp_path / "p.yaml"))
    lines = caught.value.message.splitlines()
    assert lines[0].startswith("9000 errors") and len(lines) < 100 and lines[-1] == "and 8950 more"
