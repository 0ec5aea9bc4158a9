"""A robot inside another: what a rehearsal changes of a driver overrides one method, and all else goes through."""

from s2rctl.robots.protocol import Identity, Robot, RobotSpecification, State, StopLevel, Target


class Wrapped:
    """Implements ``Robot`` by the one that it is made from."""

    def __init__(self, robot: Robot) -> None:
        self.specification: RobotSpecification = robot.specification
        self._robot = robot

    def connect(self) -> Identity:
        """Connect."""
        return self._robot.connect()

    def read(self) -> State:
        """Return the newest measurement."""
        return self._robot.read()

    def send(self, target: Target) -> None:
        """Send."""
        self._robot.send(target)

    def hold(self) -> None:
        """Hold."""
        self._robot.hold()

    def stop(self, level: StopLevel) -> None:
        """Stop."""
        self._robot.stop(level)

    def parking(self) -> Target:
        """Return where to park."""
        return self._robot.parking()

    def recover(self) -> None:
        """Recover."""
        self._robot.recover()

    def close(self) -> None:
        """Close."""
        self._robot.close()
