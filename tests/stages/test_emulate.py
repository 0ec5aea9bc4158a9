import os
from pathlib import Path

import pytest

pytest.importorskip("dynamixel_sdk", reason="the vendor's SDK is an extra")

from s2rctl.core.errors import MissingEnvironmentError, UsageError
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.emulation import emulate
from s2rctl.emulation.dynamixel.ports import PortNames
from s2rctl.robots.aloha.driver import make
from s2rctl.schema.deployment import Safety
from s2rctl.schema.robots import AlohaRobot

HOST = f"127.{os.getpid() % 200 + 1}.{os.getpid() // 200 % 200 + 1}.7"


def run(robot, address=None, folder=None, seconds=0.2, faults=(), reporter=None):
    return emulate.run(robot, address, folder, seconds, faults, reporter or NullReporter(), Interrupt())


class Asked(NullReporter):
    """Connects a driver when the emulator says where, and keeps its notes."""

    def __init__(self, use):
        self.notes, self._use = [], use

    def note(self, text):
        self.notes.append(text)
        if text.startswith("running"):
            self._use()


def test_an_xarm_listens_where_it_is_told():
    figures = run("xarm7", HOST)
    assert figures["seconds"] >= 0.2
    assert figures["address"].startswith(HOST)
    assert figures["settings"] == [f"robot.address={figures['address']}"]
    with pytest.raises(MissingEnvironmentError, match="cannot listen"):
        run("xarm7", "203.0.113.1")


def test_an_aloha_has_ports_with_lasting_names_and_faults_in_time(tmp_path):
    folder = tmp_path / "ports"
    seen = []

    def use():
        ports = {arm: str(folder / f"ttyDXL_follower_{arm}") for arm in ("left", "right")}
        driver = make(AlohaRobot(name="aloha", ports=ports), Safety(), 0.05)
        driver.connect()
        seen.append(driver.read().joint_pos.shape)
        driver.close()

    reporter = Asked(use)
    figures = run("aloha", folder=folder, seconds=0.4, faults=["overload@0.2"], reporter=reporter)
    assert seen == [(16,)]
    assert figures["errors"] == ["left/9"]
    assert figures["settings"][0] == f"robot.ports.left={folder}/ttyDXL_follower_left"
    assert "fault: overload" in reporter.notes
    assert list(folder.iterdir()) == []  # their devices may belong to somebody else now


@pytest.mark.parametrize(
    ("robot", "options", "text"),
    [
        ("aloha", {"faults": ["overlord@2"]}, "did you mean overload"),
        ("aloha", {"faults": ["overload@soon"]}, "overload@5"),
        ("aloha", {"faults": ["overload@nan"]}, "overload@5"),
        ("aloha", {"faults": ["overload@-1"]}, "overload@5"),
        ("aloha", {"faults": ["overload@inf"]}, "overload@5"),
        ("aloha", {"address": HOST}, "address"),
        ("xarm7", {"faults": ["overload"]}, "known: boundary, collision"),
    ],
)
def test_what_a_robot_does_not_have_is_a_usage_error(robot, options, text):
    with pytest.raises(UsageError) as caught:
        run(robot, **options)
    assert text in caught.value.hint


def test_an_xarm_has_no_ports(tmp_path):
    with pytest.raises(UsageError, match="not serial ports"):
        run("xarm7", folder=tmp_path)


NAMES = ("ttyDXL_follower_left", "ttyDXL_follower_right")


def make_file(path):
    path.write_text("mine")


def make_link(path):
    path.symlink_to("/dev/null")  # as udev does for a real port


def make_dangling_link(path):
    path.symlink_to("ttyUSB7")


def make_device(path):
    os.mkfifo(path)


def identity(path):
    state = path.lstat()
    return state.st_ino, state.st_mode, path.readlink() if path.is_symlink() else None


@pytest.mark.parametrize("make_it", [make_file, make_link, make_dangling_link, make_device, Path.mkdir])
@pytest.mark.parametrize("name", NAMES)
def test_what_has_a_ports_name_already_stays_and_nothing_is_started(tmp_path, monkeypatch, name, make_it):
    started = []
    monkeypatch.setattr(os, "openpty", lambda: started.append("terminal"))
    monkeypatch.setattr("pty.openpty", lambda: started.append("terminal"))
    path = tmp_path / name
    make_it(path)
    before = identity(path)
    with pytest.raises(UsageError, match=f"{name} already exists") as caught:
        run("aloha", folder=tmp_path)
    assert "--ports" in caught.value.hint
    assert identity(path) == before
    assert list(tmp_path.iterdir()) == [path] and started == []


def test_a_folder_that_is_none_is_refused_in_two_lines(tmp_path):
    taken = tmp_path / "file"
    taken.write_text("mine")
    for folder in (taken, taken / "below", tmp_path / ("x" * 300)):
        with pytest.raises(MissingEnvironmentError, match="cannot make port names"):
            run("aloha", folder=folder)
    assert taken.read_text() == "mine"


def test_at_its_end_the_emulator_removes_its_own_links_only(tmp_path):
    left, right = (tmp_path / name for name in NAMES)

    def replace():
        left.unlink()
        left.write_text("somebody's")
        right.unlink()
        right.symlink_to("/dev/ttyUSB7")

    run("aloha", folder=tmp_path, reporter=Asked(replace))
    assert left.read_text() == "somebody's"
    assert str(right.readlink()) == "/dev/ttyUSB7"


def test_a_name_that_is_taken_in_between_is_not_replaced(tmp_path):
    names = PortNames(tmp_path)
    left, right = (tmp_path / name for name in NAMES)
    right.write_text("somebody's")
    with pytest.raises(UsageError, match="already"):
        names.make({"left": "/dev/pts/98", "right": "/dev/pts/99"})
    assert right.read_text() == "somebody's" and not left.is_symlink()


def test_a_second_emulator_does_not_take_the_names_of_the_first(tmp_path):
    def start_second():
        with pytest.raises(UsageError, match="already"):
            run("aloha", folder=tmp_path)
        assert all((tmp_path / name).is_symlink() for name in NAMES)

    run("aloha", folder=tmp_path, reporter=Asked(start_second))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["no.such.host.invalid", "x" * 80 + ".y", "999.1.1.1", ""])
def test_an_address_that_is_none_is_refused_in_two_lines(address):
    with pytest.raises(MissingEnvironmentError, match="cannot listen"):
        run("xarm7", address or " ")
