"""Stage: one self-contained ONNX graph per policy, held to the parity gate."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from s2rctl.control.perception import running
from s2rctl.core.atomic import write_atomic
from s2rctl.core.seeds import derived_seed
from s2rctl.env.stepping import prepare
from s2rctl.env.vec_env import VecEnv
from s2rctl.evaluation.actors import Act, Actor, State, as_actor
from s2rctl.evaluation.episodes import Episodes
from s2rctl.evaluation.perception import truth_of
from s2rctl.evaluation.policies import is_physical, onnx_policy
from s2rctl.evaluation.statistics import paired
from s2rctl.evaluation.worlds import Worlds, make_worlds
from s2rctl.export import card, graph, latency, parity
from s2rctl.export.conversion import Conversion
from s2rctl.export.session import open_session
from s2rctl.learning.policy_files import load_policy
from s2rctl.robots import ROBOTS
from s2rctl.schema.contract import Contract, Estimate, given
from s2rctl.schema.tensors import ACTION, OBSERVATION, memory_in
from s2rctl.stages.policies import Player, load_player
from s2rctl.stages.protocol import Context, Result
from s2rctl.stages.tier_table import tier_results
from s2rctl.tasks.protocol import Observation

WORLDS = 16
"""Episodes of each side of the closed loop."""
ESTIMATE_EPISODES = 64
"""Episodes in which a policy's estimates are compared with forward kinematics."""


def run(context: Context) -> Result:
    """Write policy.onnx (card inside), contract.json and parity.json; GateError if JAX and ONNX disagree."""
    profile, artifact = context.profile, context.inputs["policy"]
    context.reporter.start("export", profile.export.observations, "observations")
    with Conversion(artifact.folder(), profile.export.opset) as conversion:
        player = load_player(artifact)
        exported = graph.of_policy(load_policy(artifact.folder()))
        seed = _seed(context)
        env = make_worlds(Worlds(profile, player.task, WORLDS, seed, player.images, {}))
        prepare(env)
        recorder = Recorder(player.act, tuple(exported.inputs))
        driven = _drive(env, recorder, player, context)
        model = conversion.result()
    recorded = recorder.observations(profile.export.observations)
    contract = _contract(context, exported, env, player, model)
    content = card.attach(model, contract)
    session = open_session(content)
    unit = max(contract.action_scale) if is_physical(contract) else 1.0
    with ThreadPoolExecutor(1, "parity") as beside:
        limit, random = profile.export.max_difference, np.random.default_rng(seed)
        checked = beside.submit(parity.check, exported, session, recorded, limit, random)
        loop = _closed_loop(context, env, driven, player, onnx_policy(content, contract), unit)
        estimates = _estimates(context, exported, env, player, content, contract)
        report = checked.result()._replace(closed_loop=loop)
    if estimates:
        contract = contract.model_copy(update={"estimates": estimates})
        content = card.attach(model, contract)
    times = latency.measure(session, recorded)
    folder = context.run_folder
    files = {name: folder / name for name in ("policy.onnx", "contract.json", "parity.json")}
    write_atomic(files["policy.onnx"], content)
    write_atomic(files["contract.json"], contract.model_dump_json(indent=2).encode())
    write_atomic(files["parity.json"], json.dumps(report.as_json() | times, indent=2).encode())
    parity.require(report)
    context.reporter.finish(
        f"max |JAX - ONNX| {report.max_difference:.1e}, inference {times['inference_ms_p50']:.2f} ms"
    )
    metrics = {
        "parity_max_abs": report.max_difference,
        "parity_observations": sum(row.observations for row in report.agreement),
        "parity_checks": len(report.agreement) + len(report.sensitivity) + 1,
        **times,
        **{f"estimate_{item.output}_p95_m": item.p95_m for item in contract.estimates},
        "bytes": len(content),
        **{f"version_{name}": version for name, version in contract.versions.items()},
    }
    return Result(files, metrics, contract)


class Recorder:
    """Keeps the graph's inputs, memory among them, of every observation that a policy was asked about.

    ``names`` are the inputs without memory; ``actor`` is the policy that is recorded while it acts.
    """

    def __init__(self, act: Act | Actor, names: Sequence[str]) -> None:
        policy = as_actor(act)
        self._step, self._memory, self._measured = policy.step, policy.memory, names
        self._names = (*names, *(memory_in(item.name) for item in policy.memory))
        self._parts: list[dict[str, np.ndarray]] = []
        self.actor = Actor(policy.memory, self._recorded)

    def _recorded(self, observation: Observation, memory: State) -> tuple[np.ndarray | jax.Array, State]:
        """Do the policy's step, and keep what it was given."""
        seen = {**observation.inputs, OBSERVATION: observation.actor}
        seen = {name: seen[name] for name in self._measured} | given(self._memory, memory)
        self._parts.append({name: np.asarray(value) for name, value in seen.items()})
        return self._step(observation, memory)

    @property
    def count(self) -> int:
        """Number of observations so far."""
        return sum(len(part[self._names[0]]) for part in self._parts)

    def observations(self, count: int) -> dict[str, np.ndarray]:
        """Return ``count`` observations, evenly spread over all of them."""
        rows = np.linspace(0, self.count - 1, count).astype(int)
        return {name: np.concatenate([part[name] for part in self._parts])[rows] for name in self._names}


def _seed(context: Context) -> int:
    """Return the gate's own: its observations are neither those of training nor those of an evaluation."""
    return derived_seed(context.seed, "export")


def _play(env: VecEnv, player: Player, context: Context, episodes: int, **options: Any) -> Episodes:
    return player.play(env, episodes, _seed(context), context.interrupt, **options)


def _drive(env: VecEnv, recorder: Recorder, player: Player, context: Context) -> Episodes:
    """Let JAX drive until there are enough observations; return the first episode of every world."""
    first, batches = _play(env, player, context, env.worlds, act=recorder.actor), 1
    while recorder.count < context.profile.export.observations:
        batches *= 2  # the first batches are played again: they are short, or they would have been enough
        _play(env, player, context, batches * env.worlds, act=recorder.actor)
    context.reporter.update(min(recorder.count, context.profile.export.observations), {})
    return first


def _closed_loop(
    context: Context, env: VecEnv, driven: Episodes, player: Player, onnx_act: Act | Actor, unit: float = 1.0
) -> parity.ClosedLoop:
    """Let ONNX drive from the same starts, with JAX asked on the side, and pair the outcomes.

    ``unit`` is the graph's output for an action of 1: actions are compared as the other checks do, as the graph says
    them.
    """
    policy = as_actor(player.act)

    def exact_step(observation: Observation, memory: State) -> tuple[np.ndarray | jax.Array, State]:
        # Around the policy only: the environment's step must not be compiled a second time for it.
        with jax.default_matmul_precision("highest"):
            return policy.step(observation, memory)

    exact = Actor(policy.memory, exact_step)
    found = _play(env, player, context, env.worlds, act=onnx_act, reference=exact)
    pairs = paired([e.success for e in driven.episodes], [e.success for e in found.episodes])
    # numpy keeps a NaN, which then fails the comparison; max() might drop it.
    worst = unit * np.max([e.largest_error for e in found.episodes])
    return parity.ClosedLoop(
        episodes=len(found.episodes),
        jax_successes=driven.successes,
        onnx_successes=found.successes,
        only_jax=pairs.only_first,
        only_onnx=pairs.only_second,
        p_value=pairs.p_value,
        max_difference=float(worst),
        passed=bool(worst <= context.profile.export.max_difference and pairs.p_value >= parity.UNLIKELY),
    )


def _estimates(
    context: Context, exported: graph.Graph, env: VecEnv, player: Player, content: bytes, contract: Contract
) -> tuple[Estimate, ...]:
    """Let ONNX drive once more and return its estimates with their errors; () for a policy without any.

    It takes more episodes than the gate, because errors are clustered in few of them: with 16 the 95th percentile
    varies from 20 to 43 mm where it is 26.
    """
    specification, settings = ROBOTS.load(context.profile.robot.name), context.profile.deploy.safety.perception
    outputs = card.checkable(exported, specification, env.model)
    if not outputs:
        return ()
    episodes = player.play(
        env,
        ESTIMATE_EPISODES,
        derived_seed(context.seed, "export", "estimates"),
        context.interrupt,
        act=onnx_policy(content, contract, tuple(outputs)),
        truths={name: truth_of(env, specification, tool, frame) for name, (tool, frame) in outputs.items()},
    ).episodes
    frames, found = settings.frames(context.profile.simulation.rate_hz), []
    for output, (tool, frame) in outputs.items():
        errors = [episode.estimate_errors[output] for episode in episodes]
        told = np.concatenate(errors)
        told = told[told != 0]  # an object that nobody holds
        if not np.isfinite(told).all() or not len(told):
            continue  # the parity gate fails, or nothing was ever held
        median, p95, p99 = (float(q) for q in np.quantile(told, (0.5, 0.95, 0.99)))
        found.append(
            Estimate(
                output=output,
                of=tool,
                frame=frame,
                median_m=median,
                p95_m=p95,
                p99_m=p99,
                filtered_max_m=max(max(running(row, frames)) for row in errors),
                filter_s=settings.filter_s,
                episodes=len(errors),
            )
        )
    return tuple(found)


def _contract(context: Context, exported: graph.Graph, env: VecEnv, player: Player, onnx_model: Any) -> Contract:
    profile, artifact = context.profile, context.inputs["policy"]
    lineage = {entry.role: entry.id for entry in artifact.manifest.content.inputs}
    return card.build(
        exported,
        policy=f"{artifact.manifest.content.kind}/{artifact.manifest.content.name}",
        specification=ROBOTS.load(profile.robot.name),
        rate_hz=profile.simulation.rate_hz,
        action_scale=(env.task.action_scale,) * exported.outputs[ACTION],
        vision=profile.vision if player.images else None,
        model=env.model,
        delays=profile.task(player.task).delays,
        trained_from={**lineage, "policy": artifact.id},
        versions=card.versions(onnx_model),
        tiers=tier_results(context.store, artifact),
    )
