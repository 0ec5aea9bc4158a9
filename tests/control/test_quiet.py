import gc
import logging
import sys
import threading

import pytest

from s2rctl.control.quiet import quiet
from tests.waiting import HANG_S


@pytest.fixture(autouse=True)
def nothing_set_aside():
    gc.unfreeze()


def test_nothing_is_collected_and_everything_is_as_before():
    runs = []
    gc.callbacks.append(lambda phase, info: runs.append(phase))
    interval = sys.getswitchinterval()
    try:
        with quiet():
            runs.clear()
            for _ in range(100_000):
                cycle = []
                cycle.append(cycle)
            assert runs == []
            assert sys.getswitchinterval() <= 0.001
    finally:
        gc.callbacks.pop()
    assert gc.isenabled() and gc.get_freeze_count() == 0
    assert sys.getswitchinterval() == interval
    gc.disable()
    try:
        with quiet():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_was_set_aside_before_stays_aside():
    gc.freeze()
    try:
        with quiet():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


class Slow(logging.Handler):
    """A terminal that takes nothing until it is let."""

    def __init__(self):
        super().__init__()
        self.seen, self.let = [], threading.Event()

    def emit(self, record):
        assert self.let.wait(HANG_S)
        self.seen.append((record.getMessage(), threading.current_thread().name))


def test_slow_log_handlers_do_not_hold_up_the_loop():
    root, handler = logging.getLogger(), Slow()
    before = list(root.handlers)
    root.handlers[:] = [handler]
    try:
        with quiet():
            for number in range(5):
                logging.getLogger("s2rctl.test").error("line %d", number)
            assert handler.seen == []  # here already, and nothing is written
            handler.let.set()
        assert [text for text, _ in handler.seen] == [f"line {number}" for number in range(5)]
        assert all(name != threading.main_thread().name for _, name in handler.seen)
        assert root.handlers == [handler]
    finally:
        root.handlers[:] = before


def test_errors_pass_through():
    with pytest.raises(ZeroDivisionError), quiet():
        raise ZeroDivisionError
    assert gc.isenabled()
