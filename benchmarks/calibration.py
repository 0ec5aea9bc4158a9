"""How near calibrations come to the truth, over many set-ups: corners with noise, joints with noise.

    python -m benchmarks calibration [--quick]

The corners are projected, not detected: what is measured here is the solver, the choice of poses and the covariance.
Detection on rendered pictures is what ``calibrate-camera --mode rehearse`` and its tests measure.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from s2rctl.calibration import optics
from s2rctl.calibration.adjust import Free, Problem, State, View
from s2rctl.calibration.board import Detection, make_board
from s2rctl.calibration.design import Chooser, Plan
from s2rctl.calibration.hand_eye import Solution, check, inner_joints, pose_error, solve
from s2rctl.calibration.intrinsics import from_fovy, project
from s2rctl.calibration.rehearse import jitter
from s2rctl.calibration.stand import Stand, stand_of
from s2rctl.core.errors import RunError
from s2rctl.core.spatial import inverse, rotation_vector, transform
from s2rctl.robots import ROBOTS
from s2rctl.scene import SCENES
from s2rctl.schema.deployment import Board
from s2rctl.schema.load import load_profile
from s2rctl.systems import system_named

PIXEL = 0.2
POSES = 15


@dataclass
class Setup:
    """One camera and board that stand somewhere near where the scene has them."""

    stand: Stand
    plan: Plan
    nominal: State
    truth: State
    rng: np.random.Generator
    joint_sigma: float  # rad
    offsets: np.ndarray  # (k,) rad: true = read + offset

    def shoot(self, reading: np.ndarray) -> View:
        """Return what would be seen and read."""
        true = reading.copy()
        true[self.stand.moving] += self.offsets + self.joint_sigma * self.rng.normal(size=len(self.offsets))
        pose = inverse(self.truth.camera) @ self.stand.chain.motion(true) @ self.truth.board
        corners = self.plan.corners
        pixels = project(self.plan.lens, corners @ pose[:3, :3].T + pose[:3, 3])
        seen = Detection(np.arange(len(corners)), pixels + PIXEL * self.rng.normal(size=pixels.shape), corners)
        return View(seen, reading)

    def problem(self, views: Sequence[View] = ()) -> Problem:
        """Return the problem of some views."""
        return Problem(self.plan.lens, self.stand.chain, list(views))

    def chosen(self, count: int) -> list[View]:
        """Return views at poses chosen for information, as ``collect`` chooses them."""
        chooser = Chooser(self.plan, self.problem(), self.nominal, self.rng)
        views: list[View] = []
        for _ in range(count):
            chooser.learn(views)
            views.append(self.shoot(chooser.ranked()[0][1]))
        return views

    def random(self, count: int) -> list[View]:
        """Return views at random poses that show the board."""
        pool = self.plan.candidates(self.nominal, self.rng, count)
        return [self.shoot(reading) for reading in pool]


def setup(
    name: str,
    seed: int,
    joint_deg: float,
    offsets: dict[int, float] | None = None,
    spread: float = 1.0,
    nearer_m: float = 0.0,
) -> Setup:
    """Return a set-up: the camera up to 4 cm and 4° from where the scene has it (times ``spread``), the board 1 cm, 3°.

    The camera stands up to ``nearer_m`` nearer to the arm than in the scene.
    """
    rng = np.random.default_rng(seed)
    profile = load_profile(name, [], 0).profile
    settings = profile.calibration
    model = SCENES.load(system_named(profile.system).scene)(profile.simulation.timestep_s)
    safety = settings.safety(profile.deploy.safety)
    stand = stand_of(ROBOTS.load(profile.robot.name), model, settings.camera, safety)
    lens = from_fovy(settings.width, settings.height, float(model.cam_fovy[stand.camera]))
    board = Board()
    corners = np.asarray(make_board(board).getChessboardCorners(), float)
    zero = np.zeros(len(stand.moving))
    ahead = transform((0.0, 0.0, nearer_m * rng.uniform()), np.eye(3))
    nominal = State(stand.nominal_camera() @ ahead, stand.nominal_board(board), optics.figures(lens), zero)
    camera = nominal.camera @ jitter(rng, 0.04 * spread, 4.0 * spread)
    truth = replace(nominal, camera=camera, board=nominal.board @ jitter(rng, 0.01, 3.0))
    off = zero.copy()
    for joint, degrees in (offsets or {}).items():
        off[joint] = np.deg2rad(degrees)
    return Setup(stand, Plan(stand, board, corners, lens), nominal, truth, rng, np.deg2rad(joint_deg), off)


def errors(solutions: Sequence[tuple[Setup, Solution]]) -> dict[str, Any]:
    """Return median and 95th percentile of the camera's errors."""
    found = np.array([pose_error(solution.camera, made.truth.camera) for made, solution in solutions])
    mm, degrees = 1000 * found[:, 0], np.rad2deg(found[:, 1])
    return {
        "runs": len(found),
        "position_mm_median": round(float(np.median(mm)), 3),
        "position_mm_p95": round(float(np.quantile(mm, 0.95)), 3),
        "rotation_deg_median": round(float(np.median(degrees)), 4),
        "rotation_deg_p95": round(float(np.quantile(degrees, 0.95)), 4),
    }


def coverage(solutions: Sequence[tuple[Setup, Solution]]) -> dict[str, float]:
    """Return how often the 95 % ellipsoids hold the truth: of the position alone, and of position and rotation."""
    held = {"position": 0, "pose": 0}
    for made, solution in solutions:
        step = inverse(solution.camera) @ made.truth.camera
        error = np.concatenate([step[:3, 3], rotation_vector(step[:3, :3])])
        for what, size in (("position", 3), ("pose", 6)):
            length = error[:size] @ np.linalg.solve(solution.covariance[:size, :size], error[:size])
            held[what] += int(length <= solution.ellipsoid(size))
    return {what: round(number / len(solutions), 4) for what, number in held.items()}


def bootstrap_ratio(solutions: Sequence[tuple[Setup, Solution]], count: int) -> float:
    """Return the bootstrap's standard deviation over that of the information matrix, median."""
    ratios = []
    for _, solution in solutions[:count]:
        boot = check(solution).bootstrap
        ratios.append(np.sqrt(np.trace(boot[:3, :3]) / np.trace(solution.covariance[:3, :3])))
    return round(float(np.median(ratios)), 3)


def run(quick: bool) -> dict[str, Any]:
    """Return all figures."""
    runs, many = (4, 10) if quick else (20, 200)
    report: dict[str, Any] = {}
    places = (
        ("0.75 to 1.35 m away", 0.6, (0.1, 0.0)),
        ("1.35 m away, as in the profile", 0.0, (0.1,)),
    )
    for where, nearer, noises in places:
        for degrees in noises:
            for kind in ("chosen", "random"):
                made = [setup("xarm7-reach", seed, degrees, nearer_m=nearer) for seed in range(runs)]
                solved = [(one, solve(one.problem(getattr(one, kind)(POSES)))) for one in made]
                report[f"xArm7 camera {where}, joint noise {degrees:g} deg, {kind} poses"] = errors(solved)
                print(json.dumps(report, indent=1), flush=True)
    report |= aloha(runs)
    print(json.dumps(report, indent=1), flush=True)
    made = [setup("xarm7-reach", 1000 + seed, 0.1, nearer_m=0.6) for seed in range(many)]
    solved = [(one, solve(one.problem(one.random(POSES)))) for one in made]
    report["coverage of the 95 % ellipsoid, xArm7, 0.1 deg"] = coverage(solved) | {"runs": many}
    report["bootstrap over information, xArm7"] = bootstrap_ratio(solved, 5 if quick else 20)
    return report


def aloha(runs: int) -> dict[str, Any]:
    """Return the eye-in-hand figures: one joint's zero 3° off, with and without estimating it."""
    names = ("shoulder", "elbow", "forearm_roll", "wrist_angle")
    rows: dict[str, list[tuple[Setup, Solution]]] = {"estimated": [], "not estimated": []}
    found, refused = [], 0
    for seed in range(runs):
        joint = 1 + seed % len(names)
        one = setup("aloha", seed, 0.5, {joint: 3.0 if seed % 8 < 4 else -3.0}, spread=0.4)
        views = one.random(POSES)
        problem = one.problem(views)
        free = Free(offsets=inner_joints(problem))
        solution = solve(replace(problem, free=free))
        rows["estimated"].append((one, solution))
        found.append(np.rad2deg(solution.fit.state.offsets - one.offsets))
        try:
            rows["not estimated"].append((one, solve(problem)))
        except RunError:
            refused += 1
    report: dict[str, Any] = {f"Aloha, 0.5 deg, one zero 3 deg off, {k}": errors(v) for k, v in rows.items() if v}
    inner = np.array(found)[:, 1:-1]
    report["Aloha, error of the estimated zeros, deg rms"] = round(float(np.sqrt((inner**2).mean())), 3)
    report["Aloha, refused where the zero is not estimated"] = refused
    return report


def main(arguments: Sequence[str] = ()) -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    print(json.dumps(run(parser.parse_args(list(arguments)).quick), indent=1))


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
