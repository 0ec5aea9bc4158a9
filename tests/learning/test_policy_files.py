import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from s2rctl.core.errors import ArtifactError, UsageError
from s2rctl.learning.policy_files import KINDS, flatten, load_policy, save_policy, unflatten
from s2rctl.learning.teacher import networks, normalise
from s2rctl.tasks.protocol import Observation

SETTINGS = networks.TeacherSettings(observation_size=5, action_size=3, hidden=(8, 8))


def teacher():
    actor = networks.init_actor(jax.random.key(0), SETTINGS)
    statistics = normalise.update(normalise.start(5), jax.random.normal(jax.random.key(1), (100, 5)), jnp.ones(100))
    return {"actor": actor, "normaliser": normalise.published(statistics)}


def observation(rows):
    return Observation(rows, rows, {})


def test_a_saved_policy_acts_as_before(tmp_path):
    params = teacher()
    rows = jax.random.normal(jax.random.key(2), (7, 5))
    files = save_policy(tmp_path, "teacher", SETTINGS.model_dump(mode="json"), params)
    loaded = load_policy(tmp_path)
    action = loaded.act(observation(rows))
    assert set(files) == {"policy.safetensors", "policy.json"} and all(path.is_file() for path in files.values())
    assert action.shape == (7, 3) and np.all(np.abs(action) <= 1)
    np.testing.assert_array_equal(action, networks.teacher_action(params, SETTINGS, rows))
    np.testing.assert_array_equal(jax.jit(loaded.act)(observation(rows)).shape, (7, 3))


def test_the_same_policy_has_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_policy(tmp_path / name, "teacher", SETTINGS.model_dump(mode="json"), teacher())
    for file in ("policy.safetensors", "policy.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize("kind", sorted(KINDS.rows))
def test_every_kind_can_be_imported(kind):
    assert callable(KINDS.load(kind))


def test_an_unknown_kind_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UsageError, match="policy kind 'teecher'"):
        save_policy(tmp_path / "p", "teecher", {}, {})
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("damage", ["missing", "truncated", "no json", "format", "names"])
def test_damage_is_an_artifact_error(tmp_path, damage):
    save_policy(tmp_path, "teacher", SETTINGS.model_dump(mode="json"), teacher())
    weights, text = tmp_path / "policy.safetensors", tmp_path / "policy.json"
    if damage == "missing":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:40])
    elif damage == "no json":
        text.write_text("{")
    elif damage == "names":  # one array's name is a folder of another's
        weights.write_bytes(save({"a": np.zeros(1, np.float32), "a/b": np.zeros(1, np.float32)}))
    else:
        text.write_text(json.dumps(json.loads(text.read_text()) | {"format": 99}))
    with pytest.raises(ArtifactError):
        load_policy(tmp_path)


KEYS = st.text("abc_0", min_size=1, max_size=3)
TREES = st.recursive(
    st.integers(), lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3), max_leaves=10
).filter(lambda tree: isinstance(tree, dict))


@given(TREES)
def test_unflatten_inverts_flatten(tree):
    assert unflatten(flatten(tree)) == tree


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a/b", "a/b/c/d"), ("a/b/c/d", "a/b", "e")])
@pytest.mark.parametrize("leaf", [1, np.zeros(0, np.float32), np.zeros((2, 3), np.float32)])
def test_an_array_inside_another_is_refused(names, leaf):
    with pytest.raises(ValueError, match="inside another"):
        unflatten(dict.fromkeys(names, leaf))


def test_a_key_with_a_slash_is_refused():
    with pytest.raises(ValueError, match="a/b"):
        flatten({"a/b": 1})
