import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s2rctl.core.interrupt import Interrupt
from s2rctl.learning.checkpoint import Checkpoints
from s2rctl.learning.student import mating
from s2rctl.learning.student import network as student
from s2rctl.learning.student.distill import Distiller, make_replay
from s2rctl.learning.student.fit import Plan, acted, fit, length
from s2rctl.learning.student.pushes import Pushes
from s2rctl.learning.student.settings import student_settings
from s2rctl.schema.distillation import Distill
from s2rctl.schema.learning import Encoder
from s2rctl.tasks.peg_insertion import READY as FACING
from tests.learning.test_student import CAMERAS
from tests.learning.toy_insertion import TaskState, ToyInsertion, pilot, teacher

BUDGET = Distill(worlds=32, iterations=40, steps=4, epochs=2, batch=32, learning_rate=3e-3, network=(32,))

ENV = ToyInsertion(BUDGET.worlds)


class ToldMore(ToyInsertion.task):
    """Images tell as much as those of an insertion do."""

    @staticmethod
    def image_targets(hidden):
        return jnp.tile(hidden.reshape(2, 2), (1, 6))


READY = (*FACING["left"], *FACING["right"])


def make(budget):
    settings = student_settings(CAMERAS, Encoder(latent=16), budget, "aloha", ready=READY, switched=True, estimates=2)
    return Distiller(ENV, settings, budget, teacher, pilot, seed=5)


def fresh(distiller):
    return distiller.start(student.init(jax.random.key(0), distiller.settings))


@pytest.fixture(scope="module")
def distiller():
    return make(BUDGET)


def test_labels_come_from_the_true_state_and_from_the_pilot_before_the_switch(distiller):
    state = fresh(distiller).env
    acting = jnp.arange(32) % 2 == 0
    label = distiller.label(state.observation, acting)
    clean = state.observation._replace(actor=state.observation.critic[:, :4])
    np.testing.assert_array_equal(label[::2], teacher(clean)[::2])
    np.testing.assert_array_equal(label[1::2], 0)
    assert not jnp.allclose(teacher(clean), teacher(state.observation))


def test_where_no_camera_sees_who_feels_says_what_to_do(monkeypatch):
    monkeypatch.setattr(mating, "inside", lambda place: jnp.ones_like(place[:, :1], bool))  # what was felt stays so
    wanted = dict.fromkeys(("measured_hands", "confidence", "mating", "touch"), True)
    budget = BUDGET.model_copy(update={**wanted, "estimates": 1.0, "filters": (0.5,), "steps": 1})
    settings = student_settings(
        CAMERAS, Encoder(latent=16), budget, "aloha", ready=READY, switched=True, estimates=12, ends=(-0.03, 0.07)
    )
    env = ToyInsertion(BUDGET.worlds)
    env.task = ToldMore
    plain = Distiller(env, settings, budget, teacher, pilot, seed=5)
    feeling = dataclasses.replace(plain, touch=lambda hidden, felt: jnp.full(14, hidden[1]) + felt)
    remembered = np.arange(BUDGET.worlds) % 2
    state = fresh(plain)
    state = state._replace(memory={**state.memory, "touch": jnp.stack([jnp.zeros(BUDGET.worlds), remembered], axis=1)})
    hidden = np.asarray(state.env.hidden)
    blind = hidden[:, 0] > 0.5
    assert 4 < blind.sum() < 28 and 0 < remembered[blind].sum() < blind.sum()
    felt, shown = feeling.collect(state), plain.collect(state)
    np.testing.assert_array_equal(felt.rows["label"][0][~blind], shown.rows["label"][0][~blind])
    np.testing.assert_allclose(felt.rows["label"][0][blind, 0], (hidden[:, 1] + remembered)[blind], atol=1e-6)


def test_pushes_lead_arms_aside_where_images_can_show_it_and_nowhere_else():
    entries = np.arange(14) % 7 != 6
    pushes = Pushes(BUDGET.worlds, 0.5, 0.4, entries, seed=5)
    first, second = pushes.draw(jax.random.key(0)), pushes.draw(jax.random.key(1))
    pushed = np.any(np.asarray(first) != 0, axis=1)
    assert 4 < pushed.sum() < 28 and not np.any(np.asarray(first)[:, ~entries])
    np.testing.assert_array_equal(pushed, np.any(np.asarray(second) != 0, axis=1))
    assert not np.allclose(first, second)
    plain = make(BUDGET.model_copy(update={"steps": 1}))
    state = fresh(plain)
    later = state.env._replace(step=jnp.arange(BUDGET.worlds) % 10, task=TaskState(jnp.arange(BUDGET.worlds) % 10 >= 5))
    state = state._replace(env=later)
    shown = plain.collect(state)
    aside = dataclasses.replace(plain, pushes=pushes).collect(state)
    np.testing.assert_array_equal(aside.rows["label"], shown.rows["label"])
    moved = np.any(np.asarray(aside.env.hidden) != np.asarray(shown.env.hidden), axis=1)
    seen = np.asarray(later.hidden)[:, 0] <= 0.5
    expected = pushed & np.asarray(later.task.switched) & seen
    assert expected.any()
    assert np.all(expected[moved]) and moved.sum() >= 0.8 * expected.sum()  # the toy's numbers end at 0 and 1


def test_episodes_of_who_is_pushed_do_not_say_how_well_it_does():
    plain = make(BUDGET.model_copy(update={"steps": 12}))
    entries = np.ones(14, bool)
    everyone = dataclasses.replace(plain, pushes=Pushes(BUDGET.worlds, 1.0, 0.4, entries, seed=5))
    late = fresh(plain)._replace(iteration=np.array(30))
    assert plain.collect(late).counts["episodes"] > 0 and everyone.collect(late).counts["episodes"] == 0


def test_the_student_learns_what_only_images_tell(distiller):
    figures = []
    snapshot = distiller.run(fresh(distiller), lambda s: None, lambda n, m: figures.append(m), Interrupt())
    assert int(snapshot.iteration) == BUDGET.iterations
    first, last = figures[0]["action_error"], np.mean([f["action_error"] for f in figures[-5:]])
    assert last < 0.5 * first, (first, last)
    assert sum(f["episodes"] for f in figures) > 32
    assert 0.3 < np.mean([f["switched"] for f in figures]) < 0.8


def test_arms_whose_object_is_hidden_shall_stay_still(distiller):
    state = fresh(distiller).env
    still = jnp.arange(14)[None] >= jnp.where(jnp.arange(32)[:, None] % 2 == 0, 7, 14)
    acting = jnp.ones(32, bool)
    label, free = distiller.label(state.observation, acting, still), distiller.label(state.observation, acting)
    np.testing.assert_array_equal(label[::2, 7:], 0)
    np.testing.assert_array_equal(label[:, :7], free[:, :7])
    np.testing.assert_array_equal(label[1::2], free[1::2])


def test_a_cloned_student_never_acts():
    distiller = make(BUDGET.model_copy(update={"behaviour_cloning": True}))
    start = fresh(distiller)
    later = start._replace(iteration=np.array(20), acting=jax.tree.map(lambda leaf: leaf + 1.0, start.params))
    taught = distiller.collect(start._replace(iteration=np.array(0)))
    np.testing.assert_array_equal(distiller.collect(later).rows["label"], taught.rows["label"])


def test_the_teacher_begins_the_episodes_of_prefixed_worlds_and_of_fewer_as_time_goes_by():
    distiller = make(BUDGET.model_copy(update={"teacher_prefix": 0.8, "iterations": 100}))
    prefixed = [int(np.count_nonzero(distiller.taught(n))) for n in (2, 20, 40, 50, 99)]
    assert prefixed == sorted(prefixed, reverse=True)
    assert 16 < prefixed[0] < 32 and prefixed[-2:] == [0, 0]
    begun = distiller.taught(2)
    assert begun.max() < ENV.task.episode_steps and np.ptp(begun[begun > 0]) > 0.5 * ENV.task.episode_steps
    start = fresh(distiller)
    other = start._replace(acting=jax.tree.map(lambda leaf: leaf + 1.0, start.params), iteration=np.array(2))
    one, two = (distiller.collect(s).rows["label"] for s in (start._replace(iteration=np.array(2)), other))
    long = np.asarray(start.env.step) + BUDGET.steps < begun
    np.testing.assert_array_equal(one[:, long], two[:, long])
    assert long.any() and not np.array_equal(one[1:, begun == 0], two[1:, begun == 0])


def test_only_worlds_that_begin_at_home_say_how_well_the_student_does(distiller):
    settings = distiller.settings
    none = np.zeros(BUDGET.worlds, bool)
    parts = [Distiller(ENV, settings, BUDGET, teacher, pilot, 5, from_home=mask) for mask in (none, ~none)]
    start = fresh(distiller)._replace(iteration=np.array(9))
    late = start._replace(env=start.env._replace(step=jnp.full_like(start.env.step, ENV.task.episode_steps - 1)))
    counts = [part.collect(late).counts["episodes"] for part in parts]
    assert counts == [0.0, float(BUDGET.worlds)]


def test_the_aggregate_buffer_brings_earlier_samples_back_and_survives_a_kill(tmp_path):
    budget = BUDGET.model_copy(update={"aggregate": 64 * 32, "iterations": 4})

    def begin():
        settings = student_settings(CAMERAS, Encoder(latent=16), budget, "aloha", ready=READY, switched=True)
        replay = make_replay(budget, settings, tmp_path)
        return Distiller(ENV, settings, budget, teacher, pilot, 5, replay)

    first = begin()
    snapshot = fresh(first)
    for _ in range(2):
        snapshot, _ = first.iterate(snapshot)
    kept = snapshot
    straight, _ = first.iterate(snapshot)
    assert int(straight.replay[1]) == 3 * budget.steps
    second = begin()
    second.replay.move_to(kept.replay)
    resumed, _ = second.iterate(kept)
    for one, other in zip(jax.tree.leaves(resumed.params), jax.tree.leaves(straight.params), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert make_replay(BUDGET, first.settings) is None


def test_the_averaged_student_acts_and_is_kept_and_survives_a_kill(tmp_path):
    distiller = make(BUDGET.model_copy(update={"averaging": 0.3, "iterations": 6}))
    snapshot, newest = fresh(distiller), []
    for _ in range(5):
        snapshot, _ = distiller.iterate(snapshot)
        newest.append(snapshot.params)
    expected = newest[0]
    for number, params in enumerate(newest[1:], start=1):
        over = min(0.3, 0.1 * number)
        kept = over / (1.0 + over)
        expected = jax.tree.map(lambda old, new, kept=kept: kept * old + (1 - kept) * new, expected, params)
    _same(snapshot.student, expected)
    following, _ = distiller.iterate(snapshot)
    _same(following.acting, snapshot.student)
    assert not jnp.allclose(following.student["head"]["output"]["kernel"], following.params["head"]["output"]["kernel"])
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(5, snapshot)
    resumed, _ = make(distiller.distill).iterate(checkpoints.restore(fresh(distiller)))
    _same(resumed.student, following.student)


def _same(one, other):
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_acting_ahead_changes_nothing(distiller):
    budget = BUDGET.model_copy(update={"iterations": 4})
    ahead = Distiller(ENV, distiller.settings, budget, teacher, pilot, 5)
    run = ahead.run(fresh(ahead), lambda s: None, lambda n, m: None, Interrupt())
    straight = fresh(ahead)
    for _ in range(4):
        straight, _ = ahead.iterate(straight)
    for one, other in zip(jax.tree.leaves(run.params), jax.tree.leaves(straight.params), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_frozen_encoder_stays_as_it_was_while_the_head_learns():
    distiller = make(BUDGET.model_copy(update={"encoder": "frozen", "iterations": 2}))
    start = fresh(distiller)
    after, metrics = distiller.iterate(start)
    same = jax.tree.map(lambda a, b: bool(jnp.all(a == b)), start.params, after.params)
    assert all(jax.tree.leaves(same["encoder"])) and not any(jax.tree.leaves(same["head"]))
    assert np.isfinite(metrics["action_error"])


def test_a_resumed_distillation_equals_an_uninterrupted_one(distiller, tmp_path):
    checkpoints, flag = Checkpoints(tmp_path), Interrupt()

    def stop_after_three(iteration, metrics):
        flag.requested = iteration == 3

    distiller.run(fresh(distiller), lambda s: checkpoints.save(int(s.iteration), s), stop_after_three, flag)
    resumed = checkpoints.restore(fresh(distiller))
    assert int(resumed.iteration) == 3
    straight = fresh(distiller)
    for _ in range(5):
        straight, _ = distiller.iterate(straight)
    for _ in range(2):
        resumed, _ = distiller.iterate(resumed)
    for one, other in zip(jax.tree.leaves(resumed.params), jax.tree.leaves(straight.params), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


REMEMBERING = BUDGET.model_copy(update={"estimates": 1.0, "filters": (0.5, 0.9), "aggregate": 2_000})


def test_a_student_tells_poses_and_remembers_their_means_within_an_episode(tmp_path):
    distiller = make(REMEMBERING)
    distiller = dataclasses.replace(distiller, replay=make_replay(REMEMBERING, distiller.settings, tmp_path))
    figures = []
    snapshot = distiller.run(fresh(distiller), lambda s: None, lambda n, m: figures.append(m), Interrupt())
    assert figures[-1]["pose_error"] < 0.5 * figures[0]["pose_error"]
    sums = np.asarray(snapshot.memory["estimates"])
    assert sums.shape == (32, 2, 5)
    # The weight says how many steps ago the episode began: 1 - share^steps.
    steps = np.asarray(snapshot.env.step)
    np.testing.assert_allclose(sums[:, :, -1], 1.0 - np.array([0.5, 0.9]) ** steps[:, None], atol=1e-6)
    # Of what does not change, the mean is what was told; nothing is remembered of the episode before.
    told = sums[:, 1, :-1] / np.maximum(sums[:, 1, -1:], 1e-9)
    hidden = np.asarray(snapshot.env.hidden)
    assert np.median(np.abs(told - hidden)[steps > 6]) < 0.2


def test_resuming_goes_on_with_what_was_remembered(tmp_path):
    distiller = make(REMEMBERING.model_copy(update={"aggregate": 0, "iterations": 6}))
    whole = half = fresh(distiller)
    for _ in range(6):
        whole, _ = distiller.iterate(whole)
    for _ in range(3):
        half, _ = distiller.iterate(half)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(3, half)
    again = checkpoints.restore(fresh(distiller))
    for _ in range(3):
        again, _ = distiller.iterate(again)
    jax.tree.map(np.testing.assert_array_equal, again.params, whole.params)
    jax.tree.map(np.testing.assert_array_equal, again.memory, whole.memory)


RECURRENT = BUDGET.model_copy(update={"recurrent": 12, "aggregate": 2_000, "reuse": 2})


def test_a_recurrent_student_is_fitted_to_runs_as_it_acts_on_them(tmp_path):
    distiller = make(RECURRENT)
    replay = make_replay(RECURRENT, distiller.settings, tmp_path)
    distiller = dataclasses.replace(distiller, replay=replay)
    snapshot = fresh(distiller)
    for _ in range(4):
        snapshot, _ = distiller.iterate(snapshot)
    runs = replay.sample(np.random.default_rng(0), 64, ())
    assert runs["label"].shape == (64, RECURRENT.steps, 14)
    inner = runs["begun"][:, 1:]
    assert inner.any() and not inner.all()  # some episodes begin within a run, and with them an empty memory
    memory = runs["memory_recurrent"]
    np.testing.assert_array_equal(memory[:, 1:][inner], 0.0)
    assert np.abs(memory[:, 1:][~inner]).max() > 0.0

    # What the loss makes of a run is what the policy does step by step.
    seen = student.tell(snapshot.params, distiller.settings, _latents(snapshot.params, distiller.settings, runs))
    seen = jax.tree.map(lambda leaf: leaf.reshape(64, RECURRENT.steps, -1), seen)
    together = acted(distiller.settings, snapshot.params, seen, runs)
    remembered = {"recurrent": jnp.asarray(memory[:, 0])}
    for step in range(RECURRENT.steps):
        if step:
            remembered = {"recurrent": jnp.where(runs["begun"][:, step, None], 0.0, remembered["recurrent"])}
        now = jax.tree.map(lambda leaf, at=step: leaf[:, at], seen)
        action, remembered = student.act_on(
            snapshot.params, distiller.settings, now, runs["joints"][:, step], remembered
        )
        np.testing.assert_allclose(together[:, step], action, atol=1e-6)


def _latents(params, settings, runs):
    flat = {name: leaf.reshape(-1, *leaf.shape[2:]) for name, leaf in runs.items()}
    return student.latents(params["encoder"], settings, flat)


def test_a_recurrent_student_knows_what_it_saw_and_sees_no_more():
    """Labels that repeat what was seen one step ago: a student of single images can only tell their mean."""

    def error(budget):
        settings = make(budget).settings
        plan = Plan(settings, budget, runs=64, total=300)
        rng = np.random.default_rng(1)
        said = rng.uniform(-0.5, 0.5, (64, 4)).astype(np.float32)
        each = length(settings, budget)
        runs = {
            "seen": np.zeros((64, 4, 32), np.float32),
            "joints": np.zeros((64, 4, settings.joints.size), np.float32),
            "label": np.zeros((64, 4, 14), np.float32),
            "begun": np.zeros((64, 4), bool),
        }
        runs["seen"][:, :, 0], runs["label"][:, 1:, 0] = said, said[:, :-1]
        runs |= {f"memory_{item.name}": np.zeros((64, 4, *item.shape), np.float32) for item in settings.memory}
        runs = {name: leaf.reshape(-1, each, *leaf.shape[2:]) for name, leaf in runs.items()}
        plan = dataclasses.replace(plan, runs=len(runs["label"]))
        params = student.init(jax.random.key(0), settings)
        state = plan.optimiser().init(plan.trained(params))
        for number in range(30):
            params, state, errors = fit(plan, params, state, runs, jax.random.key(number))
        return float(errors["action_error"])

    budget = BUDGET.model_copy(update={"encoder": "frozen", "epochs": 5, "recurrent": 16})
    assert error(budget) < 0.3 * error(budget.model_copy(update={"recurrent": 0}))
