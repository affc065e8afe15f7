"""The verbs that are neither reading nor writing, and the store as a value."""

import json
import multiprocessing
import pickle
import re

import pytest

import plasmad
from plasmad import ObjectId

FIELDS = [
    *(
        "id",
        "name",
        "state",
        "where",
        "data_bytes",
        "metadata_bytes",
        "format",
        "pins",
        "pinned_by",
        "refs",
    ),
    *("evictable", "created_at", "sealed_at", "extent", "file"),
]


def test_stat_tells_about_one_object(store):
    id = store.put_bytes(b"12345", metadata=b"123")
    with store.get_buffer(id):
        info = store.stat(id)
    assert list(info) == FIELDS
    assert (info.id, info["data_bytes"], info.metadata_bytes, info.pins) == (
        id.hex(),
        5,
        3,
        1,
    )
    assert (info.state, info.where, info.format, info.name, info.refs) == (
        "sealed",
        ["memory"],
        "raw",
        None,
        None,
    )
    assert info.evictable is False and info.file is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", info.created_at)
    assert json.loads(json.dumps(info)) == info and pickle.loads(pickle.dumps(info)) == info
    with pytest.raises(AttributeError, match="no field 'color'"):
        info.color  # noqa: B018


def test_stat_tells_who_pins(socket, store):
    id = store.put_bytes(b"12345")
    with (
        plasmad.connect(socket, name="the one who pins") as other,
        other.get_buffer(id),
        other.get_buffer(id),
    ):
        info = store.stat(id)
    assert info.pins == 2
    [holder] = info.pinned_by
    assert holder["label"] == "the one who pins" and holder["pins"] == 2


def test_stat_tells_of_an_unsealed_object(store):
    with store.create(77) as buffer:
        info = store.stat(buffer.object_id)
        assert (info.state, info.data_bytes, info.sealed_at) == ("created", 77, None)


def test_list_tells_about_all(store):
    ids = store.put_many([b"1", b"22", b"333"])
    found = {info.id: info for info in store.list()}
    assert [found[id.hex()].data_bytes for id in ids] == [1, 2, 3]
    assert len(store.list(limit=2)) == 2 and store.list(limit=0) == []
    with pytest.raises(ValueError):
        store.list(limit=-1)


def test_stats_are_the_daemons(store):
    stats = store.stats()
    assert stats["schema"] == 1 and stats["memory"]["capacity_bytes"] > 0


def test_contains_means_sealed(store):
    buffer = store.create(1)
    assert not store.contains(buffer.object_id)
    buffer.seal()
    assert store.contains(buffer.object_id)


def test_delete_counts_what_was_there(store, fresh_id):
    ids = store.put_many([b"1", b"2", b"3"])
    assert store.delete(fresh_id) == 0
    assert store.delete([ids[0], fresh_id, ids[1].hex()]) == 2
    assert store.delete(id for id in ids) == 1
    assert store.delete([]) == 0
    with pytest.raises(TypeError, match="an id is"):
        store.delete(5)


def test_put_many_is_all_or_none(store):
    first, second = ObjectId.random(), ObjectId.random()
    assert store.put_many([b"1", b"2"], object_ids=[first, second]) == [first, second]
    third = ObjectId.random()
    with pytest.raises(plasmad.ObjectExistsError):
        store.put_many([b"3", b"2"], object_ids=[third, second])
    assert not store.contains(third)
    assert store.put_many([]) == []
    with pytest.raises(ValueError, match="2 objects and 1 ids"):
        store.put_many([b"1", b"2"], object_ids=[third])


def test_evicting_nothing_is_no_error(store):
    assert store.evict(0) == 0
    assert isinstance(store.evict("1KiB"), int)


def test_evictable_objects_make_room_first():
    with plasmad.Server("16MiB", when_full="spill") as server, plasmad.connect(server.socket) as store:
        kept = store.put_bytes(bytes(1 << 20))
        id = store.put_bytes(bytes(1 << 20), evictable=True)
        assert store.evict("1MiB") == 1 << 20
        assert store.contains(kept) and not store.contains(id)


def test_a_store_that_refuses_drops_nothing(store):
    id = store.put_bytes(bytes(1 << 20), evictable=True)
    assert store.evict("1MiB") == 0
    assert store.delete(id) == 1


def test_a_pickled_store_is_its_address(socket, store):
    id = store.put_bytes(b"for whoever loads it")
    with pickle.loads(pickle.dumps(store)) as again:
        assert bytes(again.get_buffer(id, 0)) == b"for whoever loads it"
    with plasmad.connect(socket, role="reader", name="a reader") as reader:
        loaded = pickle.loads(pickle.dumps(reader))
    with pytest.raises(plasmad.AccessDeniedError):
        loaded.put_bytes(b"x")


def read_elsewhere(store, id):
    return bytes(store.get_buffer(id, 10))


def test_a_store_goes_to_spawned_processes(store):
    id = store.put_bytes(b"across processes")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(read_elsewhere, (store, id)) == b"across processes"
