import os

import pytest

pytest.importorskip("dynamixel_sdk", reason="the vendor's SDK is an extra")

from s2rctl.core.errors import MissingEnvironmentError, UsageError
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.robots.aloha.driver import make
from s2rctl.schema.deployment import Safety
from s2rctl.schema.robots import AlohaRobot
from s2rctl.stages import emulate

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
    figures = run("aloha", folder=folder, seconds=3.0, faults=["overload@1.5"], reporter=reporter)
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
        ("aloha", {"address": HOST}, "address"),
        ("xarm7", {"faults": ["overload"]}, "known: boundary, collision"),
    ],
)
def test_what_a_robot_does_not_have_is_a_usage_error(robot, options, text):
    with pytest.raises(UsageError) as caught:
        run(robot, **options)
    assert text in caught.value.hint


def test_an_xarm_has_no_ports(tmp_path):
    with pytest.raises(UsageError, match="no serial ports"):
        run("xarm7", folder=tmp_path)
