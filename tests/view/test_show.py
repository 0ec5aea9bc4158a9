"""What is shown: episodes of a policy that a person may disturb, and recordings, also growing ones."""

import threading
import time
import urllib.request

import numpy as np
import pytest

pytest.importorskip("viser")

from s2rctl.core.errors import UsageError
from s2rctl.core.interrupt import Interrupt
from s2rctl.evaluation.actors import Actor
from s2rctl.schema.contract import Memory
from s2rctl.schema.load import load_profile
from s2rctl.systems import system_named
from s2rctl.view import opening
from s2rctl.view.page import Page
from s2rctl.view.pictures import with_depth
from s2rctl.view.recording import Playback
from s2rctl.view.run import run
from tests.view.rigs import Written, episodes, recording


@pytest.fixture
def open_page():
    pages = []

    def opened(show) -> Page:
        pages.append(Page(show, port=0))
        return pages[-1]

    yield opened
    for page in pages:
        page.close()


def test_the_policy_acts_and_episodes_follow_each_other() -> None:
    show = episodes()
    first = show.begin()
    steps, places = [first.step], []
    for _ in range(10):
        steps.append(show.advance().step)
        places.append(float(show.data.body("cart").xpos[0]))
    assert steps == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2]
    assert places[:7] == sorted(places[:7]) and places[6] > places[0] + 0.01 and places[7] == 0.0
    assert show.ended == 1 and "0 of 1" in show.advance().words["successes"]


def test_a_policy_that_sees_depth_alone_is_shown_with_what_it_sees() -> None:
    rgb, depth = np.full((4, 6, 3), 9, np.uint8), np.array([[0, 1, 2, 3, 4, 8]] * 4, np.uint16)
    alone = with_depth(None, depth)
    assert alone.shape == (4, 6, 3) and alone[0, 0, 0] == 0 and alone[0, 1, 0] > alone[0, 5, 0] > 0
    np.testing.assert_array_equal(with_depth(rgb, depth), np.concatenate([rgb, alone], axis=1))
    np.testing.assert_array_equal(with_depth(rgb, None), rgb)


def test_a_seed_decides_the_episode_and_begins_anew() -> None:
    def positions(show, seed):
        show.restart(seed)
        return [float(show.advance().step and show.data.qpos[0]) for _ in range(3)]

    show = episodes()
    show.begin()
    assert positions(show, 5) == positions(show, 5)
    assert show.restart(5).step == 0


def test_an_object_is_moved_and_stays_where_it_was_put() -> None:
    show = episodes()
    show.begin()
    show.advance()
    assert show.objects == ("ball",)
    before, cart = show.data.body("ball").xpos.copy(), float(show.data.qpos[0])
    moment = show.nudge("ball", np.array([0.0, 0.05, 0.0]))
    assert show.data.body("ball").xpos - before == pytest.approx([0.0, 0.05, 0.0], abs=1e-5)
    assert moment.step == 1 and show.data.qpos[0] == pytest.approx(cart), "nothing else has changed"
    show.advance()
    assert show.data.body("ball").xpos[1] - before[1] == pytest.approx(0.05, abs=1e-3)


def test_every_task_of_a_system_can_be_shown_with_the_cameras_that_its_scene_has() -> None:
    profile = load_profile("aloha-smoke").profile
    shown = {task: opening.show_expert(profile, task) for task in system_named(profile.system).tasks}
    cameras = {task: [camera.name for camera in show._env.images.cameras] for task, show in shown.items()}
    assert cameras == {"pick": ["wrist_cam_left"], "insertion": ["wrist_cam_left", "wrist_cam_right"]}
    with pytest.raises(UsageError, match="has no task 'inserton'"):
        opening.show_expert(profile, "inserton")


def test_where_a_student_believes_the_objects_to_be_is_shown() -> None:
    def step(observation, memory):
        told = np.zeros((1, 1, 25), np.float32)
        told[0, 0, [2, 24]] = 0.5, 0.5  # of weight a half: the left camera tells 0.1 m along its gripper's z axis
        return np.zeros((1, 14), np.float32), {"estimates": told}

    show = opening.show_expert(load_profile("aloha-smoke").profile, "insertion")
    actor = Actor((Memory(name="estimates", shape=(1, 25)),), step)
    show._policy, show._pilot = actor, None
    assert show.begin().points == {}, "nothing was told yet"
    tips = {
        side: [show.data.site(f"{side}/{tip}_fingertip").xpos for tip in ("left", "right")]
        for side in ("left", "right")
    }
    middle = {side: np.mean(places, axis=0) for side, places in tips.items()}  # in the world
    points = show.advance().points
    assert set(points) == {"estimate: socket", "estimate: peg"}
    assert points["estimate: peg"] == pytest.approx(middle["right"], abs=1e-3)
    assert np.linalg.norm(points["estimate: socket"] - middle["left"]) == pytest.approx(0.1, abs=1e-3)


def test_a_recording_can_be_scrubbed(tmp_path) -> None:
    show = Playback(recording(tmp_path / "a.mcap"), load_profile("xarm7-smoke").profile.deploy.safety)
    first = show.begin()
    assert (show.length, first.step, first.last, first.limited) == (9, 0, False, False)
    third = show.seek(2)
    assert third.limited and third.words["filter"] == "workspace"
    assert third.points["estimate: position"] == pytest.approx([0.4, 0.1, 0.02])
    assert third.pictures["side"].max() == 20 and third.pictures["side"].shape == (6, 8, 3)
    at_third = show.data.qpos.copy()
    last = show.seek(99)
    assert last.step == 8 and last.last and "over" in last.words["outcome"]
    assert (show.data.qpos != at_third).any()
    show.seek(2)
    assert (show.data.qpos == at_third).all()
    assert show.workspace is not None and show.period_s == pytest.approx(0.05)


def test_a_growing_recording_is_followed_and_then_the_next_one(tmp_path) -> None:
    written = Written(tmp_path / "episode-000.mcap")
    written.add(3)
    show = Playback(tmp_path)
    assert show.begin().step == 2 and not show.refresh(), "what is being written is watched where it is"
    written.add(4)
    assert show.refresh() and show.length == 7 and show.advance().step == 3
    written.end()
    other = Written(tmp_path / "episode-001.mcap")
    other.add(2)
    assert show.refresh() and show.length == 2 and show.advance().step == 0
    assert "episode-001" in show.title
    other.end()


def test_the_server_answers_and_runs_until_somebody_asks_it_to_stop(open_page, tmp_path) -> None:
    page = open_page(Playback(recording(tmp_path / "a.mcap", 400)))
    address = page.url.replace("localhost", "127.0.0.1")
    with urllib.request.urlopen(address, timeout=60) as answer:
        assert answer.status == 200 and b"<html" in answer.read(2000)
    interrupt, found = Interrupt(), {}
    thread = threading.Thread(target=lambda: found.update(run(page, interrupt)))
    thread.start()
    while page.show.step < 5:
        time.sleep(0.01)
    interrupt.requested = True
    thread.join(60)
    assert found["frames"] >= 5 and 0 < found["cpu_s_per_frame"]


def test_what_a_person_asks_for_is_done_in_the_order_in_which_it_was_asked(open_page) -> None:
    show = episodes()
    page = open_page(show)
    page.draw(show.begin())
    controls = page.controls
    controls.ask(lambda: show.restart(7))
    controls.ask(controls._step)
    moment = controls.obey()
    assert moment is not None and moment.step == 1 and show.seed == 7
    assert controls.paused and controls.obey() is None
    page.draw(moment)
    assert "seed: 7" in page._words.content


def test_hostile_text_in_a_recording_stays_text(open_page, tmp_path) -> None:
    page = open_page(Playback(recording(tmp_path / "a.mcap")))
    page.draw(page.show.seek(99))
    assert "<b>" not in page._words.content and "over" in page._words.content
