import json

import numpy as np
import pytest

from s2rctl.control.recording import read_steps
from s2rctl.core.clock import VirtualClock
from s2rctl.core.errors import GateError, Interrupted, MissingEnvironmentError, PerceptionStop, SafetyStop, UsageError
from s2rctl.core.exits import ExitCode
from s2rctl.core.interrupt import Interrupt
from s2rctl.core.progress import NullReporter
from s2rctl.operations.rehearsal import twin
from s2rctl.pipeline.graph import graph_of, stage_named
from s2rctl.robots import ROBOTS
from s2rctl.schema.contract import CameraContract, Contract, Estimate, Tensor
from s2rctl.schema.load import load_profile
from s2rctl.schema.manifest import InputRef, StageRef
from s2rctl.stages import deploy, live
from s2rctl.stages.certificate import certificate
from s2rctl.stages.protocol import Context
from s2rctl.store.store import Store
from tests.control.rigs import scale_of, write_policy

STAGE = stage_named(graph_of("aloha"), "rehearse")

STEPS = 6


def reach_card(**changes):
    def tensor(name, dtype, *shape, **more):
        return Tensor(name=name, dtype=dtype, shape=("batch", *shape), meaning=name, **more)

    side = CameraContract(
        name="side",
        width=84,
        height=84,
        fovy_deg=45,
        parent="base",
        position_m=(0, 0, 0),
        quaternion=(1, 0, 0, 0),
        position_range_m=(0.02, 0.02, 0.02),
        rotation_range_deg=3.0,
    )
    fields = {
        "policy": "xarm7-reach",
        "robot": "xarm7",
        "rate_hz": 20.0,
        "inputs": (tensor("goal", "float32", 3, unit="m"), tensor("rgb_side", "uint8", 84, 84, 3)),
        "outputs": (tensor("action", "float32", 3, unit="m", low=(-0.03,) * 3, high=(0.03,) * 3),),
        "action_meaning": "displacement in m",
        "action_scale": (0.03, 0.03, 0.03),
        "cameras": (side,),
    }
    return Contract.model_validate({**fields, **changes})


def aloha_card():
    spec = ROBOTS.load("aloha")
    inputs = (Tensor(name="joint_pos", dtype="float32", shape=("batch", 16), meaning="joints", elements=spec.joints),)
    outputs = (Tensor(name="action", dtype="float32", shape=("batch", 14), meaning="a", elements=spec.targets),)
    return reach_card(robot="aloha", inputs=inputs, outputs=outputs, action_scale=scale_of(spec), cameras=())


@pytest.fixture(scope="module")
def profile():
    return load_profile("xarm7-smoke", [f"tasks.reach.episode_steps={STEPS}", "deploy.rehearsal.episodes=2"]).profile


@pytest.fixture(scope="module")
def made_rehearsal(profile):
    from s2rctl.emulation.faults import Faults

    clock = VirtualClock()
    return clock, twin.make_rehearsal(profile, clock, Faults(latency_s=(0.0, 0.01)))


@pytest.fixture
def one_rehearsal(monkeypatch, made_rehearsal):
    """Compile the twin once for all tests of this file."""
    clock, made = made_rehearsal
    monkeypatch.setattr(deploy, "VirtualClock", lambda: clock)
    monkeypatch.setattr(twin, "make_rehearsal", lambda *_: made)
    monkeypatch.setattr(deploy, "_film", lambda *_: {})
    return made


def publish(store, profile, kind, name, files, inputs=(), metrics=None, contract=None):
    return store.publish(
        kind,
        name,
        files,
        stage=StageRef(name="test", version=1),
        profile=profile.model_dump(mode="json"),
        seed=0,
        inputs=inputs,
        metrics=metrics,
        contract=contract,
    )


def context(tmp_path, profile, action=(0.01, 0.0, 0.0), card=None, interrupt=None):
    card = card or reach_card()
    store = Store(tmp_path / "store")
    path = write_policy(tmp_path / "policy.onnx", card, np.array(action))
    onnx = publish(store, profile, "onnx", "xarm7-reach", {"policy.onnx": path}, contract=card)
    run = tmp_path / "run"
    run.mkdir(exist_ok=True)
    return Context(STAGE, profile, {"onnx": onnx}, store, run, NullReporter(), interrupt or Interrupt())


def test_a_rehearsal_moves_the_twin_and_is_certified(tmp_path, profile, one_rehearsal):
    job = context(tmp_path, profile)
    result = deploy.run_rehearsal(job)
    assert set(result.files) == {"episode-000.mcap", "episode-001.mcap", "rehearsal.json", "certificate.json"}
    figures = result.metrics
    assert (figures["episodes"], figures["steps"], figures["safety_stops"]) == (2, 2 * STEPS, 0)
    assert 0 <= figures["wilson_low"] <= figures["success_rate"] <= figures["wilson_high"] <= 1
    assert 0 < figures["inference_ms_p50"] <= figures["inference_ms_p99"]
    assert figures["period_ms_p50"] == pytest.approx(50.0)
    card = json.loads(result.files["certificate.json"].read_text())
    assert card["onnx_id"] == job.inputs["onnx"].id
    assert card["onnx_sha256"] == job.inputs["onnx"].files["policy.onnx"].sha256
    steps = read_steps(result.files["episode-000.mcap"])
    tool = np.array([step["tool"][0][:3] for step in steps])
    assert len(steps) == STEPS
    assert np.allclose(np.diff([step["target"][0] for step in steps]), 0.01, atol=1e-6)
    assert tool[-1, 0] - tool[0, 0] > 0.01
    again = deploy.run_rehearsal(job)
    repeated = read_steps(again.files["episode-000.mcap"])
    assert [step["joint_pos"] for step in repeated] == [step["joint_pos"] for step in steps]


def test_success_is_the_tasks_own(tmp_path, profile, one_rehearsal):
    one_rehearsal.begin(3)
    goal, tool = one_rehearsal.judge.goal, one_rehearsal.twin.read().tool[0, :3]
    judged = one_rehearsal.judge.verdict()
    assert (judged.success, judged.failure) == (False, "not_started")
    one_rehearsal.judge.watch(one_rehearsal.twin.plant.data, np.zeros(3))
    assert one_rehearsal.judge.verdict().success == bool(np.linalg.norm(goal - tool) < 0.05)
    assert np.all(np.abs(goal - one_rehearsal.twin.parking().values) <= 0.15 + 1e-6)


@pytest.mark.parametrize("substeps", [10, 5])
def test_the_twins_cameras_deliver_at_the_profiles_rate(substeps):
    from s2rctl.emulation.faults import Faults

    profile, clock = load_profile("xarm7-smoke", [f"simulation.substeps={substeps}"]).profile, VirtualClock()
    made = twin.make_rehearsal(profile, clock, Faults(latency_s=(0.0, 0.0)))
    made.begin(0)
    times = []
    for tick in range(100):  # 0.4 s
        clock.sleep_until(clock.now() + 0.004)
        times += [frame.t for frame in (made.cameras[0].latest(),) if frame is not None]
        assert tick < 1 or times
    assert np.diff(sorted(set(times))) == pytest.approx(0.005 * substeps)
    made.close()


def test_too_many_safety_stops_are_exit_6_and_leave_recordings(tmp_path, profile, one_rehearsal):
    job = context(tmp_path, profile, action=(np.nan, 0, 0))
    with pytest.raises(SafetyStop, match=r"2 of 2 rehearsed episodes ended in a safety stop: .*not finite") as caught:
        deploy.run_rehearsal(job)
    assert caught.value.exit_code == ExitCode.SAFETY
    assert (job.run_folder / "episode-000.mcap").stat().st_size > 0
    assert not (job.run_folder / "certificate.json").exists()


def estimating_card(**changes):
    """The card of a policy that also estimates its tool's position: always the robot's foot."""
    card = reach_card()
    position = Tensor(name="position", dtype="float32", shape=("batch", 3), meaning="tool", unit="m")
    figures = {"median_m": 0.01, "p95_m": 0.02, "p99_m": 0.03, "filtered_max_m": 0.025, "filter_s": 0.35, "episodes": 9}
    estimates = (Estimate(output="position", of="tcp", **figures),)
    return card.model_copy(update={"outputs": (*card.outputs, position), "estimates": estimates, **changes})


def test_a_rehearsed_policy_whose_estimate_is_off_is_stopped_by_the_perception_check(tmp_path, profile, one_rehearsal):
    job = context(tmp_path, profile, card=estimating_card())
    with pytest.raises(PerceptionStop, match=r"2 of 2 .*perception check: .*'tcp'.*limit 5\.0 cm") as caught:
        deploy.run_rehearsal(job)
    assert caught.value.exit_code == ExitCode.SAFETY
    assert "camera" in caught.value.hint and "recordings" in caught.value.hint
    steps = read_steps(job.run_folder / "episode-000.mcap")
    assert len(steps) == 3  # the fourth of seven images stops
    assert all(step["perception"]["position"]["error_m"] > 0.2 for step in steps)
    figures = json.loads((job.run_folder / "rehearsal.json").read_text())
    assert (figures["safety_stops"], figures["perception_stops"]) == (2, 2)
    assert figures["failures"] == {"perception_stop": 2}


@pytest.mark.parametrize("off", ["old card", "not in this mode"])
def test_without_figures_or_where_it_is_off_the_check_stops_nothing(tmp_path, profile, one_rehearsal, off):
    card = estimating_card(estimates=()) if off == "old card" else estimating_card()
    modes = ["live"] if off == "not in this mode" else ["rehearse", "live"]
    sets = [f"tasks.reach.episode_steps={STEPS}", "deploy.rehearsal.episodes=2"]
    chosen = load_profile("xarm7-smoke", [*sets, f"deploy.safety.perception.modes={modes}"]).profile
    figures = deploy.run_rehearsal(context(tmp_path, chosen, card=card)).metrics
    assert (figures["steps"], figures["safety_stops"], figures["perception_stops"]) == (2 * STEPS, 0, 0)


def test_an_interrupted_rehearsal_can_be_run_again(tmp_path, profile, one_rehearsal):
    flag = Interrupt()
    flag.requested = True
    with pytest.raises(Interrupted):
        deploy.run_rehearsal(context(tmp_path, profile, interrupt=flag))


def ready(
    tmp_path, profile, *, asked=0.5, gate=True, certified=True, card=None, action=(0.01, 0, 0), other_limits=False
):
    job = context(tmp_path, profile, card=card, action=action)
    onnx = job.inputs["onnx"]
    made_from = [InputRef(role="onnx", id=onnx.id)]
    (tmp_path / "evaluation.json").write_text("{}")
    evaluation = publish(
        job.store,
        profile,
        "evaluation",
        "e",
        {"evaluation.json": tmp_path / "evaluation.json"},
        made_from,
        {"gate_passed": True, "wilson_low": 0.9 if gate else 0.4},
    )
    inputs = {"onnx": onnx, "evaluation": evaluation}
    if certified:
        policy = deploy.load_policy(job)
        figures = {"episodes": 2, "successes": 2, "safety_stops": 0, "clock": "virtual", "through": "twin"}
        (tmp_path / "certificate.json").write_text(json.dumps(certificate(job, policy, figures)))
        files = {"certificate.json": tmp_path / "certificate.json"}
        inputs["rehearsal"] = publish(job.store, profile, "deployment", "d", files, made_from)
    if other_limits:
        loaded = load_profile("xarm7-smoke", [f"tasks.reach.episode_steps={STEPS}", "deploy.safety.tool_speed=0.9"])
        profile = loaded.profile
    asking = profile.evaluate.gate.model_copy(update={"success_low": asked})
    profile = profile.model_copy(update={"evaluate": profile.evaluate.model_copy(update={"gate": asking})})
    return Context(STAGE, profile, inputs, job.store, job.run_folder, NullReporter(), Interrupt())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"gate": False}, "did not pass its evaluation gate"),
        ({"asked": 0}, "gate is 0"),
        ({"certified": False}, "was never rehearsed"),
        ({"other_limits": True}, "changed since the rehearsal"),
    ],
)
def test_live_is_refused_without_gate_and_certificate(tmp_path, profile, changes, text):
    with pytest.raises(GateError, match=text) as caught:
        live.run_live(ready(tmp_path, profile, **changes))
    assert caught.value.hint


def test_live_is_refused_without_an_evaluation(tmp_path, profile):
    with pytest.raises(GateError, match="never evaluated"):
        live.run_live(context(tmp_path, profile))


def test_a_robot_that_is_not_there_is_an_environment_error(tmp_path):
    ports = ["robot.ports.left=/dev/nothing_left", "robot.ports.right=/dev/nothing_right"]
    aloha = load_profile("aloha-smoke", ports).profile
    with pytest.raises(MissingEnvironmentError) as caught:
        live.run_shadow(context(tmp_path, aloha, card=aloha_card(), action=np.zeros(14)))
    assert caught.value.exit_code == ExitCode.ENVIRONMENT


def test_a_tool_robot_needs_a_workspace(tmp_path):
    sets = ["deploy.safety.workspace_low=null", "deploy.safety.workspace_high=null", "robot.address=127.0.0.1"]
    with pytest.raises(UsageError, match="workspace"):
        live.run_shadow(context(tmp_path, load_profile("xarm7-smoke", sets).profile))
