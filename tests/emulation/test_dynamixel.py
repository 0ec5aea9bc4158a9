"""The emulated bus against the vendor's own SDK, without our driver; and its parts by themselves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("dynamixel_sdk", reason="the vendor's SDK is an extra")

import dynamixel_sdk as sdk

from s2rctl.emulation.dynamixel.arms import motors
from s2rctl.emulation.dynamixel.bus import Bus
from s2rctl.emulation.dynamixel.motor import Motor
from s2rctl.emulation.dynamixel.server import EmulatedAloha
from s2rctl.emulation.dynamixel.wire import BROADCAST, HEADER, Fault, Instruction, crc, frame, split, status
from s2rctl.robots.aloha.motors import GOAL_POSITION, PRESENT_POSITION, PROFILE_VELOCITY, TORQUE_ENABLE, to_angle
from s2rctl.scene import SCENES
from tests.driven import DrivenClock

PACKETS = sdk.PacketHandler(2.0)


@pytest.fixture(scope="module")
def model():
    return SCENES.load("insertion")(0.005)


@pytest.fixture
def clock():
    return DrivenClock()


@pytest.fixture
def arms(model, clock):
    with EmulatedAloha(model, clock=clock) as emulator:
        clock.has_users(1)
        yield emulator


@pytest.fixture
def port(arms):
    handler = sdk.PortHandler(arms.ports["left"])
    assert handler.setBaudRate(1_000_000)
    handler.ser.timeout = 0.002
    # the SDK waits for answers on the wall's clock, where it may only catch a hang
    given = handler.setPacketTimeout
    handler.setPacketTimeout = lambda length: (given(length), setattr(handler, "packet_timeout", 500.0))
    yield handler
    handler.closePort()


def test_the_crc_is_the_sdks():
    for data in (b"", b"\x00", HEADER + b"\x01\x03\x00\x01", bytes(range(256)) * 2):
        assert crc(data) == PACKETS.updateCRC(0, list(data), len(data))
    assert crc(b"defgh", crc(b"abc")) == crc(b"abcdefgh")


@given(st.lists(st.tuples(st.integers(0, 252), st.sampled_from([1, 2, 3, 0x83]), st.binary(max_size=40))), st.data())
def test_packets_survive_stuffing_noise_and_fragmentation(packets, data):
    stream = b"".join(b"\x12\xff\xff" + frame(*packet) for packet in packets)
    buffer, found = bytearray(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        buffer += stream[:size]
        stream = stream[size:]
        found += split(buffer)
    assert [(p.motor, p.instruction, p.parameters) for p in found] == packets
    assert all(p.intact for p in found)


@given(st.binary(max_size=30).map(lambda raw: b"\xff\xff\xfd" + raw + b"\xff\xff\xfd\xfd"))
def test_no_header_appears_inside_a_packet(parameters):
    packet = frame(1, Instruction.WRITE, parameters)
    assert packet.count(HEADER[:3] + b"\x00", 1) == 0 or b"\xff\xff\xfd\x00" not in packet[4:]
    assert split(bytearray(packet))[0].parameters == parameters


def test_ping_and_broadcast_ping_find_nine_motors(port):
    model, result, error = PACKETS.ping(port, 8)
    assert (model, result, error) == (1020, sdk.COMM_SUCCESS, 0)
    port.ser.timeout = 0
    found, result = PACKETS.broadcastPing(port)
    assert result == sdk.COMM_SUCCESS
    assert {number: entry[0] for number, entry in found.items()} == dict.fromkeys(range(1, 8), 1120) | {
        8: 1020,
        9: 1020,
    }
    assert PACKETS.ping(port, 17)[1] == sdk.COMM_RX_TIMEOUT


def test_registers_refuse_as_the_manual_says(port):
    write1, write4 = PACKETS.write1ByteTxRx, PACKETS.write4ByteTxRx
    assert write1(port, 1, 6, 3) == (0, Fault.ACCESS)  # read only
    assert write1(port, 1, 11, 2) == (0, Fault.DATA_RANGE)
    assert write4(port, 2, 116, 3000) == (0, Fault.DATA_LIMIT)
    assert write1(port, 1, 116, 3) == (0, Fault.DATA_LENGTH)
    assert write4(port, 2, 116, 2048) == (0, 0)
    assert write1(port, 2, 64, 1) == (0, 0)
    assert write1(port, 2, 11, 4) == (0, Fault.ACCESS)  # EEPROM with torque on
    assert PACKETS.read4ByteTxRx(port, 2, 116)[0] == 2048
    assert PACKETS.regWriteTxRx(port, 1, 65, 1, [1]) == (0, 0)
    assert PACKETS.read1ByteTxRx(port, 1, 65)[0] == 0
    PACKETS.action(port, BROADCAST)
    assert PACKETS.read1ByteTxRx(port, 1, 65)[0] == 1
    assert PACKETS.factoryReset(port, 1, 0xFF) == (0, Fault.INSTRUCTION)


def test_shadows_obey_without_answering(arms, port):
    assert PACKETS.write1ByteTxRx(port, 2, 64, 1) == (0, 0)
    assert arms.arms.motor("left", "shoulder_shadow").torque
    assert not arms.arms.motor("left", "elbow").torque


def test_group_reads_and_writes_of_the_sdk(arms, port):
    for options in ("txRxPacket", "fastSyncRead"):
        group = sdk.GroupSyncRead(port, PACKETS, 132, 4)
        for number in range(1, 10):
            assert group.addParam(number)
        assert getattr(group, options)() == sdk.COMM_SUCCESS
        for number in range(1, 10):
            held = arms.arms.buses["left"].motors[number]
            assert abs(group.getData(number, 132, 4) - held.get(GOAL_POSITION)) <= 12  # home, within what it sags
    bulk = sdk.GroupBulkRead(port, PACKETS)
    assert bulk.addParam(1, 0, 2) and bulk.addParam(9, 0, 2)
    assert bulk.txRxPacket() == sdk.COMM_SUCCESS
    assert (bulk.getData(1, 0, 2), bulk.getData(9, 0, 2)) == (1120, 1020)
    write = sdk.GroupSyncWrite(port, PACKETS, 65, 1)
    assert write.addParam(1, [1]) and write.addParam(3, [1])
    assert write.txPacket() == sdk.COMM_SUCCESS
    assert PACKETS.read1ByteTxRx(port, 3, 65)[0] == 1
    several = sdk.GroupBulkWrite(port, PACKETS)
    assert several.addParam(1, 65, 1, [0]) and several.addParam(2, 112, 4, [7, 0, 0, 0])
    assert several.txPacket() == sdk.COMM_SUCCESS
    assert PACKETS.read4ByteTxRx(port, 2, 112)[0] == 7


def test_a_missing_motor_silences_those_behind_it(arms, port):
    arms.arms.buses["left"].faults.absent = {4}
    group = sdk.GroupSyncRead(port, PACKETS, 132, 4)
    for number in range(1, 10):
        group.addParam(number)
    assert group.txRxPacket() == sdk.COMM_RX_TIMEOUT
    assert group.data_dict[3] and not group.data_dict[4]


def test_damaged_answers_are_seen_by_the_sdk(arms, port):
    arms.arms.buses["left"].faults.corrupt = 1.0
    assert PACKETS.ping(port, 1)[1] in (sdk.COMM_RX_CORRUPT, sdk.COMM_RX_TIMEOUT)


def bus():
    made = motors()
    for motor in made:
        motor.place(0.0, 0.0, 0.0)
    return Bus(made)


def send(line, motor, instruction, parameters=b"", now=0.0):
    return [reply for _, reply in line.receive(frame(motor, instruction, parameters), now)]


def test_damaged_instructions_are_answered_with_a_crc_error():
    packet = bytearray(frame(1, Instruction.PING, b""))
    packet[-1] ^= 0xFF
    assert bus().receive(bytes(packet), 0.0)[0][1] == status(1, Fault.CRC)


def holding(motor, now=0.0):
    motor.write(64, b"\x01", now)
    return motor


def test_the_watchdog_stops_a_motor_whose_bus_falls_silent():
    line = bus()
    motor = holding(line.motors[1])
    motor.set(PROFILE_VELOCITY, 20)
    motor.write(98, b"\x05", 0.0)  # 100 ms
    motor.write(116, (3000).to_bytes(4, "little"), 0.0)
    for step in range(15):
        now = step * 0.005
        send(line, BROADCAST, Instruction.SYNC_READ, bytes([132, 0, 4, 0, 2]), now)  # asks another motor
        motor.tick(now, 0.005, motor.setpoint, 0.0, 0.0)
    assert not motor.tripped and motor.setpoint > 0.02
    for step in range(15, 60):
        motor.tick(step * 0.005, 0.005, motor.setpoint, 0.0, 0.0)
    assert motor.tripped
    stopped = motor.setpoint
    assert stopped < 20 * 0.024 * 0.13
    assert motor.write(116, (2048).to_bytes(4, "little"), 1.0) == Fault.DATA_RANGE
    assert motor.write(98, b"\x00", 1.0) == Fault.NONE
    assert motor.write(116, (2048).to_bytes(4, "little"), 1.0) == Fault.NONE


def test_the_watchdog_sleeps_without_torque_and_while_it_is_asked():
    line = bus()
    idle, busy = line.motors[1], holding(line.motors[6])
    for motor in (idle, busy):
        motor.write(98, b"\x01", 0.0)
    for step in range(100):
        now = step * 0.005
        send(line, 6, Instruction.PING, b"", now)
        for motor in (idle, busy):
            motor.tick(now, 0.005, 0.0, 0.0, 0.0)
    assert not idle.tripped and not busy.tripped


def test_overload_takes_the_torque_until_a_reboot():
    line = bus()
    motor = holding(line.motors[9])
    motor.fail(1 << 5)
    assert not motor.torque
    assert motor.write(64, b"\x01", 0.0) == Fault.ACCESS
    assert send(line, 9, Instruction.PING)[0][8] & 0x80
    send(line, 9, Instruction.REBOOT)
    assert send(line, 9, Instruction.PING, b"", 0.1) == []
    assert send(line, 9, Instruction.PING, b"", 0.5)[0][8] == 0
    assert motor.write(64, b"\x01", 0.5) == Fault.NONE


def test_a_wrong_drive_mode_really_turns_the_other_way():
    right, wrong = Motor(4, 1120, True), Motor(4, 1120, True)
    right.table[10] = 1
    for motor in (right, wrong):
        motor.place(0.5, 0.5, 0.0)
    assert to_angle(right.get(GOAL_POSITION)) == pytest.approx(0.5, abs=1e-3)
    assert to_angle(wrong.get(GOAL_POSITION)) == pytest.approx(-0.5, abs=1e-3)


def test_a_joint_without_torque_is_limp_and_a_resting_arm_is_not(arms, clock):
    wrist = arms.arms.motor("left", "wrist_angle")
    clock.advance(0.3)
    assert wrist.resting
    before = wrist.get(PRESENT_POSITION)
    for motor in arms.arms.buses["left"].motors.values():
        motor.write(64, b"\x01", arms.now())
    clock.advance(0.2)
    assert abs(wrist.get(PRESENT_POSITION) - before) < 20
    for motor in arms.arms.buses["left"].motors.values():
        motor.set(TORQUE_ENABLE, 0)
    clock.advance(0.6)
    assert abs(wrist.get(PRESENT_POSITION) - before) > 40
