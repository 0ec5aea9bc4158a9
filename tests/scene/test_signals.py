from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import pytest

from s2rctl.core.errors import RunError
from s2rctl.scene.signals import SignalReader, quantities, real, sim_only

MODEL = """
<mujoco>
  <worldbody>
    <body name="cart"><joint name="slide" type="slide" axis="1 0 0"/><geom size="0.1"/>
      <body name="pole">
        <joint name="hinge" axis="0 1 0"/><geom size="0.1" pos="0 0 1"/><site name="tip" pos="0 0 1"/>
      </body>
    </body>
  </worldbody>
  <sensor>
    <framepos name="tip_pos" objtype="site" objname="tip"/>
    <jointpos name="joint_pos/slide" joint="slide"/>
    <jointpos name="joint_pos/hinge" joint="hinge"/>
    <jointvel name="speed" joint="hinge"/>
  </sensor>
</mujoco>
"""


@dataclass(frozen=True)
class Signals:
    joint_pos: Any = real(2, unit="", meaning="slide and hinge")
    tip_pos: Any = sim_only(3, unit="m", meaning="tip of the pole")
    speed: Any = real(unit="rad/s", meaning="speed of the hinge")


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(MODEL)


def test_groups_are_sliced_in_model_order_and_scalars_have_no_axis(model: mujoco.MjModel) -> None:
    data = mujoco.MjData(model)
    data.qpos[:] = [0.3, 0.0]
    data.qvel[:] = [0.0, 2.0]
    mujoco.mj_forward(model, data)
    signals = SignalReader(model, Signals).read(data.sensordata)
    np.testing.assert_allclose(signals.joint_pos, [0.3, 0.0])
    np.testing.assert_allclose(signals.tip_pos, [0.3, 0.0, 1.0])
    assert signals.speed == pytest.approx(2.0)
    assert np.shape(signals.speed) == ()


def test_an_unknown_signal_suggests_the_closest_sensors(model: mujoco.MjModel) -> None:
    @dataclass(frozen=True)
    class Typo:
        tip_poss: Any = real(3, unit="m", meaning="misspelt")

    with pytest.raises(RunError, match="no sensor 'tip_poss'") as caught:
        SignalReader(model, Typo)
    assert "tip_pos" in caught.value.hint


def test_a_signal_nothing_resembles_lists_all_sensors(model: mujoco.MjModel) -> None:
    @dataclass(frozen=True)
    class Foreign:
        qqq: Any = real(3, unit="m", meaning="not there")

    with pytest.raises(RunError) as caught:
        SignalReader(model, Foreign)
    assert all(name in caught.value.hint for name in ("joint_pos", "joint_pos/hinge", "speed", "tip_pos"))


def test_a_wrong_size_is_refused(model: mujoco.MjModel) -> None:
    @dataclass(frozen=True)
    class Wide:
        joint_pos: Any = real(3, unit="", meaning="one too many")

    with pytest.raises(RunError, match="declared with 3 numbers, the sensor has 2"):
        SignalReader(model, Wide)


def test_quantities_tell_what_a_robot_can_measure() -> None:
    declared = quantities(Signals)
    assert [name for name, quantity in declared.items() if quantity.real] == ["joint_pos", "speed"]
    assert declared["tip_pos"].unit == "m"
