import json
import os
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2rctl.core.errors import UsageError
from s2rctl.store import gc
from s2rctl.store.gc import collect, find_garbage, remove
from s2rctl.store.lineage import closure
from s2rctl.store.store import Store
from s2rctl.store.verify import verify

LATER = 10_000.0  # s; more than the grace period


def test_young_files_stay_and_old_garbage_goes(store, publish):
    kept, lost = publish(store), publish(store, content=b"old", key="a" * 64)
    store.set_ref("teacher/pick", kept.id, "test")
    (store.root / "tmp" / "blob-left").write_bytes(b"killed while writing")
    assert find_garbage(store).manifests == ()
    garbage = collect(store, now=time.time() + LATER)
    assert garbage.manifests == (lost.id,) and len(garbage.blobs) == 1 and garbage.keys == ("a" * 64,)
    assert not (store.root / "tmp" / "blob-left").exists()
    assert store.lookup_key("a" * 64) is None
    assert store.resolve("teacher/pick").intact() and verify(store, full=True).clean


def age(store: Store) -> None:
    for path in store.root.rglob("*"):
        os.utime(path, (1_000_000, 1_000_000))


def test_what_is_published_again_is_young_again(store, publish):
    """Between publishing and tagging nothing leads to it yet."""
    publish(store, key="a" * 64)
    age(store)
    again = publish(store, key="a" * 64)
    assert collect(store).manifests == () and store.get(again.id).intact() and store.lookup_key("a" * 64) is not None


@pytest.mark.parametrize("known", ["the same artifact", "a file of it"])
def test_what_is_published_while_garbage_is_collected_stays(known, store, publish, monkeypatch):
    """Garbage collection has made its list, and then somebody else publishes what is on it."""
    old = publish(store, key="a" * 64)
    age(store)
    made = []

    def listed(*arguments, **options):
        garbage = find_garbage(*arguments, **options)
        assert old.id in garbage.manifests and len(garbage.blobs) == 2
        name = "pick" if known == "the same artifact" else "insert"
        made.append(publish(store, name, key="a" * 64))
        return garbage

    monkeypatch.setattr(gc, "find_garbage", listed)
    collect(store)
    assert store.get(made[0].id).intact() and store.lookup_key("a" * 64) is not None
    assert verify(store, full=True).clean
    assert not list((store.root / "tmp").iterdir())


@pytest.mark.parametrize("lost", ["blob", "manifest"])
def test_what_is_collected_while_it_is_published_is_stored_again(lost, store, publish, monkeypatch):
    """The clock was an hour behind while the files were written, so that they seem old."""
    add = Store.add_manifest

    def interrupted(self, raw):
        identity = add(self, raw)
        monkeypatch.setattr(Store, "add_manifest", add)
        if lost == "manifest":
            (store.root / "manifests" / f"{identity}.json").unlink()
        else:
            store.blobs.remove(raw["content"]["files"][0]["sha256"])
        return identity

    monkeypatch.setattr(Store, "add_manifest", interrupted)
    assert publish(store).intact() and verify(store, full=True).clean


# Each artifact picks its inputs among the earlier ones; some get a ref.
_GRAPHS = st.lists(st.tuples(st.sets(st.integers(0, 5), max_size=2), st.booleans()), min_size=1, max_size=6)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(graph=_GRAPHS)
def test_gc_never_removes_anything_reachable(graph, tmp_path_factory, publish):
    store = Store(tmp_path_factory.mktemp("gc"))
    made, roots = [], []
    for number, (picks, named) in enumerate(graph):
        inputs = {f"r{index}": made[index].id for index in picks if index < number}
        made.append(publish(store, name=f"a{number}", content=b"%d" % number, inputs=inputs))
        if named:
            store.set_ref(f"teacher/a{number}", made[-1].id, "test")
            roots.append(made[-1].id)
    reachable = closure(store, roots)
    collect(store, now=time.time() + LATER)
    assert set(store.ids()) == reachable
    assert verify(store, full=True).clean
    assert all(store.get(identity).intact() for identity in reachable)


def test_inputs_of_a_run_under_way_stay(store, publish):
    used = publish(store)
    folder = store.run_folder("b" * 64)
    (folder / "state.json").write_text(json.dumps({"inputs": {"pick": used.id}}))
    assert collect(store, now=time.time() + LATER).manifests == ()


def test_remove_refuses_what_others_were_made_from(store, publish):
    parent = publish(store)
    child = publish(store, name="insert", content=b"child", inputs={"pick": parent.id}, key="c" * 64)
    store.set_ref("teacher/insert", child.id, "test")
    with pytest.raises(UsageError, match="input of teacher/insert"):
        remove(store, parent, "test")
    assert remove(store, child, "test") == ["teacher/insert:latest"]
    assert list(store.ids()) == [parent.id] and store.refs.all() == {} and store.keys() == {}
    assert verify(store).clean
