"""Arguments of ``--set``, one a line."""

from typing import Any

from s2rctl.schema.load import load_profile
from tests.fuzz.box import Box
from tests.fuzz.harness import Target, call
from tests.fuzz.mutate import NUMBERS, WORDS, Chooser, pick, places
from tests.fuzz.targets.profile import SMALL, complete

SEEDS = (
    b"seed=3",
    b"reach.steps=1000\nreach.hidden=[64, 64]\ndescription=some words",
    b"deploy.safety.workspace_low=[0.1, -0.4, 0.02]\ndeploy.safety.workspace_high=[0.7, 0.4, 0.7]",
    b"robot.cameras.side_cam={kind: uvc, device: /dev/video0, fovy_deg: 50}\nevaluate.perturb.latency=0.05",
    b"vision.cameras.0.width=96\ncalibration.board.columns=9\nrobot.address=192.168.1.203",
)


def shape(choose: Chooser, data: bytes) -> bytes:
    """Add or replace an argument: any path that there is, any value."""
    tree = complete()[0]
    path = list(pick(choose, places(tree)))
    if choose.below(4) == 0:
        path.insert(choose.below(len(path) + 1), pick(choose, (*WORDS, 0, 1, 10**30)))
    value = pick(choose, (*NUMBERS, *WORDS, "[1, 2]", "{a: 1}", "[[[]]]", "[" * 2000, "&a [*a]", "'", "? x"))
    line = f"{'.'.join(map(str, path))}={value}".encode("utf-8", "surrogatepass")
    lines = data.split(b"\n")
    lines[choose.below(len(lines))] = line
    return b"\n".join(lines)


def _words(data: bytes) -> list[str]:
    """Return the arguments as a program gets them from the system: no NUL, odd bytes as halves of surrogates."""
    return [line.decode("utf-8", "surrogateescape") for line in data.replace(b"\0", b"").split(b"\n")]


def run(data: bytes, box: Box) -> Any:
    return load_profile(str(box.file("p.yaml", SMALL)), _words(data)).profile.system


def command(data: bytes, box: Box) -> Any:
    box.file("p.yaml", SMALL)
    options = [part for word in _words(data) for part in ("--set", word)]
    code, _ = call("profile", "show", "p.yaml", *options, *(["--json"] if len(data) % 2 else ["--origin"]))
    assert code in (0, 2, 3)
    return code


TARGET = Target("sets", run, lambda: SEEDS, shape, command)
