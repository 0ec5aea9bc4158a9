"""Systems: which robot does which tasks with which policies. Everything above asks here instead of knowing names."""

from s2rctl.core.errors import UsageError
from s2rctl.core.tables import Table, suggestion
from s2rctl.systems.protocol import Policy, System


# Each row is a System.
def _is_system(row: object) -> bool:
    return isinstance(row, System)


SYSTEMS = Table(
    "system",
    {
        "aloha": "s2rctl.systems.aloha:SYSTEM",
        "xarm7-reach": "s2rctl.systems.xarm7_reach:SYSTEM",
    },
    group="s2rctl.systems",
    fits=_is_system,
)


def system_named(name: str) -> System:
    """Return the system of a profile's ``system``; UsageError with a suggestion if there is none."""
    system: System = SYSTEMS.load(name)
    return system


def all_systems() -> tuple[System, ...]:
    """Return every system, those of installed extensions last; one that is broken is left out, and said in the log."""
    return tuple(system for _, system in SYSTEMS.usable())


def system_of_robot(robot: str) -> System:
    """Return the first system that uses a robot; UsageError if none does."""
    for system in all_systems():
        if system.robot == robot:
            return system
    raise UsageError(f"no system uses the robot '{robot}'", suggestion(robot, [s.robot for s in all_systems()]))


def policy_named(kind: str, name: str) -> tuple[System, Policy] | None:
    """Return the policy whose artifact has this kind and name, and its system; None for something that is no policy."""
    for system in all_systems():
        for policy in system.policies:
            if (policy.kind, policy.name) == (kind, name):
                return system, policy
    return None


def archive_of(kind: str, name: str) -> str | None:
    """Return the archive of pretrained artifacts that would hold an artifact."""
    return next((found for s in all_systems() if (found := s.archives.get(f"{kind}/{name}"))), None)
