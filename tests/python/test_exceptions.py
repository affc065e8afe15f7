"""Exceptions: their builtins, their attributes, and that they travel."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

import plasmad
from conftest import eventually
from plasmad import ObjectId, exceptions

BUILTINS = {
    "GetTimeoutError": TimeoutError,
    "StoreFullError": MemoryError,
    "ObjectNotFoundError": KeyError,
    "ObjectExistsError": FileExistsError,
    "ObjectNotSealedError": ValueError,
    "StoreClosedError": ValueError,
    "ObjectLostError": RuntimeError,
    "OwnerDiedError": RuntimeError,
    "WorkerDiedError": RuntimeError,
    "StoreConnectionError": ConnectionError,
    "AccessDeniedError": PermissionError,
    "LimitError": PermissionError,
    "ServerStartError": OSError,
    "SpillError": OSError,
}


@pytest.mark.parametrize("name", BUILTINS)
def test_each_is_a_store_error_and_its_builtin(name):
    error = getattr(exceptions, name)("object 07 is not there; make it")
    assert isinstance(error, plasmad.StoreError) and isinstance(error, BUILTINS[name])
    assert str(error) == "object 07 is not there; make it"
    assert getattr(plasmad, name) is type(error)


@pytest.mark.parametrize("name", BUILTINS)
def test_each_can_be_pickled(name):
    loaded = pickle.loads(pickle.dumps(getattr(exceptions, name)("the sentence")))
    assert type(loaded).__name__ == name and str(loaded) == "the sentence"


def test_attributes_travel_too():
    missing = ObjectId(b"missing")
    timeout = exceptions.GetTimeoutError("late", pending={missing: "absent"})
    assert pickle.loads(pickle.dumps(timeout)).pending == {missing: "absent"}

    holder = {"client": 3, "pid": 77, "label": None, "pins": 1, "bytes": 64}
    full = exceptions.StoreFullError("full", asked=9, free=5, largest_hole=4, pinned=2, pinned_by=[holder])
    loaded = pickle.loads(pickle.dumps(full))
    assert (loaded.asked, loaded.free, loaded.largest_hole, loaded.pinned) == (
        9,
        5,
        4,
        2,
    )
    assert loaded.pinned_by == [holder]

    lost = exceptions.StoreConnectionError("gone", outcome="unknown")
    assert pickle.loads(pickle.dumps(lost)).outcome == "unknown"


def test_an_owner_that_died_is_a_lost_object():
    assert issubclass(exceptions.OwnerDiedError, exceptions.ObjectLostError)


def test_a_late_get_says_what_is_missing_and_how(store, fresh_id):
    unsealed = store.create(8)
    with pytest.raises(plasmad.GetTimeoutError) as caught:
        store.get_buffers([fresh_id, unsealed.object_id], timeout=0)
    assert caught.value.pending == {fresh_id: "absent", unsealed.object_id: "unsealed"}
    assert fresh_id.hex() in str(caught.value)
    unsealed.abort()


def test_an_id_that_is_taken(store, fresh_id):
    with (
        store.create(1, object_id=fresh_id),
        pytest.raises(plasmad.ObjectExistsError, match=fresh_id.hex()),
    ):
        store.put_bytes(b"x", object_id=fresh_id)
    with pytest.raises(FileExistsError):
        store.create(1, object_id=fresh_id)


def test_what_never_waits_says_not_found(store, fresh_id):
    with pytest.raises(plasmad.ObjectNotFoundError) as caught:
        store.stat(fresh_id)
    assert fresh_id.hex() in str(caught.value)
    # A plain sentence, not the repr that a KeyError shows.
    assert not str(caught.value).startswith(("'", '"'))


def test_an_unsealed_object_is_not_deleted(store):
    with store.create(4) as buffer:
        with pytest.raises(plasmad.ObjectNotSealedError, match=buffer.object_id.hex()):
            store.delete(buffer.object_id)
        buffer[:] = b"1234"
    assert bytes(store.get_buffer(buffer.object_id, 0)) == b"1234"


def test_an_object_larger_than_the_arena_is_refused_at_once_with_numbers(store):
    with pytest.raises(plasmad.StoreFullError) as caught:
        store.create("1GiB", timeout=None)
    error = caught.value
    assert error.asked >= 1 << 30 and error.free <= 64 << 20 and error.largest_hole <= error.free
    assert error.pinned >= 0 and isinstance(error.pinned_by, list)


def test_a_store_full_of_pins_says_how_much_and_whose(socket):
    with plasmad.connect(socket, name="hoarder") as store:
        held = []
        with pytest.raises(plasmad.StoreFullError) as caught:
            while True:
                held.append(store.get_buffer(store.put_bytes(bytes(8 << 20), timeout=0)))
        error = caught.value
        assert error.asked == 8 << 20 and error.largest_hole < error.asked
        assert error.pinned >= len(held) * (8 << 20)
        [mine] = [holder for holder in error.pinned_by if holder["label"] == "hoarder"]
        assert mine["pins"] == len(held) and mine["bytes"] == len(held) * (8 << 20)
        # Whose pins they are is in the text: nobody else can make room.
        assert "pinned by yourself" in str(error)
        store.delete([buffer.object_id for buffer in held])


def test_a_daemon_that_goes_away_is_a_connection_error():
    with plasmad.Server(memory="16MiB") as server:
        store = plasmad.connect(server.socket, timeout=0.2)
        id = store.put_bytes(b"kept")
        buffer = store.get_buffer(id)
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(store.get_buffer, ObjectId.random())
            eventually(lambda: store.stats()["clients"]["gets_waiting"] == 1)
            server.stop()
            with pytest.raises(plasmad.StoreConnectionError) as caught:
                waiting.result(30)
    assert caught.value.outcome in ("unknown", "not done")
    with pytest.raises(plasmad.StoreConnectionError) as caught:
        store.put_bytes(b"x")
    assert caught.value.outcome == "not done"
    # What was given out stays as it was.
    assert bytes(buffer) == b"kept"


def test_a_reader_may_only_look(socket, store):
    id = store.put_bytes(b"to be read")
    with plasmad.connect(socket, role="reader") as reader:
        assert bytes(reader.get_buffer(id, 0)) == b"to be read"
        assert reader.contains(id) and reader.stat(id).data_bytes == 10
        for write in (
            lambda: reader.create(1),
            lambda: reader.put_bytes(b"x"),
            lambda: reader.put_many([b"x"]),
            lambda: reader.delete(id),
            lambda: reader.evict(1),
        ):
            with pytest.raises(plasmad.AccessDeniedError):
                write()


def test_too_much_metadata_is_a_limit(store):
    with pytest.raises(plasmad.LimitError, match="metadata"):
        store.put_bytes(b"x", metadata=bytes(64 * 1024 + 1))


def test_a_closed_store_says_so(socket):
    store = plasmad.connect(socket)
    id = store.put_bytes(b"kept")
    buffer = store.get_buffer(id, 0)
    store.close()
    store.close()
    for verb in (
        lambda: store.put_bytes(b"x"),
        lambda: store.get_buffer(id),
        lambda: store.stats(),
    ):
        with pytest.raises(plasmad.StoreClosedError):
            verb()
    assert bytes(buffer) == b"kept"


def test_no_daemon_is_a_connection_error_with_its_outcome(tmp_path):
    with pytest.raises(plasmad.StoreConnectionError) as caught:
        plasmad.connect(tmp_path / "nobody", timeout=0.05)
    assert caught.value.outcome == "not done"
    assert str(tmp_path / "nobody") in str(caught.value)
