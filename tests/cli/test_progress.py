import io
import json
import sys

import pytest

from s2rctl.cli.output import Answer, Output, table
from s2rctl.cli.progress import RichReporter, make_reporter
from s2rctl.core.errors import RunError, UsageError
from s2rctl.core.progress import LineReporter, MultiReporter, NullReporter, figures


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_reporter_fits_the_terminal(monkeypatch, tmp_path):
    for name in ("CI", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert isinstance(make_reporter(True, None), NullReporter)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(make_reporter(False, None), LineReporter)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert isinstance(make_reporter(False, None), RichReporter)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_reporter(False, None), LineReporter)
    assert isinstance(make_reporter(True, tmp_path / "e.jsonl"), MultiReporter)
    with pytest.raises(UsageError, match="cannot write events"):
        make_reporter(True, tmp_path / "none" / "e.jsonl")


def test_rich_reporter_says_stage_figures_and_summary(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "120")
    reporter = RichReporter()
    reporter.note("before")
    reporter.start("train-teacher-pick", 100, "steps")
    reporter.update(0, {})
    reporter.update(50, {"reward": 1.5})
    reporter.note("[1/2] a note, with brackets")
    reporter.finish("success 92/100 [85.0, 95.9]")
    reporter.start("open end", 0, "images")
    reporter.update(5, {})
    reporter.close()
    text = stream.getvalue()
    for part in ("before\n", "[1/2] a note, with brackets", "train-teacher-pick: success 92/100 [85.0, 95.9] ("):
        assert part in text


def test_what_compiled_before_the_first_unit_does_not_count_as_its_pace():
    """Half a minute of compiling is no reason to announce hours: "eta 18m44s" stood over a stage of 35 s."""
    now, stream = [0.0], io.StringIO()
    reporter = LineReporter(stream, 0.0, lambda: now[0])
    reporter.start("train", 100, "steps")
    for moment, done in ((1.0, 0), (31.0, 1), (32.0, 2), (33.0, 3)):
        now[0] = moment
        reporter.update(done, {})
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if "eta" in line] == [
        "train: 2/100 steps  1/s  eta 1m38s",
        "train: 3/100 steps  1/s  eta 1m37s",
    ]


def test_output_keeps_data_and_errors_apart():
    out, err = io.StringIO(), io.StringIO()
    Output(False, out, err).answer("x", Answer({"a": 1}, "text", RunError("it broke", "mend it")))
    assert (out.getvalue(), err.getvalue()) == ("text\n", "error: it broke\nhint: mend it\n")
    out, err = io.StringIO(), io.StringIO()
    Output(True, out, err).answer("x", Answer({"a": 1}, "text"))
    assert json.loads(out.getvalue()) == {"schema": 1, "command": "x", "ok": True, "data": {"a": 1}}
    assert err.getvalue() == ""


def test_table_is_aligned():
    assert table(("a", "long"), [("xyz", 1), ("", 22)]) == "a    long\nxyz  1\n     22"


def test_an_interval_stands_beside_its_rate_and_seconds_are_a_duration():
    shown = figures({"reward": 1.5, "success": 0.5, "success_low": 0.4, "success_high": 0.6, "gate_in_s": 90.0})
    assert shown == ["reward=1.5", "success=0.5 [0.4, 0.6]", "gate_in=1m30s"]
    assert figures({"wilson_low": 0.25}) == ["wilson_low=0.25"]
