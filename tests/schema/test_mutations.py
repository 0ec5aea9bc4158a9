"""A profile with anything in the place of anything either is refused or can be planned and built."""

import copy

import jax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2rctl.core.errors import ArtifactError, ProfileError
from s2rctl.env.build import make_images, make_model, make_task
from s2rctl.learning.reach.networks import reach_settings
from s2rctl.learning.student.settings import encoder_shape
from s2rctl.learning.vision.encoder import Encoder
from s2rctl.learning.vision.encoder import init as init_encoder
from s2rctl.pipeline.graph import graph_of
from s2rctl.pipeline.plan import make_plan
from s2rctl.schema.load import load_profile, load_resolved
from s2rctl.schema.profile import AlohaProfile, Profile
from s2rctl.store.store import Store
from s2rctl.systems import system_named

RESOLVED = {name: load_profile(name).profile.model_dump(mode="json") for name in ("aloha-smoke", "xarm7-smoke")}


def places(value, path=()):
    """Yield the path of everything in a tree."""
    if path:
        yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


PLACES = {name: list(places(values)) for name, values in RESOLVED.items()}

numbers = st.one_of(
    st.sampled_from([0, -1, 1, 2, 3, 7, 20, 31, 2**31, 2**64, -0.0, 0.5, 1e-320, 1e308, float("inf"), float("nan")]),
    st.integers(-10, 1000),
    st.floats(0, 2),
)
texts = st.one_of(
    st.sampled_from(["", "x", "../x", "a/b", "~", "\0", "\x1b[0m", "²", "side", "front", "best", "alexnet", "depth"]),
    st.text(max_size=5),
)
values = st.recursive(
    st.one_of(numbers, texts, st.none(), st.booleans()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def mutated(draw):
    """Return a resolved profile in which one to four values are others, scaled, gone, or doubled."""
    name = draw(st.sampled_from(sorted(RESOLVED)))
    profile = copy.deepcopy(RESOLVED[name])
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 4]))):
        *way, last = draw(st.sampled_from(PLACES[name]))
        node = profile
        try:
            for part in way:
                node = node[part]
            old = node[last]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took it away
        kind = draw(st.sampled_from(["other", "scaled", "scaled", "gone", "doubled"]))
        if kind == "scaled" and isinstance(old, int | float):
            node[last] = old * draw(st.sampled_from([0.01, 0.5, 1, 2, 3, 100]))
            if isinstance(old, int):
                node[last] = int(node[last])
        elif kind == "gone" and isinstance(node, dict):
            del node[last]
        elif kind == "doubled" and isinstance(old, list):
            node[last] = [*old, *copy.deepcopy(old)]
        else:
            node[last] = draw(values)
    return profile


def build(profile: Profile, store: Store) -> None:
    """Plan the pipeline and build scenes, tasks, cameras and the shapes of the networks; nothing is trained."""
    assert all(step.action == "run" for step in make_plan(graph_of(profile.system), profile, store))
    system = system_named(profile.system)
    for task in system.tasks:
        model = make_model(profile, task)
        make_task(profile, task, model)
    make_images(profile, system.deployed.task, model)
    cameras = profile.vision.cameras
    if isinstance(profile, AlohaProfile):
        shape = encoder_shape(cameras, profile.encoder)
    else:
        shape = reach_settings(cameras, profile.extractor, profile.reach, 0.03, (0, 0, 0), 0.1).encoder
    size = (shape.height, shape.width, shape.channels)
    jax.eval_shape(lambda key: init_encoder(Encoder(shape), key, *size), jax.random.key(0))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(mutated())
def test_a_mutated_profile_is_refused_or_can_be_built(tmp_path_factory, profile):
    try:
        loaded = load_resolved(profile).profile
        build(loaded, Store(tmp_path_factory.getbasetemp() / "store"))
    except (ArtifactError, ProfileError) as error:
        assert error.message and error.hint
        return
    assert load_resolved(loaded.model_dump(mode="json")).profile == loaded


@pytest.mark.parametrize("name", sorted(RESOLVED))
def test_what_is_not_changed_can_be_built(name, tmp_path):
    build(load_resolved(RESOLVED[name]).profile, Store(tmp_path))
