"""Views without pictures: corners of a board as a camera would see them, and readings of an arm that err."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from s2rctl.calibration import optics
from s2rctl.calibration.adjust import Problem, State, View
from s2rctl.calibration.board import Detection
from s2rctl.calibration.design import Plan
from s2rctl.calibration.intrinsics import from_fovy, project
from s2rctl.calibration.quality import corners_of
from s2rctl.calibration.rehearse import jitter
from s2rctl.calibration.stand import Stand, stand_of
from s2rctl.core.spatial import inverse
from s2rctl.robots import ROBOTS
from s2rctl.scene import SCENES
from s2rctl.schema.deployment import Calibration
from s2rctl.schema.load import load_profile
from s2rctl.systems import system_named


@dataclass
class Bench:
    """A stand with a truth."""

    stand: Stand
    plan: Plan
    truth: State
    rng: np.random.Generator

    def shoot(self, reading, joint_deg=0.0, pixel=0.1, offsets=0.0, speed=None, delay=0.0) -> View:
        true = reading.copy()
        true[self.stand.moving] += offsets + np.deg2rad(joint_deg) * self.rng.normal(size=len(self.stand.moving))
        if speed is not None:
            true = true + delay * speed
        pose = inverse(self.truth.camera) @ self.stand.chain.motion(true) @ self.truth.board
        corners = self.plan.corners
        pixels = project(self.plan.lens, corners @ pose[:3, :3].T + pose[:3, 3])
        seen = Detection(np.arange(len(corners)), pixels + pixel * self.rng.normal(size=pixels.shape), corners)
        return View(seen, reading, speed)

    def readings(self, count: int) -> list[np.ndarray]:
        return self.plan.candidates(self.truth, self.rng, count)

    def problem(self, count: int = 12, **errors) -> Problem:
        return Problem(self.plan.lens, self.stand.chain, [self.shoot(r, **errors) for r in self.readings(count)])


@cache
def place(name: str) -> tuple[Stand, Calibration]:
    """A profile's stand, which nothing changes, and its settings."""
    profile = load_profile(name, [], 0).profile
    settings = profile.calibration
    model = SCENES.load(system_named(profile.system).scene)(profile.simulation.timestep_s)
    safety = settings.safety(profile.deploy.safety)
    return stand_of(ROBOTS.load(profile.robot.name), model, settings.camera, safety), settings


def bench(name: str = "aloha", seed: int = 0, lens=None) -> Bench:
    stand, settings = place(name)
    rng = np.random.default_rng(seed)
    lens = lens or from_fovy(settings.width, settings.height, float(stand.model.cam_fovy[stand.camera]))
    zero = np.zeros(len(stand.moving))
    truth = State(
        stand.nominal_camera() @ jitter(rng, 0.01, 2.0),
        stand.nominal_board(settings.board) @ jitter(rng, 0.01, 2.0),
        optics.figures(lens),
        zero,
    )
    return Bench(stand, Plan(stand, settings.board, corners_of(settings.board), lens), truth, rng)


def poses_of(problem: Problem) -> Problem:
    """The same views with the hand's poses in the joints' place."""
    from s2rctl.calibration.chain import Poses

    in_hand = problem.geometry.in_hand
    views = []
    for view in problem.views:
        motion = problem.geometry.motion(view.reading)
        views.append(replace(view, reading=inverse(motion) if in_hand else motion))
    return replace(problem, geometry=Poses(in_hand), views=views)
