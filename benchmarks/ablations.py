"""Ablations at reduced budgets, several seeds each, as one table with intervals and one picture of training curves.

Every policy is then judged as ``s2rctl evaluate`` does it, in the worlds of the whole profile, not in those that the
case trained in: a student that never saw a depth camera's faults meets them here.

``python -m benchmarks.ablations reach [--variants best,plain,...] [--seeds 3] [--set reach.steps=40000 ...]``
``python -m benchmarks.ablations pick [--cases as_profile,no_tracking,...] [--seeds 3]``
``python -m benchmarks.ablations distill [--cases ...] [--seeds 3] [--set distill.iterations=100 ...]``, which needs
trained teachers in the store.

Results are artifacts of the store given by S2RCTL_STORE, so an interrupted call goes on where it stopped.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REACH: Mapping[str, tuple[str, ...]] = {
    name: (f"reach.variant={name}",) for name in ("best", "plain", "depth", "alexnet", "twin", "two_camera", "keypoint")
} | {
    "no_bottleneck": ("reach.bottleneck=0",),
    "no_initialisation": ("extractor.images=0",),
    "hindsight": ("reach.hindsight=0.8",),
    "lasting_looks": ("reach.resample_appearance=0",),
    "front_view": ("vision.cameras=[{name: front, width: 84, height: 84}]",),
}
PICK: Mapping[str, tuple[str, ...]] = {
    "as_profile": (),
    "no_tracking": ("tasks.pick.tracking=false",),
    "no_warm_start": ("teacher.pick.warm_start.rounds=0",),
    "no_ppo": ("teacher.pick.ppo.steps=0",),
    "no_averaging": ("teacher.pick.ppo.averaging=0",),
    "no_imitation": ("teacher.pick.ppo.imitation=0",),
    "reference_network": ("teacher.pick.network.policy=[32, 32, 32, 32]",),
}
_NO_DEPTH = "[" + ", ".join(f"{{name: wrist_cam_{side}, width: 32, height: 32}}" for side in ("left", "right")) + "]"
DISTILL: Mapping[str, tuple[str, ...]] = {
    "as_profile": (),
    "no_depth": (f"vision.cameras={_NO_DEPTH}",),
    "no_depth_noise": ("vision.depth_noise=null",),
    "encoder_random": ("distill.encoder=random",),
    "encoder_frozen": ("distill.encoder=frozen",),
    "encoder_finetuned": ("distill.encoder=finetuned",),
    "no_aggregate": ("distill.aggregate=0", "distill.epochs=2"),
    "cloning": ("distill.behaviour_cloning=true",),
    "no_hand_poses": ("distill.hand_poses=false",),
    "not_guided": ("distill.teacher_prefix=0",),
    "lasting_looks": ("distill.resample_appearance=0",),
    "from_switch": ("distill.from_switch=0.4",),
    "adam": ("distill.optimiser=adam", "distill.learning_rate=1e-3", "distill.weight_decay=0"),
}
_DEPTH_NOISE = "vision.depth_noise={edge_gradient: 0.05, edge_gain: 10, disparity_shift_px: 0.5, loss: 0.006}"
JUDGED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "no_depth": {"": (f"vision.cameras={_NO_DEPTH}",)},
    "front_view": {"": REACH["front_view"]},
    "depth": {"": ("reach.variant=depth",), "depth noise": ("reach.variant=depth", _DEPTH_NOISE)},
    "alexnet": {"": ("reach.variant=alexnet",)},
    "two_camera": {"": ("reach.variant=two_camera",)},
}
"""Name of the worlds that a case is judged in, and what makes them; the profile's own where nothing is said."""

_SEED = 77
"""Of the judged episodes: not one that trains."""

_STAGES: Mapping[str, tuple[str, ...]] = {
    "reach": ("init-extractor", "train-reach"),
    "pick": ("train-teacher-pick",),
    "distill": ("pretrain-encoder", "distill"),
}


def main() -> None:
    """Run the chosen ablation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=tuple(_STAGES))
    parser.add_argument("--variants", "--cases", dest="cases", default="")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", dest="sets", action="append", default=[])
    parser.add_argument("--profile", default="")
    parser.add_argument("--episodes", type=int, default=256, help="to judge each policy by; 0: training's own count")
    parser.add_argument("--output", type=Path, default=Path("ablations.png"))
    asked = parser.parse_args()
    known = {"reach": REACH, "pick": PICK, "distill": DISTILL}[asked.what]
    names = asked.cases.split(",") if asked.cases else list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    profile = asked.profile or ("xarm7-reach" if asked.what == "reach" else "aloha")
    chosen = {name: known[name] for name in names}
    _compare(asked.what, profile, chosen, asked)


def _compare(what: str, profile: str, cases: Mapping[str, Sequence[str]], asked: argparse.Namespace) -> None:
    from benchmarks import learning
    from s2rctl.learning.metrics_log import read
    from s2rctl.learning.reach.figures import compare

    runs: dict[str, list[list[dict[str, Any]]]] = {}
    for name, changes in cases.items():
        found = [_train(what, profile, (*asked.sets, *changes), seed) for seed in range(asked.seeds)]
        runs[name] = [read(artifact.path("metrics.jsonl")) for artifact in found]
        _row(name, found)
        if asked.episodes:
            for worlds, sets in JUDGED.get(name, {"": ()}).items():
                _judge(f"{name} {worlds}".strip(), profile, sets, found, asked.episodes)
        # After each case, so that an interrupted call leaves a picture of what there is.
        if what == "pick":
            logs = {
                f"{case} {seed}": learning.judged(log) for case, each in runs.items() for seed, log in enumerate(each)
            }
            learning.compare(asked.output, logs)
        else:
            compare(asked.output, runs, "success", "iterations" if what == "distill" else "environment steps")
    print(f"curves: {asked.output}")


def _train(what: str, profile: str, sets: Sequence[str], seed: int) -> Any:
    """Return the artifact of one training; the extractor or encoder is made first."""
    import sys

    from s2rctl.core.progress import LineReporter
    from s2rctl.pipeline.graph import graph_of, stage_named
    from s2rctl.pipeline.run import Job, make_inputs, run_alone
    from s2rctl.schema.load import load_profile
    from s2rctl.store.location import find_store
    from s2rctl.store.store import Store

    loaded = load_profile(profile, sets, seed).profile
    job = Job(loaded, Store(find_store(None)), LineReporter(sys.stderr), "the same command")
    graph = graph_of(loaded.system)
    outcomes = [
        run_alone(stage, job, make_inputs(graph, stage, job))
        for stage in (stage_named(graph, name) for name in _STAGES[what])
    ]
    return outcomes[-1].artifact


def _judge(name: str, profile: str, sets: Sequence[str], artifacts: Sequence[Any], count: int) -> None:
    """Print each policy's success in ``count`` first episodes of worlds that the profile with ``sets`` describes."""
    from s2rctl.core.interrupt import Interrupt
    from s2rctl.evaluation.statistics import format_rate
    from s2rctl.evaluation.worlds import Worlds, make_worlds
    from s2rctl.schema.load import load_profile
    from s2rctl.stages.policies import load_player

    loaded = load_profile(profile, sets).profile
    rates = []
    for artifact in artifacts:
        player = load_player(artifact)
        env = make_worlds(Worlds(loaded, player.task, min(count, loaded.evaluate.worlds), _SEED, player.images, {}))
        found = player.play(env, count, _SEED, Interrupt())
        rates.append(format_rate(found.successes, len(found.episodes)))
    print(f"{name:<20} judged: " + "  ".join(rates), flush=True)


def _row(name: str, artifacts: Sequence[Any]) -> None:
    """Print what the seeds of one case reached: mean and range of every figure that they share."""
    metrics = [artifact.manifest.origin.metrics for artifact in artifacts]
    print(f"{name:<20} " + "  ".join(str(m["text"]) for m in metrics if "text" in m))
    wanted = ("success_rate", "final_error_mm_median", "position_error_mm_median", "action_error", "training_success")
    parts = []
    for key in wanted:
        values = [float(m[key]) for m in metrics if isinstance(m.get(key), int | float)]
        if values:
            parts.append(f"{key} {sum(values) / len(values):.3g} [{min(values):.3g}, {max(values):.3g}]")
    print(f"{name:<20} {len(artifacts)} seeds  " + "  ".join(parts), flush=True)


if __name__ == "__main__":
    main()
