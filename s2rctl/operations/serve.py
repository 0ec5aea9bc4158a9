"""Serves an exported policy to OpenPI clients: no robot and no camera is touched here, the client has them."""

import time
from collections.abc import Callable
from typing import Any

from s2rctl import __version__
from s2rctl.control.action import action_mapping
from s2rctl.control.envelope import envelope
from s2rctl.control.observation import ObservationBuilder
from s2rctl.control.openpi.layout import Layout
from s2rctl.control.openpi.server import PolicyServer
from s2rctl.control.openpi.session import Session
from s2rctl.control.policy import Policy
from s2rctl.control.safety import SafetyFilter
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import Reporter
from s2rctl.operations.sealed import POLICY_FILE, require_sealed
from s2rctl.robots import ROBOTS
from s2rctl.robots.protocol import RobotSpecification
from s2rctl.schema.profile import Profile
from s2rctl.store.store import Artifact


def run(
    onnx: Artifact,
    profile: Profile,
    host: str,
    port: int,
    seconds: float | None,
    reporter: Reporter,
    interrupt: Interrupt,
) -> dict[str, Any]:
    """Serve the policy until Ctrl-C or for ``seconds``; return what was served. Port 0 takes a free one."""
    specification = ROBOTS.load(profile.robot.name)
    require_sealed(onnx)
    policy = Policy(onnx.path(POLICY_FILE), specification, profile.simulation.rate_hz, profile.vision.cameras)
    with make_server(policy, specification, profile, onnx.id, host, port) as server:
        reporter.start("serve openpi", seconds or 0.0, "s")
        reporter.note(f"listening on {server.host}:{server.port}, health at http://{server.host}:{server.port}/healthz")
        begun = time.monotonic()
        while not interrupt.requested and (seconds is None or time.monotonic() - begun < seconds):
            time.sleep(0.05)
            reporter.update(round(time.monotonic() - begun, 1), {"connections": server.figures.connections})
        elapsed = time.monotonic() - begun
    figures = server.figures
    reporter.finish(f"{figures.requests} requests of {figures.connections} connections")
    return {
        "host": server.host,
        "port": server.port,
        "seconds": round(elapsed, 3),
        "connections": figures.connections,
        "requests": figures.requests,
        "errors": figures.errors,
        "interventions": dict(figures.interventions),
        "timing_ms": figures.timings.summary(),
    }


def make_server(
    policy: Policy,
    specification: RobotSpecification,
    profile: Profile,
    identity: str,
    host: str,
    port: int,
    clock: Callable[[], float] = time.monotonic,
) -> PolicyServer:
    """Return the server of a policy, not yet started; every connection gets its own state and filter.

    ``clock`` gives the time in s by which a pause begins a new episode.
    """
    contract, safety = policy.contract, profile.deploy.safety

    def session() -> Session:
        mapping = action_mapping(specification, contract, safety.tracking_error)
        guard = SafetyFilter(envelope(specification, safety, profile.simulation.rate_hz), mapping, specification)
        layout = Layout(contract, specification, profile.robot.cameras)
        return Session(policy, ObservationBuilder(contract, specification), guard, layout, specification, clock)

    layout = Layout(contract, specification, profile.robot.cameras)
    metadata = {
        "server": f"s2rctl {__version__}",
        "policy": contract.policy,
        "artifact": identity,
        "onnx_sha256": policy.sha256,
        "robot": contract.robot,
        "rate_hz": contract.rate_hz,
        "action_horizon": 1,
        "actions": "absolute targets, to be sent as they are",
        "action_names": list(specification.space.names),
        "inputs": {t.name: {"dtype": t.dtype, "shape": list(t.shape[1:]), "unit": t.unit} for t in contract.inputs},
        "reset_pose": layout.reset_pose(),
    }
    return PolicyServer(session, metadata, host, port)
