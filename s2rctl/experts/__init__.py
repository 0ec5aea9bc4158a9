"""Experts: scripted privileged controllers that can label any state with a good action."""

from s2rctl.core.tables import Table

# Each row is a function (model: mujoco.MjModel) -> Expert: World -> action, of one world, stateless, pure JAX.
EXPERTS = Table(
    "expert",
    {
        "pick": "s2rctl.experts.pick:make",
        "insertion": "s2rctl.experts.insertion:make",
        "reach": "s2rctl.experts.reach:make",
    },
)
