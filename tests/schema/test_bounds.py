"""What validates, runs: every value that a stage could not bear is refused by the models, where it stands."""

import math
from typing import get_args, get_origin

import annotated_types
import pytest
from pydantic.fields import FieldInfo

from s2rctl.core.errors import ProfileError
from s2rctl.schema.base import SEED_LIMIT, Model
from s2rctl.schema.load import load_profile
from s2rctl.schema.profile import AlohaProfile, ReachProfile

ALOHA = [
    ("simulation.timestep_s=1e-320", "simulation.timestep_s"),
    ("simulation.timestep_s=.inf", "simulation.timestep_s"),
    ("simulation.timestep_s=.nan", "simulation.timestep_s"),
    ("simulation.substeps=1000000000", "simulation.substeps"),
    ("simulation.substeps=999", "simulation.substeps: timestep_s x substeps makes a control rate of"),
    ("simulation.threads=99999999999", "simulation.threads"),
    ("deploy.rehearsal.latency_s=[0.2, 0.1]", "deploy.rehearsal.latency_s: a range needs its lower end first"),
    ("deploy.rehearsal.latency_s=[-0.2, 0.1]", "deploy.rehearsal.latency_s: needs numbers from 0 to 10"),
    ("deploy.rehearsal.latency_s=[0, 1e999]", "deploy.rehearsal.latency_s.1"),
    ("deploy.rehearsal.episodes=1e300", "deploy.rehearsal.episodes"),
    ("deploy.safety.workspace_low=[0, 0, 0]", "deploy.safety.workspace_high: a box needs both corners"),
    ("deploy.safety.joint_speed=1e-320", "deploy.safety.joint_speed"),
    ("deploy.safety.position_gap_m=[0.1, 0.1]", "deploy.safety.position_gap_m"),
    ("deploy.live.ramp=[]", "deploy.live.ramp"),
    ("deploy.live.ramp=[1e-320]", "deploy.live.ramp"),
    ("calibration.board.marker_m=0.03", "calibration.board.marker_m"),
    ("calibration.board.marker_m=0.04", "calibration.board.marker_m"),
    ("calibration.board.marker_m=0.001", "calibration.board.marker_m"),
    ("calibration.board={columns: 200, rows: 200}", "calibration.board.columns"),
    ("calibration.board={columns: 15, rows: 14}", "calibration.board.rows: 15 x 14 squares need 105 markers"),
    ("calibration.board={columns: 3, rows: 3}", "calibration.board.rows: 3 x 3 squares have 4 inner corners"),
    ("calibration.board={square_m: 0.3, marker_m: 0.2}", "calibration.board.square_m: makes the board larger"),
    ("calibration.width=100000", "calibration.width"),
    ("calibration={camera: x, width: 4096, height: 4096, poses: 1000}", "calibration.poses"),
    ("calibration.camera=../x", "calibration.camera"),
    ("robot.cameras.x={kind: realsense, fps: 15}", "robot.cameras.x.fps: 15 pictures a second are fewer than"),
    ("robot.cameras={'../x': {kind: realsense}}", "robot.cameras"),
    ("robot.name=xarm7", "robot.name: input should be 'aloha'"),
    ("robot.gripper_range_rad=[1, 0]", "robot.gripper_range_rad"),
    ("robot.gripper_range_rad=[1, 1]", "robot.gripper_range_rad"),
    ("robot.address=a b", "robot.address"),
    ("vision.cameras=[]", "vision.cameras: the policy needs at least one camera"),
    ("vision.cameras.1.name=wrist_cam_left", "vision.cameras.1.name: there are two cameras"),
    ("vision.cameras.1.name=../../x", "vision.cameras.1.name"),
    ("vision.cameras.1.name=a/b", "vision.cameras.1.name"),
    ("vision.cameras.1.width=64", "vision.cameras.1.width: all policy cameras must have the same"),
    ("vision.cameras.1.depth=false", "vision.cameras.1.depth: all policy cameras must have the same"),
    ("vision.cameras=[{name: a, width: 16, height: 16}]", "vision.cameras.0: 16 x 16 pixels; the encoder needs 20"),
    ("vision.cameras.0.depth_range_m=[0, 0]", "vision.cameras.0.depth_range_m"),
    ("vision.cameras.0.depth_range_m=[0, 100]", "vision.cameras.0.depth_range_m: 65535 counts"),
    ("vision.cameras.0.depth_unit_m=1e-320", "vision.cameras.0.depth_unit_m"),
    ("vision.appearance.brightness=[2, 1]", "vision.appearance.brightness"),
    ("vision.appearance.camera_fovy_deg=90", "vision.appearance.camera_fovy_deg"),
    ("vision.depth_noise.disparity_shift_px=1000", "vision.depth_noise.disparity_shift_px"),
    ("vision.depth_noise.scratches=1000000000", "vision.depth_noise.scratches"),
    ("tasks.pick.delays.observation=[]", "tasks.pick.delays.observation"),
    ("tasks.pick.delays.observation=[0, 0]", "tasks.pick.delays.observation: needs weights"),
    (f"tasks.pick.delays.observation=[{', '.join(['1'] * 1000)}]", "tasks.pick.delays.observation"),
    ("teacher.pick.network.policy=[]", "teacher.pick.network.policy"),
    ("teacher.pick.network.value=[-3]", "teacher.pick.network.value.0"),
    ("teacher.pick.network.value=[1000000000]", "teacher.pick.network.value.0"),
    ("teacher.pick.ppo.worlds=1000000000", "teacher.pick.ppo.worlds"),
    ("teacher.pick.ppo={worlds: 60000, unroll: 1000}", "teacher.pick.ppo.unroll: worlds x unroll is 60,000,000"),
    ("teacher.pick.ppo.steps=99999999999999999999", "teacher.pick.ppo.steps"),
    ("teacher.pick.ppo.learning_rate=1e-320", "teacher.pick.ppo.learning_rate"),
    ("teacher.pick.warm_start.batch=99999999999999999999", "teacher.pick.warm_start.batch"),
    ("tasks.pick.episode_steps=1000000000", "tasks.pick.episode_steps"),
    ("tasks.pick.rewards={grip: .inf}", "tasks.pick.rewards.grip"),
    ("tasks.pick.rewards={grip: 1e300}", "tasks.pick.rewards"),
    ("encoder.source=cifar10", "encoder.cifar10: the source cifar10 needs the archive"),
    ("encoder.images=1e15", "encoder.images"),
    ("distill.network=[0]", "distill.network.0"),
    ("distill={worlds: 60000, steps: 1000}", "distill.steps"),
    ("evaluate.perturb.latency=.nan", "evaluate.perturb.latency"),
    ("evaluate.worlds=1e18", "evaluate.worlds"),
    ("export.opset=99", "export.opset"),
    ("export.observations=1e12", "export.observations"),
    ("name=" + "a" * 300, "name"),
    ("seed=2147483648", "seed"),
]  # fmt: skip
REACH = [
    ("reach={variant: two_camera, second_camera: side}", "vision.cameras.1.name: there are two cameras 'side'"),
    ("reach={variant: alexnet}", "vision.cameras.0: 24 x 24 pixels; the encoder needs 32 x 32"),
    ("reach={variant: depth}", "vision.cameras.0.depth_range_m: 65535 counts of 1e-05 m reach 0.65535 m, not 3 m"),
    ("reach={second_camera: a/b}", "reach.second_camera"),
    ("tasks.reach.planner=[1.5, 0.6]", "tasks.reach.planner"),
    ("tasks.reach.planner=[0, 1]", "tasks.reach.planner"),
    ("reach={hidden: []}", "reach.hidden"),
    ("reach={replay: 1e18}", "reach.replay"),
    ("tasks.reach.action_scale=1e-320", "tasks.reach.action_scale"),
    ("reach={worlds: 65536, variant: best}", None),
    ("extractor.source=cifar10", "extractor"),
    ("robot.name=aloha", "robot.name: input should be 'xarm7'"),
    ("deploy.safety.workspace_low=[0.5, 0.9, 0.1]", "deploy.safety.workspace_high: must lie above"),
    ("deploy.safety.device_watchdog_s=0.045", "deploy.safety.device_watchdog_s: the loop commands every 0.05 s"),
]  # fmt: skip
SMALL = ["vision.cameras.0.width=24", "vision.cameras.0.height=24", "vision.cameras.0.depth_unit_m=1e-5",
         "vision.cameras.0.depth_range_m=[0, 0.4]"]  # fmt: skip


@pytest.mark.parametrize(("setting", "fault"), ALOHA, ids=lambda value: str(value)[:50])
def test_aloha_refuses_what_a_stage_could_not_bear(setting, fault):
    with pytest.raises(ProfileError) as caught:
        load_profile("aloha", [setting])
    assert f": {fault}" in caught.value.message and int(caught.value.exit_code) == 3


@pytest.mark.parametrize(("setting", "fault"), [row for row in REACH if row[1]], ids=lambda value: str(value)[:50])
def test_reach_refuses_what_a_stage_could_not_bear(setting, fault):
    with pytest.raises(ProfileError) as caught:
        load_profile("xarm7-reach", [*SMALL, setting])
    assert f": {fault}" in caught.value.message


def test_as_many_worlds_as_memory_bears():
    assert load_profile("xarm7-reach", [*SMALL, "reach.worlds=65536"])
    with pytest.raises(ProfileError, match=r"reach.worlds: 65536 worlds draw 462,422,016 pixels at once"):
        load_profile("xarm7-reach", ["reach.worlds=65536"])


@pytest.mark.parametrize("seed", [0, 1, SEED_LIMIT])
def test_every_seed_that_is_valid_gives_keys_of_its_own(seed):
    import jax
    import numpy as np

    from s2rctl.core.seeds import derived_seed
    from s2rctl.env.keys import make_key

    assert load_profile("aloha", seed=seed).profile.seed == seed
    seeds = [seed, *(derived_seed(seed, purpose) for purpose in ("evaluate", "export", "rehearse"))]
    keys = [tuple(jax.random.key_data(make_key(each)).tolist()) for each in seeds]
    assert len(set(keys)) == len(seeds) and keys[0] != tuple(jax.random.key_data(make_key(SEED_LIMIT - 1)).tolist())
    np.random.default_rng(seed)


@pytest.mark.parametrize("seed", [-1, SEED_LIMIT + 1, 2**63, 99999999999999999999, 10**400])
def test_a_seed_that_no_generator_takes_is_refused(seed):
    with pytest.raises(ProfileError, match=r"^--seed ") as caught:
        load_profile("aloha", seed=seed)
    assert ": seed: " in caught.value.message


def test_the_fault_is_told_on_the_line_of_the_value(tmp_path):
    (tmp_path / "p.yaml").write_text(
        "extends: xarm7-reach\nname: p\n\nrobot:\n  cameras:\n    side:\n      kind: realsense\n      fps: 6\n"
        "\ncalibration:\n  board:\n    columns: 15\n    rows: 14\n    marker_m: 0.03\n"
    )
    with pytest.raises(ProfileError) as caught:
        load_profile(str(tmp_path / "p.yaml"))
    text = caught.value.message
    assert "p.yaml:13: calibration.board.rows: " in text and "p.yaml:14: calibration.board.marker_m: " in text
    (tmp_path / "p.yaml").write_text((tmp_path / "p.yaml").read_text().partition("calibration")[0])
    with pytest.raises(ProfileError, match=r"p.yaml:8: robot.cameras.side.fps: 6 pictures"):
        load_profile(str(tmp_path / "p.yaml"))


@pytest.mark.parametrize("columns, rows", [(14, 14), (3, 66), (66, 3), (3, 5), (40, 5)])
@pytest.mark.parametrize("share", [0.3, 0.95])
def test_the_most_extreme_boards_can_be_drawn(columns, rows, share):
    from s2rctl.calibration.board import BoardDetector, board_image
    from s2rctl.schema.deployment import Board

    board = Board(columns=columns, rows=rows, square_m=0.01, marker_m=0.01 * share)
    assert board_image(board, 40 / board.square_m).shape == (rows * 40, columns * 40)
    assert BoardDetector(board)


def _fields(model: type[Model], path: str = ""):
    for name, field in model.model_fields.items():
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        inner = [kind for kind in kinds if issubclass(kind, Model)]
        if inner:
            yield from _fields(inner[0], f"{path}{name}.")
        elif (int in kinds and bool not in kinds) or float in kinds:
            yield f"{path}{name}", field


def _limits(field: FieldInfo) -> tuple[float, float]:
    low, high = -math.inf, math.inf
    for limit in field.metadata:
        if isinstance(limit, annotated_types.Ge | annotated_types.Gt):
            low = float(getattr(limit, "ge", getattr(limit, "gt", None)))
        if isinstance(limit, annotated_types.Le | annotated_types.Lt):
            high = float(getattr(limit, "le", getattr(limit, "lt", None)))
    return low, high


@pytest.mark.parametrize("model", [AlohaProfile, ReachProfile])
def test_every_number_of_every_section_has_limits(model):
    found = dict(_fields(model))
    open_ended = {path for path, field in found.items() if not all(math.isfinite(end) for end in _limits(field))}
    several = {path for path in open_ended if get_origin(found[path].annotation) in (tuple, dict)}  # each has its check
    assert open_ended - several == set() and len(found) > 100
