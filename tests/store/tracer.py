"""Runs a function in a forked process and kills it at a chosen system call that writes; by ptrace, on Linux x86-64."""

import ctypes
import os
import platform
import signal
import sys
from collections.abc import Callable

_TRACEME, _SYSCALL, _PEEKUSER, _POKEUSER, _SETOPTIONS = 0, 24, 3, 6, 0x4200
_SYSGOOD = 1  # a stop at a system call is told from a signal
_ORIG_RAX, _RDX = 15 * 8, 12 * 8  # offsets of registers in the user area: number of the call, its third argument
_WRITE, _OPEN, _OPENAT = 1, 2, 257
_WRITING = {
    _WRITE, 18, 20, 40, 326,  # write, pwrite64, writev, sendfile, copy_file_range
    82, 264, 316, 83, 258, 84, 87, 263, 86, 265, 88, 266,  # rename…, mkdir…, rmdir, unlink…, link…, symlink…
    76, 77, 90, 91, 268, 280, 74, 75, 73,  # truncate, ftruncate, chmod…, utimensat, fsync, fdatasync, flock
}  # fmt: skip


class Untraceable(Exception):
    """Processes cannot be traced here."""


def _ptrace(request: int, child: int, address: int = 0, data: int = 0) -> int:
    call = ctypes.CDLL(None, use_errno=True).ptrace
    call.restype, call.argtypes = ctypes.c_long, [ctypes.c_long] * 4
    ctypes.set_errno(0)
    result: int = call(request, child, address, data)
    if result == -1 and ctypes.get_errno():
        raise Untraceable(os.strerror(ctypes.get_errno()))
    return result


def traced(work: Callable[[], object], kill_at: int, torn: bool = False) -> tuple[bool, int]:
    """Run ``work`` in a fork, kill it before its writing call number ``kill_at`` (from 1), and tell how it went.

    Returns whether it was killed, and how many writing calls it made. ``torn``: the call is a ``write``, and half of it
    is written before the kill; other calls are then not counted. Untraceable where ptrace does not work. The caller
    must have no threads.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise Untraceable("only on Linux x86-64")
    child = os.fork()
    if child == 0:
        try:
            _ptrace(_TRACEME, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            work()
        except Untraceable:
            os._exit(77)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    return _follow(child, kill_at, torn)


def _follow(child: int, kill_at: int, torn: bool) -> tuple[bool, int]:
    _, status = os.waitpid(child, 0)
    if not os.WIFSTOPPED(status):
        raise Untraceable("the process could not be traced")
    _ptrace(_SETOPTIONS, child, 0, _SYSGOOD)
    count, entering, dying, number = 0, True, False, 0
    while True:
        _ptrace(_SYSCALL, child, 0, number)
        number = 0
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            if os.WEXITSTATUS(status):
                raise AssertionError("the work failed in the traced process")
            return False, count
        if os.WIFSIGNALED(status):
            raise AssertionError(f"the traced process died of signal {os.WTERMSIG(status)}")
        if os.WSTOPSIG(status) != signal.SIGTRAP | 0x80:
            number = os.WSTOPSIG(status)  # a signal of its own: let it have it
            continue
        if dying:  # half is written
            return _killed(child), count
        if entering and _writes(child, torn):
            count += 1
            if count == kill_at:
                if not torn:
                    return _killed(child), count
                _ptrace(_POKEUSER, child, _RDX, _ptrace(_PEEKUSER, child, _RDX) // 2)
                dying = True
        entering = not entering


def _writes(child: int, torn: bool) -> bool:
    call = _ptrace(_PEEKUSER, child, _ORIG_RAX)
    if torn:
        return call == _WRITE
    if call in (_OPEN, _OPENAT):
        register = _RDX if call == _OPENAT else 13 * 8
        return bool(_ptrace(_PEEKUSER, child, register) & (os.O_CREAT | os.O_TRUNC))
    return call in _WRITING


def _killed(child: int) -> bool:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True
