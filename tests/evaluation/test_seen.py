import numpy as np

from s2rctl.core.depth_picture import grey
from s2rctl.evaluation.seen import pictures

RGB = np.full((2, 3, 4, 3), 7, np.uint8)
DEPTH = np.broadcast_to(np.array([0, 500, 1000, 2000], np.uint16), (2, 3, 4))


def test_depth_is_bright_where_it_is_near_and_black_where_nothing_was_measured():
    seen = grey(DEPTH)
    assert seen.shape == (2, 3, 4, 3) and seen.dtype == np.uint8
    nothing, *measured = seen[0, 0, :, 0].tolist()
    assert nothing == 0 and measured == sorted(measured, reverse=True) and min(measured) > 30
    np.testing.assert_array_equal(grey(DEPTH, 4000.0)[0, 0, 3], grey(DEPTH // 2, 2000.0)[0, 0, 3])
    assert not grey(np.zeros((2, 2), np.uint16)).any()


def test_colours_are_shown_and_depth_only_of_cameras_that_have_none():
    inputs = {"rgb_left": RGB, "depth_left": DEPTH, "depth_right": DEPTH, "joint_pos": np.zeros((2, 6))}
    found = pictures(inputs)
    assert list(found) == ["rgb_left", "depth_right"]
    np.testing.assert_array_equal(found["rgb_left"], RGB)
    np.testing.assert_array_equal(found["depth_right"], grey(DEPTH))
