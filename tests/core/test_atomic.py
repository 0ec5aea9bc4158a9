import os
import socket
import stat
from pathlib import Path

import pytest

from s2rctl.core.atomic import is_stdout, open_to_append, output_folder, replacing, write_atomic, write_output
from s2rctl.core.errors import MissingEnvironmentError, UsageError


def _fifo(place: Path) -> Path:
    os.mkfifo(place / "pipe")
    return place / "pipe"


def _folder(place: Path) -> Path:
    (place / "folder").mkdir()
    return place / "folder"


def _link(place: Path) -> Path:
    (place / "linked").write_bytes(b"kept")
    (place / "link").symlink_to(place / "linked")
    return place / "link"


def _dangling(place: Path) -> Path:
    (place / "dangling").symlink_to(place / "nothing")
    return place / "dangling"


def _socket(place: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place / "socket"))
    return place / "socket"


def _device(place: Path) -> Path:
    """Return a node of our own for the null device: never the machine's."""
    try:
        os.mknod(place / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except (PermissionError, OSError):
        pytest.skip("devices cannot be made here")
    return place / "null"


SPECIAL = {
    "folder": _folder, "link": _link, "dangling link": _dangling, "pipe": _fifo, "socket": _socket, "device": _device,
}  # fmt: skip


@pytest.mark.parametrize("sort", SPECIAL)
def test_only_a_regular_file_is_replaced(sort, tmp_path):
    target = SPECIAL[sort](tmp_path)
    before = sorted((p.name, stat.S_IFMT(p.lstat().st_mode)) for p in tmp_path.iterdir())
    with pytest.raises(UsageError, match="will not be replaced") as caught:
        write_output(target, b"new")
    assert int(caught.value.exit_code) == 2 and caught.value.hint
    assert sorted((p.name, stat.S_IFMT(p.lstat().st_mode)) for p in tmp_path.iterdir()) == before
    assert not (tmp_path / "linked").exists() or (tmp_path / "linked").read_bytes() == b"kept"


@pytest.mark.parametrize("name", [".", "..", "/", "x" * 300, "file/inside", "a\0b"])
def test_paths_that_cannot_be_a_file_are_usage_errors(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"kept")
    with pytest.raises(UsageError):
        write_output(Path(name), b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_bytes() == b"kept"


def test_a_new_and_a_regular_file_are_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / "new" / ("x" * 255)
    write_output(target, b"one")
    write_output(target, b"two")
    assert target.read_bytes() == b"two"
    with pytest.raises(RuntimeError), replacing(target) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"two" and [p.name for p in target.parent.iterdir()] == [target.name]


def test_what_becomes_a_link_meanwhile_is_not_replaced(tmp_path):
    target = tmp_path / "x"
    with pytest.raises(UsageError), replacing(target) as temporary:
        temporary.write_bytes(b"new")
        target.symlink_to(tmp_path / "elsewhere")
    assert target.is_symlink() and not (tmp_path / "elsewhere").exists()


def test_the_names_of_standard_output():
    # Only asked, not written to: code that gets this wrong would replace /dev/stdout of the whole machine.
    assert all(is_stdout(Path(name)) for name in ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"))
    assert not any(is_stdout(Path(name)) for name in ("./x/-", "/dev/stderr", "stdout", "/dev/fd/10"))


@pytest.mark.parametrize("name", ["-", "/proc/self/fd/1"])
def test_standard_output_is_written_through(name, capfdbinary, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_output(Path(name), b"\x00\xffbytes")
    assert capfdbinary.readouterr().out == b"\x00\xffbytes"
    assert list(tmp_path.iterdir()) == []


def test_a_name_as_long_as_a_file_system_takes_can_be_written(tmp_path):
    write_atomic(tmp_path / ("x" * 255), b"content")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"content"


def test_a_folder_to_write_into_may_be_no_file(tmp_path):
    (tmp_path / "file").write_bytes(b"kept")
    for name in ("file", "file/inside"):
        with pytest.raises(UsageError):
            output_folder(tmp_path / name)
    assert output_folder(tmp_path / "a" / "b").is_dir()


def test_appending_takes_files_and_pipes_that_are_read_and_never_waits(tmp_path):
    pipe = _fifo(tmp_path)
    with pytest.raises(UsageError, match="nobody reads"):
        open_to_append(pipe, "--events", "write events to")
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with open_to_append(pipe, "--events", "write events to") as file:
            file.write(b"line\n")
        assert os.read(reader, 10) == b"line\n"
    finally:
        os.close(reader)
    with pytest.raises(UsageError):
        open_to_append(tmp_path, "--events", "write events to")
    for text in (b"a", b"b"):
        with open_to_append(tmp_path / "file", "--events", "write events to") as file:
            file.write(text)
    assert (tmp_path / "file").read_text() == "ab"


def test_a_disk_is_not_appended_to(tmp_path):
    try:
        os.mknod(tmp_path / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 250))
    except (PermissionError, OSError):
        pytest.skip("devices cannot be made here")
    with pytest.raises((UsageError, MissingEnvironmentError)):
        open_to_append(tmp_path / "disk", "--events", "write events to")
