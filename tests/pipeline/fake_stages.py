"""A tiny pipeline: stages that write a file, count how often they ran, and can be told to misbehave by a file."""

import os
import signal
import time
from pathlib import Path

from s2rctl.core.errors import Interrupted
from s2rctl.stages.protocol import Context, Result
from s2rctl.systems.protocol import Input, Stage

READS = ("system", "robot.name")


def first(context: Context) -> Result:
    """Five units of work with a checkpoint after each; resumes from the checkpoint."""
    control = context.store.root.parent
    mark = context.run_folder / "checkpoint"
    done = int(mark.read_text()) if mark.is_file() else 0
    _count(control, "first", done)
    context.reporter.start("first", 5, "units")
    while done < 5:
        done += 1
        mark.write_text(str(done))
        context.reporter.update(done, {})
        if done == 3 and (control / "kill").exists():
            (control / "kill").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if done == 3 and (control / "wait").exists():
            for _ in range(500):
                if context.interrupt.requested:
                    break
                time.sleep(0.02)
        if context.interrupt.requested:
            raise Interrupted("first was interrupted")
    context.reporter.finish("done")
    return _result(context, f"first {context.profile.simulation.substeps} {context.seed}")


def second(context: Context) -> Result:
    """Write what the input holds."""
    control = context.store.root.parent
    _count(control, "second", 0)
    if (control / "fail").exists():
        raise ZeroDivisionError("made to fail")
    print("noise from a library")  # noqa: T201
    return _result(context, "second of " + context.inputs["one"].path("out.txt").read_text())


def third(context: Context) -> Result:
    """Say whether a gate is met."""
    control = context.store.root.parent
    _count(control, "third", 0)
    passed = not (control / "gate").exists()
    return _result(context, "third", {"gate_passed": passed, "success_rate": 0.5})


def _count(folder: Path, name: str, begun_at: int) -> None:
    with (folder / "calls.log").open("a") as file:
        file.write(f"{name}@{begun_at}\n")


def _result(context: Context, text: str, metrics: dict[str, object] | None = None) -> Result:
    path = context.run_folder / "out.txt"
    path.write_text(text)
    return Result({"out.txt": path}, metrics or {"size": len(text)})


GRAPH = (
    Stage("first", 1, (*READS, "simulation"), (), "teacher", "one", f"{__name__}:first"),
    Stage("second", 1, READS, (Input("one", "teacher", "one"),), "student", "two", f"{__name__}:second"),
    Stage("third", 1, ("evaluate",), (), "evaluation", "three", f"{__name__}:third"),
)
