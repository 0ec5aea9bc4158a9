import jax
import jax.numpy as jnp
import numpy as np

from s2rctl.schema.simulation import Noise
from s2rctl.tasks import arm as arms
from s2rctl.tasks import rotation, tracking
from tests.tasks.task_worlds import build, measured_world, nominal, random_world

NOISE = Noise(
    object_pos=0.015, object_linvel=0.015, object_angvel=0.2, gripper_offset=0.03, object_angle_deg=5, joint_pos=0.1
)
MODEL, TASK = build("pick")
GRIP = arms.grip_offset(MODEL, "box")
follow = jax.jit(lambda track, seen: tracking.follow(track, seen, NOISE, GRIP))
disturb = jax.jit(arms.disturb, static_argnums=1)


def resting() -> arms.ArmView:
    start = jax.jit(TASK.reset)(jax.random.key(0), nominal(TASK))
    world = measured_world(MODEL, TASK, np.asarray(start.qpos), start.state)
    return arms.view(arms.read_arm(MODEL, "left"), world.signals, "box", world.ctrl)


def tracks_of(views: list[arms.ArmView], worlds: int = 64) -> list[tracking.Track]:
    """Return the tracks (leading axis ``worlds``) after each view."""

    @jax.jit
    def look(track: tracking.Track, view: arms.ArmView, key: jax.Array) -> tracking.Track:
        keys = jax.random.split(key, worlds)
        return jax.vmap(lambda t, k: tracking.follow(t, arms.disturb(view, NOISE, k), NOISE, GRIP))(track, keys)

    track = jax.tree.map(lambda leaf: jnp.repeat(leaf[None], worlds, 0), tracking.start())
    history = []
    for index, view in enumerate(views):
        track = look(track, view, jax.random.key(index))
        history.append(track)
    return history


def rms(error: jax.Array) -> float:
    return float(jnp.sqrt(jnp.mean(error**2)))


def test_a_resting_object_is_known_to_millimetres() -> None:
    view = resting()
    history = tracks_of([view] * 40)
    assert rms(history[0].position - view.position) > 0.006  # one look: 7 mm by both measurements
    assert rms(history[-1].position - view.position) < 0.0025
    assert rms(history[-1].position + history[-1].rotation @ GRIP - view.grip) < 0.0025
    angle = jax.vmap(rotation.angle_between, (0, None))(history[-1].rotation, view.rotation)
    assert float(jnp.degrees(angle).mean()) < 1.8


def test_a_moving_object_does_not_run_away_from_its_track() -> None:
    view = resting()
    speed, spin = jnp.array([0.1, -0.2, 0.3]), jnp.array([0.5, 0.0, 1.0])
    turn = lambda t: rotation.matrix_about(spin / jnp.linalg.norm(spin), jnp.linalg.norm(spin) * t)  # noqa: E731
    views = [
        view._replace(
            position=view.position + speed * t,
            rotation=turn(t) @ view.rotation,
            grip=view.position + speed * t + turn(t) @ (view.grip - view.position),
            linvel=speed,
            angvel=spin,
        )
        for t in tracking.STEP * np.arange(40)
    ]
    last = tracks_of(views)[-1]
    assert rms(last.position - views[-1].position) < 0.004
    angle = jax.vmap(rotation.angle_between, (0, None))(last.rotation, views[-1].rotation)
    assert float(jnp.degrees(angle).mean()) < 2.5


def test_the_track_never_leaves_the_bound_around_the_newest_measurement() -> None:
    view = resting()
    track = follow(tracking.start(), view)
    for _ in range(20):
        track = follow(track, view)
    kicked = view._replace(position=view.position + 0.2, grip=view.grip + 0.2)
    track = follow(track, kicked)
    assert float(jnp.abs(track.position - kicked.position).max()) <= NOISE.object_pos + 1e-6
    grip = tracking.tracked(track, kicked, GRIP).grip
    assert float(jnp.abs(grip - kicked.grip).max()) <= NOISE.gripper_offset + 1e-6


def test_before_the_first_look_nothing_is_replaced() -> None:
    view = resting()
    seen = tracking.tracked(tracking.start(), view, GRIP)
    np.testing.assert_array_equal(seen.position, view.position)
    np.testing.assert_array_equal(seen.rotation, view.rotation)


def test_insertion_follows_the_peg_end_from_both_poses() -> None:
    model, task = build("insertion")
    followed = build("insertion", episode_steps=100, tracking=True)[1]
    start = jax.jit(followed.reset)(jax.random.key(0), {})
    world = measured_world(model, task, np.asarray(start.qpos), start.state)
    assert followed.remember is not None
    state = followed.remember(world, jax.random.key(1))
    seen = followed.observe(world._replace(state=state), jax.random.key(1))
    np.testing.assert_allclose(seen.actor, seen.critic[:109], atol=1e-5)
    assert random_world(task, 0).state.tracks is None
