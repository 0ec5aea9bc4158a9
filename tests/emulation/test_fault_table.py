"""Rows of the fault table (docs/deploy.md): what happens, and in which order. How fast is benchmarks.faults' to say."""

import pytest

pytest.importorskip("xarm", reason="the vendor's SDK is an extra")
pytest.importorskip("dynamixel_sdk", reason="the vendor's SDK is an extra")

from benchmarks.faults import FAULTS, NotBegunError, try_fault


def row_of(start, robot):
    fault = next(fault for fault in FAULTS if fault.name.startswith(start) and robot in fault.robots)
    for _ in range(4):
        try:
            return try_fault(fault, robot)
        except NotBegunError:
            continue
    pytest.skip("the machine is too busy for a loop at 20 Hz")


@pytest.mark.slow
@pytest.mark.parametrize("robot", ["xarm7", "aloha"])
@pytest.mark.parametrize(
    ("start", "words"),
    [
        ("controller or bus", "stopped softly"),
        ("camera repeats", "'eye' is"),
        ("camera unplugged", "the device is gone"),
        ("policy answers NaN", "not finite"),
        ("policy hangs", "stopped"),
    ],
)
def test_faults_are_noticed_and_the_arm_stops(robot, start, words):
    row = row_of(start, robot)
    assert words in row.did
    assert row.noticed_ms >= 0 and row.rest_ms >= 0  # after the fault, and at rest
    assert not row.cleared


@pytest.mark.slow
@pytest.mark.parametrize(("robot", "start"), [("xarm7", "collision"), ("aloha", "motor overload")])
def test_device_errors_are_not_cleared(robot, start):
    row = row_of(start, robot)
    assert row.did.startswith("stopped softly: the robot reports") and not row.cleared


@pytest.mark.slow
@pytest.mark.parametrize("robot", ["xarm7", "aloha"])
def test_ctrl_c_parks_and_an_arm_stops_when_its_loop_is_gone_or_hangs(robot):
    assert row_of("Ctrl-C", robot).did == "parked and held"
    by = "bus watchdog stopped 18 motors" if robot == "aloha" else "the driver's process stopped the arm"
    for fault in ("kill -9", "the loop's process hangs"):
        gone = row_of(fault, robot)
        assert gone.did == f"was gone; {by}"
        assert gone.noticed_ms is None and gone.rest_ms >= 0
