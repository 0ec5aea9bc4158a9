"""The contract card as a person reads it."""

from s2rctl.cli.describe import contract_text
from s2rctl.schema.contract import CameraContract, Memory
from tests.control.rigs import TINY, contract


def test_a_contract_names_joints_limits_cameras_delays_and_versions() -> None:
    camera = CameraContract(
        name="wrist", width=32, height=24, fovy_deg=58, parent="hand", position_m=(0, 0.01, 0), quaternion=(1, 0, 0, 0),
        depth_unit_m=1e-4, depth_range_m=(0, 0.4),
    )  # fmt: skip
    card = contract(
        TINY,
        cameras=(camera,),
        action_delay_steps=(0.75, 0.25),
        versions={"opset": "21"},
        trained_from={"pick": "ab" * 32},
    )
    limited = card.inputs[0].model_copy(update={"low": TINY.joint_low, "high": TINY.joint_high})
    text = contract_text(card.model_copy(update={"inputs": (limited,)}))
    for part in (
        "test for the robot aloha, at 20 Hz",
        "0.02 for all 3",
        "0 steps 75 %, 1 step 25 %",
        "32x24, 58 deg, on hand at 0 0.01 0 m",
        "depth in counts of 0.0001 m from 0 to 0.4 m",
        "float32 Nx4: joints",
        "lift -1.5 to 1.5",
        "opset 21",
        "abababababab",
    ):
        assert part in text, part
    assert "memory" not in text


def test_a_contract_names_the_memory_and_what_an_episode_begins_with() -> None:
    memory = (Memory(name="hidden", shape=(2, 3), initial=0.5), Memory(name="where", shape=(2,), initial=(0, 1)))
    text = contract_text(contract(TINY, memory=memory))
    assert "float32 2x3, an episode begins with 0.5" in text
    assert "float32 2, an episode begins with values of its own" in text
