import numpy as np
import pytest

from s2rctl.render.laboratory.dress import CONTRAST, apart
from s2rctl.render.laboratory.plan import MESH, OBJECT, ROBOT, ROOM, TABLE, THING, Plan
from s2rctl.render.laboratory.textures import FLOORS, PICTURES, TABLES, cloud, read_pictures
from s2rctl.scene import SCENES
from s2rctl.schema.looks import HarshLook
from tests.render.laboratory.studio import NOMINAL, photographer
from tests.render.test_contract import needs_gl

EYES = ((0.0, -0.55, 0.45), (0.6, -0.5, 0.5))


@pytest.fixture(scope="module")
def shots():
    made = photographer(SCENES.load("insertion")(), (), EYES, (0, 0, 0), px=64)
    yield made
    made.painter.close()


def harsh(rng: np.random.Generator) -> dict[str, float]:
    look = HarshLook()
    return {name: float(rng.uniform(*getattr(look, name))) for name in NOMINAL}


pytestmark = needs_gl


def test_equal_seeds_give_equal_pictures_and_others_do_not(shots):
    values = harsh(np.random.default_rng(0))
    one, again, other = (shots.shoot(shots.outfit(seed, **values)) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0], other[0])


SEEN = {
    "robot_lightness": 0.3,
    "robot_tint": 0.5,
    "gloss": 1.0,
    "object_shift": 0.5,
    "table_lightness": 0.3,
    "table_tint": 0.5,
    "table_pattern": 0.8,
    "wall_lightness": 0.4,
    "wall_picture": 0.8,
    "floor_pattern": 0.8,
    "background": 0.8,
    "clutter": 8,
    "lights": 3,
    "light_gain": 1.0,
    "light_shift": 1.0,
    "light_temperature": 3000.0,
    "ambient": 1.0,
    "shadow": 0.8,
}


@pytest.mark.parametrize("axis", SEEN)
def test_each_axis_can_be_seen(shots, axis):
    plain, changed = (shots.shoot(shots.outfit(**held))[0].astype(int) for held in ({}, {axis: SEEN[axis]}))
    assert (np.abs(changed - plain).max(axis=-1) > 8).sum() >= 10


def test_a_wide_lamp_makes_two_shadows_of_half_the_depth(shots):
    hard, soft = (shots.shoot(shots.outfit(shadow=1.0, shadow_softness=wide))[0].astype(int) for wide in (0.0, 0.4))
    assert (np.abs(hard - soft).max(axis=-1) > 8).sum() >= 10


def test_a_new_value_of_one_axis_leaves_the_draws_of_the_others(shots):
    first, second = (shots.outfit(3, table_tint=tint, clutter=6, lights=2) for tint in (0.2, 0.4))
    assert [thing.position.tolist() for thing in first.things] == [thing.position.tolist() for thing in second.things]
    assert [lamp.position.tolist() for lamp in first.lamps] == [lamp.position.tolist() for lamp in second.lamps]
    table = shots.plan.role == TABLE
    assert not np.array_equal(first.rgba[table], second.rgba[table])


def test_things_lie_on_the_table_and_off_the_way(shots):
    plan: Plan = shots.plan
    for seed in range(20):
        for thing in shots.outfit(seed, clutter=12).things:
            x, y, half_x, half_y, top = plan.table
            assert abs(thing.position[0] - x) < half_x
            assert abs(thing.position[1] - y) < half_y
            assert thing.position[2] > top
            on_way = plan.way[0, 0] < thing.position[0] < plan.way[1, 0]
            assert not on_way or abs(thing.position[1] - plan.way[0, 1]) > 0.15


def test_the_nominal_world_is_the_training_scene(shots):
    outfit = shots.outfit()
    drawn = outfit.rgba[:, 3] > 0
    assert not drawn[np.isin(shots.plan.role, (MESH, THING, ROOM))].any()
    assert drawn[np.isin(shots.plan.role, (ROBOT, OBJECT, TABLE))].any()
    assert outfit.textures == (None,) * 4


def test_a_colour_is_moved_until_it_stands_out():
    rng = np.random.default_rng(0)
    for _ in range(200):
        ground, colour = rng.random((1, 3)), rng.random(3)
        assert np.max(np.abs(apart(colour, ground) - ground)) >= CONTRAST - 1e-9
    far = np.array([[0.0, 0.0, 0.0]])
    assert apart(np.array([1.0, 0.0, 0.0]), far) == pytest.approx([1.0, 0.0, 0.0])


def test_a_person_can_tell_the_objects_from_the_table_in_harsh_worlds(shots):
    rng, worst = np.random.default_rng(1), []
    for seed in range(12):
        outfit = shots.outfit(seed, **{**harsh(rng), "light_gain": 0.0, "ambient": 0.0})
        shown, bare = shots.shoot(outfit)[0], shots.shoot(shots.without_objects(outfit))[0]
        difference = np.abs(shown.astype(int) - bare).max(axis=-1)
        worst.append(np.median(difference[difference > 0]))
    assert min(worst) > 20, worst


@pytest.mark.parametrize("makers", [TABLES, FLOORS, PICTURES])
def test_every_material_is_a_picture_of_its_own(makers):
    for make in makers.values():
        one, again, other = (make(np.random.default_rng(seed), 64) for seed in (1, 1, 2))
        assert one.shape == (64, 64, 3)
        assert np.array_equal(one, again)
        assert not np.array_equal(one, other)
        assert one.std() > 0.01


def test_clouds_have_the_spectrum_of_photographs():
    image = np.mean([np.abs(np.fft.rfft(cloud(np.random.default_rng(seed), 128)[0])) for seed in range(40)], axis=0)
    slope = np.polyfit(np.log(np.arange(2, 40)), np.log(image[2:40]), 1)[0]
    assert -1.1 < slope < -0.4  # a row of a picture whose amplitude falls as 1/f falls as 1/f^0.5


def test_photographs_of_ones_own(tmp_path):
    from PIL import Image

    from s2rctl.core.errors import UsageError

    with pytest.raises(UsageError):
        read_pictures(tmp_path, 32)
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"no picture")
    (image,) = read_pictures(tmp_path, 32)
    assert image.shape == (32, 32, 3)
    assert image[..., 0].min() == 1.0
