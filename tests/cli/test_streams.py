"""What is written last: full devices, readers that have gone, closed streams, odd bytes and poor terminals."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
ODD = b"\xff\xfe\xc3\xb6"
"""An argument that is no text in any encoding in use."""


def shell(line: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a line of shell in which ``s2rctl`` is this tree's; streams are buffered, as they are for users."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    variables |= {"PYTHONPATH": str(TOP), "PYTHON": sys.executable, **environment}
    whole = f's2rctl() {{ "$PYTHON" -m s2rctl.cli.main "$@"; }}\n{line}'
    return subprocess.run(["bash", "-c", whole], cwd=folder, env=variables, capture_output=True, check=False)


def heads(text: bytes) -> list[str]:
    return [line.split(":")[0] for line in text.decode("latin-1").splitlines()]


@FULL
@pytest.mark.parametrize(
    "words", ["profile schema", "profile schema --json", "profile list --json", "--version", "--help"]
)
def test_a_full_device_is_an_environment_error_told_once(tmp_path, words):
    done = shell(f"s2rctl {words} >/dev/full", tmp_path)
    assert (done.returncode, heads(done.stderr)) == (7, ["error", "hint"])


@FULL
@pytest.mark.parametrize(("words", "code"), [("artifacts show x/y", 4), ("nonsense", 2)])
@pytest.mark.parametrize("option", ["", "--json"])
def test_an_error_keeps_its_exit_code_wherever_it_cannot_be_written(tmp_path, words, code, option):
    full = shell(f"s2rctl {words} {option} >/dev/full", tmp_path)
    assert (full.returncode, heads(full.stderr)) == (code, ["error", "hint"])
    for closed in ("2>&-", "2>/dev/full"):
        done = shell(f"s2rctl {words} {option} {closed}", tmp_path)
        assert (done.returncode, done.stderr) == (code, b"")
        assert not option or json.loads(done.stdout)["error"]["code"] == code
        assert option or done.stdout == b""  # it does not end up among the data
    assert shell(f"s2rctl {words} {option} >&- 2>&- <&-", tmp_path).returncode == code


@pytest.mark.parametrize("words", ["profile schema", "profile schema --json", "profile show aloha", "--help"])
def test_a_reader_that_has_gone_gets_no_words_and_no_traceback(tmp_path, words):
    # The reader ends first: the writer waits for it.
    line = f"mkfifo gone; {{ read -r go <gone; s2rctl {words}; echo $? >code; }} | {{ exec <&-; echo go >gone; }}"
    done = shell(line, tmp_path)
    assert done.stderr == b"" and (tmp_path / "code").read_text() == "1\n"


@pytest.mark.parametrize("words", ["profile list", "profile list --json", "--help", "artifacts list"])
def test_closed_streams_are_as_good_as_nowhere(tmp_path, words):
    done = shell(f"s2rctl {words} >&- 2>&- <&-; echo $?", tmp_path)
    assert (done.stdout, done.stderr) == (b"0\n", b"")


def test_what_is_written_to_a_closed_stream_ends_in_no_other_file(tmp_path):
    """Whatever is opened first would get the number of the closed stream, and the words with it."""
    done = shell("s2rctl profile show none --events events.jsonl >&- 2>&- <&-; echo $?", tmp_path)
    assert done.stdout == b"3\n"
    assert (tmp_path / "events.jsonl").read_bytes() == b""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_odd_bytes_in_arguments_and_poor_encodings(tmp_path, encoding):
    word = "$'" + "".join(f"\\x{byte:02x}" for byte in ODD) + "→'"
    for line, code in ((f"s2rctl artifacts show {word}", 2), (f"s2rctl profile show {word}", 3), (f"s2rctl {word}", 2)):
        plain = shell(line, tmp_path, PYTHONIOENCODING=encoding)
        assert (plain.returncode, plain.stdout, heads(plain.stderr)) == (code, b"", ["error", "hint"]), plain
        done = shell(f"{line} --json", tmp_path, PYTHONIOENCODING=encoding)
        assert done.returncode == code and done.stdout.isascii()
        error = json.loads(done.stdout)["error"]
        assert error["code"] == code and ("→" in error["message"] or "U+DCFF" in error["message"])


def test_a_locale_without_letters(tmp_path):
    poor = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    (tmp_path / "naive.yaml").write_text("extends: aloha-smoke\nname: naive\ndescription: '→ über'\n", encoding="utf-8")
    for line in ("s2rctl profile show naive.yaml", "s2rctl profile show naive.yaml --json"):
        done = shell(line, tmp_path, **poor)
        assert done.returncode == 0 and done.stdout.isascii() and done.stderr == b"", done
    assert shell("s2rctl --help", tmp_path, **poor).returncode == 0


@FULL
def test_events_on_a_full_device_cost_the_events_and_not_the_work(tmp_path):
    (tmp_path / "run.py").write_text(
        "from tests.pipeline import fake_stages; from s2rctl.pipeline import graph\n"
        "graph.graph_of = lambda system: fake_stages.GRAPH\nfrom s2rctl.cli.main import run; run()\n"
    )
    line = '"$PYTHON" run.py pipeline run -p xarm7-smoke --store store --json --events /dev/full'
    done = shell(line, tmp_path)
    value = json.loads(done.stdout)
    assert done.returncode == 7 and value["error"]["code"] == 7 and "/dev/full" in value["error"]["message"]
    assert len(value["data"]["stages"]) == 3  # all of them ran, and what they made is there
    assert (
        done.stderr.count(b"can no longer be written, so events are no longer logged") == 1
        and done.stderr.count(b"error: ") == 1
    )
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr
    again = shell(line.replace(" --events /dev/full", ""), tmp_path)
    assert again.returncode == 0 and all(stage["cached"] for stage in json.loads(again.stdout)["data"]["stages"])


@FULL
def test_progress_that_nobody_can_read_does_not_end_the_work(tmp_path):
    (tmp_path / "run.py").write_text(
        "from tests.pipeline import fake_stages; from s2rctl.pipeline import graph\n"
        "graph.graph_of = lambda system: fake_stages.GRAPH\nfrom s2rctl.cli.main import run; run()\n"
    )
    for number, where in enumerate(("2>/dev/full", "2>&-", "2> >(true)")):
        done = shell(f'"$PYTHON" run.py pipeline run -p xarm7-smoke --store s{number} --json {where}', tmp_path)
        assert done.returncode == 0 and json.loads(done.stdout)["ok"], where
