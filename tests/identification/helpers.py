"""A single swinging arm of two joints: small enough to be identified in seconds."""

import mujoco
import numpy as np

from s2rctl.core.kinematics import Kinematics
from s2rctl.identification.bench import Bench
from s2rctl.identification.excitation import Excitation, all_rounds
from s2rctl.identification.rehearse import Truth, record
from s2rctl.identification.trace import Trace
from s2rctl.robots.command import joint_entries
from s2rctl.robots.protocol import RobotSpecification

PERIOD_S = 0.05
XML = """
<mujoco>
  <compiler angle="radian"/>
  <option timestep="0.005" integrator="implicitfast" jacobian="dense"/>
  <worldbody>
    <body name="upper">
      <joint name="shoulder" axis="0 1 0" range="-2 2" limited="true" armature="0.3" damping="12" frictionloss="1.2"/>
      <geom type="capsule" size="0.03" fromto="0 0 0 0.3 0 0" mass="1.0"/>
      <body name="fore" pos="0.3 0 0">
        <joint name="elbow" axis="0 1 0" range="-2 2" limited="true" armature="0.1" damping="5" frictionloss="0.4"/>
        <geom type="capsule" size="0.025" fromto="0 0 0 0.25 0 0" mass="0.6"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <position name="shoulder" joint="shoulder" kp="120"/>
    <position name="elbow" joint="elbow" kp="60"/>
  </actuator>
</mujoco>
"""
NAMES = ("shoulder", "elbow")
SPECIFICATION = RobotSpecification(
    name="swing",
    joints=NAMES,
    joint_low=(-2.0, -2.0),
    joint_high=(2.0, 2.0),
    joint_speed=(3.0, 3.0),
    targets=NAMES,
    target_joint=(0, 1),
    target_low=(-2.0, -2.0),
    target_high=(2.0, 2.0),
    home=(0.3, -0.5),
    arms=("",),
    tools=("tip",),
    kinematics=Kinematics.__new__(Kinematics),  # nothing here asks where the tool is
    base_body="upper",
    hand_body="fore",
    tool_axis=(1.0, 0.0, 0.0),
    command=joint_entries(NAMES, (0, 1), (-2.0, -2.0), (2.0, 2.0), (3.0, 3.0)),
)
HOME = np.array(SPECIFICATION.home)


def make_bench() -> Bench:
    return Bench(mujoco.MjModel.from_xml_string(XML), SPECIFICATION, 1)


def rounds(count: int = 3, seed: int = 0, seconds: float = 3.0) -> list[np.ndarray]:
    wanted = Excitation(0.3, 1.0, 0.1, 3.0, seconds, 0.4, count)
    return list(all_rounds(wanted, len(NAMES), PERIOD_S, seed))


def recorded(bench: Bench, values: np.ndarray, seed: int = 0, **changed: float) -> tuple[Trace, ...]:
    made = Truth(values, **({"noise": 3e-4, "tick": 2 * np.pi / 4096} | changed))
    return record(bench, made, rounds(seed=seed), HOME, PERIOD_S, np.random.default_rng(seed))
