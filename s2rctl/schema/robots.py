"""Profile section ``robot``: which robot, and where; one model per robot."""

from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from s2rctl.schema.base import CameraName, Line, Model, Range, quantity, within
from s2rctl.schema.cameras import CameraDevice


class ToolLimits(NamedTuple):
    """What the controller of a robot that takes tool targets keeps to on the way there."""

    speed: float  # m/s
    acceleration: float  # m/s²


class JointMotion(Model):
    """How one joint moves, where that was identified; what is left out is the scene's."""

    armature: float | None = quantity(None, "kg m²", "inertia of the motor's rotor behind its gear", ge=0, le=100)
    damping: float | None = quantity(None, "N m s/rad", "viscous friction", ge=0, le=1e4)
    friction_loss: float | None = quantity(None, "N m", "dry friction", ge=0, le=1e3)
    gain: float | None = quantity(None, "N m/rad", "stiffness of the position control", ge=1e-3, le=1e6)


class RobotSection(Model):
    """What every robot has."""

    name: str = quantity(..., "", "robot table name")
    driver: str = quantity("direct", "", "direct: the vendor's SDK")
    cameras: dict[CameraName, CameraDevice] = quantity({}, "", "device of each policy camera, by the camera's name")

    motion: dict[Line, JointMotion] = quantity(
        {}, "", "identified figures of joints, by the joint's name in the scene; s2rctl sysid apply writes them"
    )

    @property
    def place(self) -> str:
        """Where the robot is reached, for messages; empty when the profile does not say."""
        return ""

    @property
    def recovery_warning(self) -> str:
        """What a person has to know before the robot's errors are cleared."""
        return "The motors are switched on again where the robot stands. Nobody within reach."

    @property
    def setpoint_slack(self) -> float | None:
        """The device's own set-points follow joint commands at this multiple of the filter's speed; None: at once."""
        return None

    @property
    def planner_acceleration(self) -> float | None:
        """Acceleration (m/s²) with which the robot plans the way to a tool target; None: it takes no tool targets."""
        return None


class AlohaRobot(RobotSection):
    """Two ViperX-300 arms."""

    name: Literal["aloha"] = quantity(..., "", "robot table name")
    driver: Literal["direct", "interbotix"] = quantity(
        "direct", "", "direct: the vendor's SDK; interbotix: through the ROS packages that it already runs"
    )
    ports: dict[Line, Line] = quantity(
        {}, "", "per arm its serial device, e.g. left: /dev/ttyDXL_follower_left, or its name in ROS"
    )
    gripper: Literal["aloha1", "aloha2"] = quantity("aloha2", "", "generation of the grippers")
    gripper_range_rad: Annotated[Range, AfterValidator(within(-1.6, 1.6))] | None = quantity(
        None, "rad", "motor angles measured with the grippers closed and open, instead of the preset's"
    )
    gripper_current_ma: float = quantity(540.0, "mA", "largest current of the grippers' motors", ge=1, le=1200)

    @model_validator(mode="after")
    def _gripper_moves(self) -> "AlohaRobot":
        if self.gripper_range_rad and self.gripper_range_rad[1] - self.gripper_range_rad[0] < 0.1:
            raise ValueError("gripper_range_rad: closed and open are the same angle")
        return self

    @property
    def place(self) -> str:
        """The arms' ports."""
        return ", ".join(self.ports.values())

    @property
    def setpoint_slack(self) -> float:
        """The motors' own speed limit stands this much above the filter's: the filter limits, the motors only catch."""
        return 1.5

    @property
    def recovery_warning(self) -> str:
        """The servos have no brakes."""
        return "A motor with an error restarts without torque: its joint drops. Hold the arms with your hands."


class XArm7Robot(RobotSection):
    """An xArm7 behind its controller."""

    name: Literal["xarm7"] = quantity(..., "", "robot table name")
    driver: Literal["direct"] = quantity("direct", "", "direct: the vendor's SDK")
    address: Annotated[Line, Field(max_length=253, pattern=r"^\S+$")] | None = quantity(
        None, "", "IP address of the controller"
    )
    tool_acceleration: float = quantity(
        5.0, "m/s²", "acceleration with which the controller plans the way to the tool's target", ge=0.01, le=50
    )

    @property
    def setpoint_slack(self) -> float:
        """The controller plans to joint targets at the filter's speed."""
        return 1.0

    @property
    def place(self) -> str:
        """The controller's address."""
        return self.address or ""

    @property
    def planner_acceleration(self) -> float | None:
        """The controller's."""
        return self.tool_acceleration


ROBOT: TypeAdapter[AlohaRobot | XArm7Robot] = TypeAdapter(
    Annotated[AlohaRobot | XArm7Robot, Field(discriminator="name")]
)
"""The section of any robot that comes with s2rctl."""
