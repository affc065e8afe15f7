"""Writing in place, sealing and giving up."""

import gc

import numpy
import pytest

import plasmad
from conftest import eventually


def is_taken(store, id):
    """There is an object, or one is being written."""
    try:
        store.stat(id)
    except plasmad.ObjectNotFoundError:
        return False
    return True


def test_write_then_seal(store, fresh_id):
    buffer = store.create(8, object_id=fresh_id, metadata=b"meta", evictable=True)
    assert (buffer.object_id, buffer.nbytes, len(buffer)) == (fresh_id, 8, 8)
    buffer[:] = b"12345678"
    buffer[0:2] = bytearray(b"AB")
    buffer[7] = ord("Z")
    assert buffer[6:8] == b"7Z" and buffer[0] == ord("A")
    assert not store.contains(fresh_id)
    assert buffer.seal() == fresh_id
    with store.get_buffer(fresh_id, 0) as read:
        assert bytes(read) == b"AB34567Z" and read.metadata == b"meta"
    assert store.stat(fresh_id).evictable is True


def test_any_bytes_of_equal_length_fill_it(store):
    for data in (
        b"x" * 80,
        numpy.arange(10.0),
        numpy.arange(20, dtype="int32").reshape(4, 5),
    ):
        with store.create(80) as buffer:
            buffer[:] = data
        assert bytes(store.get_buffer(buffer.object_id, 0)) == bytes(memoryview(data).cast("B"))


@pytest.mark.parametrize("wrong", [b"", b"1234567", b"123456789"])
def test_another_length_is_refused(store, wrong):
    buffer = store.create(8)
    with pytest.raises(ValueError, match="8 bytes"):
        buffer[:] = wrong
    with pytest.raises(ValueError):
        buffer[0:3] = b"1234"
    with pytest.raises(TypeError):
        buffer[:] = "12345678"
    with pytest.raises(BufferError):
        buffer[:] = numpy.zeros(16, dtype="uint8")[::2]
    buffer.abort()


def test_it_can_be_filled_with_itself(store):
    with store.create(8) as buffer:
        buffer[:] = b"12345678"
        buffer[:] = buffer
        buffer[0:4] = buffer[2:6]
        view = memoryview(buffer)
        buffer[:] = numpy.arange(1, dtype="int64")
        buffer[3:3] = numpy.zeros((0, 2))
        assert view[0] == 0
        del view
        buffer[6:2] = b""
        buffer[:] = b"abcdefgh"
    assert bytes(store.get_buffer(buffer.object_id, 0)) == b"abcdefgh"


@pytest.mark.parametrize("view", ["memoryview", "slice", "numpy"])
def test_sealing_with_a_view_alive_is_refused_and_leaves_it_unsealed(store, view):
    buffer = store.create(16)
    id = buffer.object_id
    held = {
        "memoryview": lambda: memoryview(buffer),
        "slice": lambda: buffer[4:8][1:2],
        "numpy": lambda: numpy.frombuffer(buffer, dtype="uint8")[3:5],
    }[view]()
    with pytest.raises(BufferError, match=id.hex()):
        buffer.seal()
    assert store.stat(id).state == "created" and not store.contains(id)
    held[0] = 7
    del held
    gc.collect()
    buffer.seal()
    assert store.stat(id).state == "sealed"


def test_no_view_survives_sealing(store):
    buffer = store.create(16)
    buffer.seal()
    for use in (
        lambda: memoryview(buffer),
        lambda: numpy.frombuffer(buffer, dtype="uint8"),
        lambda: buffer[0],
        lambda: buffer.__setitem__(slice(None), bytes(16)),
        lambda: buffer.seal(),
        lambda: buffer.abort(),
    ):
        with pytest.raises(ValueError, match="already sealed"):
            use()
    assert len(buffer) == 16 and "sealed" in repr(buffer)


def test_an_aborted_object_never_was(store, fresh_id):
    buffer = store.create(16, object_id=fresh_id)
    buffer.abort()
    eventually(lambda: not is_taken(store, fresh_id))
    for use in (buffer.seal, buffer.abort, lambda: buffer[0]):
        with pytest.raises(ValueError, match="already aborted"):
            use()
    store.put_bytes(b"another", object_id=fresh_id)


def test_a_with_block_seals_or_aborts(store):
    with store.create(3) as sealed:
        sealed[:] = b"abc"
    assert bytes(store.get_buffer(sealed.object_id, 0)) == b"abc"

    with pytest.raises(ZeroDivisionError), store.create(3) as aborted:
        1 / 0  # noqa: B018
    eventually(lambda: not is_taken(store, aborted.object_id))

    with store.create(3) as by_hand:
        by_hand.seal()
    with store.create(3) as given_up:
        given_up.abort()
    assert store.contains(by_hand.object_id) and not store.contains(given_up.object_id)


def test_a_with_block_that_ends_with_a_view_alive_seals_nothing(store):
    with pytest.raises(BufferError), store.create(3) as buffer:
        view = memoryview(buffer)
    assert store.stat(buffer.object_id).state == "created"
    del view
    buffer.seal()


def test_aborting_with_a_view_alive_waits_for_it(store):
    with pytest.raises(ZeroDivisionError), store.create(64) as buffer:
        view = numpy.frombuffer(buffer, dtype="uint8")
        1 / 0  # noqa: B018
    # Its memory can't be another object's while somebody could still write to it.
    assert is_taken(store, buffer.object_id)
    view[:] = 1
    with pytest.raises(ValueError, match="aborted"):
        buffer.seal()
    with pytest.raises(ValueError, match="aborted"):
        memoryview(buffer)
    del view
    gc.collect()
    eventually(lambda: not is_taken(store, buffer.object_id))


def test_a_forgotten_one_is_aborted(store, fresh_id):
    buffer = store.create(16, object_id=fresh_id)
    view = memoryview(buffer)
    del buffer
    gc.collect()
    assert is_taken(store, fresh_id)
    del view
    gc.collect()
    eventually(lambda: not is_taken(store, fresh_id))


def test_large_data_is_copied_whole(store):
    data = numpy.random.default_rng(7).integers(0, 256, 9_000_001, dtype="uint8")
    with store.create(data.nbytes) as buffer:
        buffer[:] = data
    assert numpy.array_equal(numpy.frombuffer(store.get_buffer(buffer.object_id, 0), dtype="uint8"), data)
    id = store.put_bytes(data)
    assert numpy.array_equal(numpy.frombuffer(store.get_buffer(id, 0), dtype="uint8"), data)
    assert store.delete([id, buffer.object_id]) == 2
