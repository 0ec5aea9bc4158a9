"""Requests to stop, in real processes: what counts as a request, and what as impatience."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from s2rctl.core.interrupt import interruptible
from s2rctl.core.steady import SteadyStream
from tests.waiting import HANG_S, wait_for

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
PROGRAM = """
import signal, sys, time
from s2rctl.core.interrupt import interruptible
try:
    with interruptible() as flag:
        print("ready", flush=True)
        for line in sys.stdin:
            print(flag.requested, flush=True)
except KeyboardInterrupt:
    print("at once", flush=True)
print(signal.getsignal(signal.SIGHUP) in (signal.SIG_DFL, signal.SIG_IGN), flush=True)
"""


def talk(*numbers, ignored=False):
    """Return what a process says after each signal."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        preexec_fn=(lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) if ignored else None,
    )
    said = []
    try:
        assert child.stdout.readline() == "ready\n"
        for number in numbers:
            child.send_signal(number)
            try:
                child.stdin.write("?\n")
                child.stdin.flush()
            except BrokenPipeError:
                pass
            said.append(child.stdout.readline().strip())
        rest = child.communicate(timeout=HANG_S)[0].split()
    finally:
        child.kill()
    return said, rest, child.returncode


HUP, INT, TERM = signal.SIGHUP, signal.SIGINT, signal.SIGTERM


@pytest.mark.parametrize("number", [HUP, INT, TERM])
def test_each_signal_is_a_request(number):
    assert talk(number) == (["True"], ["True"], 0)


@pytest.mark.parametrize("numbers", [(HUP, HUP), (HUP, HUP, HUP), (TERM, HUP), (HUP, TERM), (INT, HUP), (HUP, INT)])
def test_a_hang_up_is_never_impatience(numbers):
    said, _, code = talk(*numbers)
    assert said == ["True"] * len(numbers) and code == 0


@pytest.mark.parametrize("numbers", [(INT, INT), (TERM, TERM), (INT, TERM), (HUP, INT, INT)])
def test_who_asks_twice_is_obeyed_at_once(numbers):
    assert talk(*numbers)[0][-1] == "at once"


def test_under_nohup_a_hang_up_stays_ignored():
    assert talk(HUP, ignored=True) == (["False"], ["True"], 0)
    assert talk(HUP, INT, ignored=True)[0] == ["False", "True"]


def test_the_handlers_of_before_come_back():
    before = {number: signal.getsignal(number) for number in (HUP, INT, TERM)}
    with pytest.raises(ZeroDivisionError), interruptible():
        assert signal.getsignal(HUP) is not before[HUP]
        raise ZeroDivisionError
    assert {number: signal.getsignal(number) for number in (HUP, INT, TERM)} == before


class Broken(io.StringIO):
    def write(self, text):
        raise OSError(5, "Input/output error")

    def flush(self):
        raise OSError(5, "Input/output error")

    def isatty(self):
        raise OSError(5, "Input/output error")


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [Broken(), closed(), None])
def test_a_stream_that_is_gone_takes_text_and_says_nothing(stream):
    for steady in (SteadyStream(stream), SteadyStream(stream)):
        assert steady.write("text") == 4
        steady.flush()
        assert not steady.isatty()
    steady = SteadyStream(stream)
    print("text", file=steady, flush=True)


def test_a_stream_that_is_there_gets_everything():
    stream = io.StringIO()
    steady = SteadyStream(stream)
    print("one", "two", file=steady, flush=True)
    assert stream.getvalue() == "one two\n"


def test_blocks_in_one_another_are_all_asked_to_leave():
    with interruptible() as outer:
        with interruptible() as inner:
            os.kill(os.getpid(), signal.SIGINT)
            assert wait_for(lambda: inner.requested, 5)
        assert outer.requested
        with interruptible() as later:
            assert not later.requested
