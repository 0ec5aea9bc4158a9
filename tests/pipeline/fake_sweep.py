"""A pipeline for sweeps that costs nothing: a stage that settings share, and an evaluation that depends on them."""

import os
import signal

import numpy as np

from s2rctl.core.errors import RunError
from s2rctl.stages.protocol import Context, Result
from s2rctl.systems.protocol import Input, Stage
from tests.pipeline.fake_stages import _count, _result

EPISODES = 40


def prepare(context: Context) -> Result:
    """Depend on the seed alone."""
    _count(context.store.root.parent, "prepare", context.seed)
    return _result(context, f"prepared {context.seed}")


def judge(context: Context) -> Result:
    """Succeed more often the more substeps there are; fail, die or be interrupted where a file says so."""
    control, substeps = context.store.root.parent, context.profile.simulation.substeps
    _count(control, "judge", context.seed)
    here = f"{context.seed}-{substeps}"
    if (control / f"fail-{here}").exists():
        raise RunError(f"{here} was made to fail")
    if (control / f"bug-{here}").exists():
        raise ZeroDivisionError("made to fail")
    for name, number in (("kill", signal.SIGKILL), ("stop", signal.SIGINT)):
        if (control / f"{name}-{here}").exists():
            (control / f"{name}-{here}").unlink()
            os.kill(os.getpid(), number)
    luck = float(np.random.default_rng(context.seed).normal(0, 0.1))
    successes = int(np.clip(round(EPISODES * (0.5 + 0.04 * (substeps - 5) + luck)), 0, EPISODES))
    figures = {
        "successes": successes, "episodes": EPISODES, "success_rate": successes / EPISODES, "reward": 2.0 * substeps,
        "gate_passed": successes > 20,
    }  # fmt: skip
    return _result(context, f"judged {here} {context.inputs['ready'].id}", figures)


GRAPH = (
    Stage("prepare", 1, ("system",), (), "teacher", "ready", f"{__name__}:prepare"),
    Stage(
        "judge", 1, ("simulation.substeps",), (Input("ready", "teacher", "ready"),), "evaluation", "judged",
        f"{__name__}:judge",
    ),
    Stage("report", 1, ("*",), (Input("judged", "evaluation", "judged"),), "report", "all", f"{__name__}:prepare"),
)  # fmt: skip
