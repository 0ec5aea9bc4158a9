"""Clear a robot's errors because a person asked for it: the one place in the product that does."""

from typing import Any

from s2rctl.core.progress import Reporter
from s2rctl.robots import make_driver
from s2rctl.robots.protocol import Robot
from s2rctl.schema.profile import Profile


def run(profile: Profile, reporter: Reporter) -> dict[str, Any]:
    """Clear the errors, make the robot ready where it is, and let go of it; return what it says afterwards.

    Raises SafetyStop where the cause is still there, and MissingEnvironmentError where the robot is not.
    """
    robot: Robot = make_driver(profile.robot, profile.deploy.safety, profile.simulation.period_s)
    reporter.start(f"recover {profile.robot.name}", 1, "robot")
    try:
        robot.recover()
        state = robot.read()
    finally:
        robot.close()
    reporter.finish("it holds where it is")
    return {"robot": profile.robot.name, "codes": list(state.codes), "joint_pos": state.joint_pos.tolist()}
