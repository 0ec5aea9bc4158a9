"""Stage: one self-contained ONNX graph per policy, held to the parity gate."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from s2rctl.core.atomic import write_atomic
from s2rctl.core.errors import ArtifactError
from s2rctl.env import stepping
from s2rctl.env.build import make_env
from s2rctl.env.keys import make_key
from s2rctl.export import card, graph, latency, parity
from s2rctl.export.session import open_session
from s2rctl.learning.networks import TeacherSettings
from s2rctl.learning.policy_files import Policy, load_policy
from s2rctl.learning.reach_networks import ReachSettings
from s2rctl.learning.student import StudentSettings
from s2rctl.robots import ROBOTS
from s2rctl.schema.contract import Contract
from s2rctl.schema.profile import AlohaProfile, Profile
from s2rctl.schema.simulation import Delays
from s2rctl.stages.protocol import Context, Result
from s2rctl.tasks.arm import ACTION_SCALE

VERSION = 1
SEED_OFFSET = 2_000_003
"""Added to the seed: the gate's observations are neither those of training nor those of an evaluation."""
WORLDS = 32


@dataclass(frozen=True)
class Exported:
    """What the stage needs to know of a kind of policy."""

    graph: graph.Graph
    task: str
    delays: Delays
    action_scale: Sequence[float]
    sees: bool


def run(context: Context) -> Result:
    """Write policy.onnx (card inside), contract.json and parity.json; GateError if JAX and ONNX disagree."""
    profile, artifact = context.profile, context.inputs["policy"]
    context.reporter.start("export", profile.export.observations, "observations")
    policy = load_policy(artifact.folder())
    exported = _exported(policy, profile, artifact.manifest.content.name)
    model = graph.to_onnx(exported.graph, profile.export.opset)
    context.reporter.note("graph built; recording observations")
    env = make_env(profile, exported.task, WORLDS, seed=context.seed + SEED_OFFSET)
    recorded = _record(env, policy, exported.graph, profile.export.observations, context)
    contract = _contract(context, exported, env.model)
    content = card.attach(model, contract)
    session = open_session(content)
    generator = np.random.default_rng(context.seed + SEED_OFFSET)
    report = parity.check(exported.graph, session, recorded, profile.export.max_difference, generator)
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
    metrics = {"parity_max_abs": report.max_difference, **times, "bytes": len(content)}
    return Result(files, metrics, contract)


def _exported(policy: Policy, profile: Profile, name: str) -> Exported:
    """Return graph and circumstances of a policy; ArtifactError if it does not belong to the profile's system."""
    if isinstance(profile, AlohaProfile):
        insert = profile.teacher.insert
        if policy.kind == "student":
            settings = StudentSettings.model_validate(policy.config)
            scale = (ACTION_SCALE,) * settings.action_size
            return Exported(graph.student_graph(settings, policy.params), "insertion", insert.delays, scale, True)
        if policy.kind == "teacher":
            shape = TeacherSettings.model_validate(policy.config)
            whole = graph.observation_graph(policy.act, shape.observation_size, shape.action_size)
            task, delays = ("pick", profile.teacher.pick.delays) if name == "pick" else ("insertion", insert.delays)
            return Exported(whole, task, delays, (ACTION_SCALE,) * shape.action_size, False)
    elif policy.kind == "reach":
        found = ReachSettings.model_validate(policy.config)
        scale = (found.action_scale_m,) * 3
        return Exported(graph.reach_graph(found, policy.params), "reach", profile.reach.delays, scale, True)
    raise ArtifactError(
        f"a policy of kind '{policy.kind}' does not belong to the profile {profile.name}",
        "choose the profile that the policy was trained with",
    )


def _record(env: Any, policy: Policy, wanted: graph.Graph, count: int, context: Context) -> dict[str, np.ndarray]:
    """Return the graph's inputs (count, ...) from episodes that the policy itself plays."""
    act = jax.jit(policy.act)
    state = stepping.reset(env, make_key(context.seed + SEED_OFFSET))
    parts: list[dict[str, np.ndarray]] = []
    for number in range(-(-count // env.worlds)):
        seen = {**state.observation.inputs, "observation": state.observation.actor}
        parts.append({name: np.asarray(seen[name]) for name in wanted.inputs})
        state, _ = stepping.step(env, state, act(state.observation))
        context.reporter.update(min(count, (number + 1) * env.worlds), {})
    return {name: np.concatenate([part[name] for part in parts])[:count] for name in wanted.inputs}


def _contract(context: Context, exported: Exported, model: Any) -> Contract:
    profile, artifact = context.profile, context.inputs["policy"]
    lineage = {entry.role: entry.id for entry in artifact.manifest.content.inputs}
    return card.build(
        exported.graph,
        policy=f"{artifact.manifest.content.kind}/{artifact.manifest.content.name}",
        specification=ROBOTS.load(profile.robot.name),
        rate_hz=profile.simulation.rate_hz,
        action_scale=exported.action_scale,
        vision=profile.vision if exported.sees else None,
        model=model,
        delays=exported.delays,
        trained_from={**lineage, "policy": artifact.id},
    )
