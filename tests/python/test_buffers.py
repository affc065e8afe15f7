"""Reading in place: views, and the pin that lives as long as the last of them."""

import ctypes
import gc

import numpy
import pyarrow
import pytest

import plasmad
from conftest import eventually, pins


def test_a_buffer_is_the_objects_bytes(store):
    id = store.put_bytes(b"0123456789", metadata=b"digits")
    buffer = store.get_buffer(id)
    assert (buffer.object_id, buffer.nbytes, len(buffer), buffer.metadata) == (
        id,
        10,
        10,
        b"digits",
    )
    assert bytes(buffer) == b"0123456789" and buffer[2] == ord("2") and buffer[-1] == ord("9")
    assert isinstance(buffer[2:4], memoryview) and buffer[2:4] == b"23" and buffer[::5] == b"05"
    with pytest.raises(IndexError):
        buffer[10]
    assert id.hex() in repr(buffer)


def test_nothing_can_be_written_through_it(store):
    buffer = store.get_buffer(store.put_bytes(b"sealed"))
    assert memoryview(buffer).readonly
    assert not numpy.frombuffer(buffer, dtype="uint8").flags.writeable
    with pytest.raises(TypeError):
        buffer[0] = 1
    with pytest.raises(TypeError):
        memoryview(buffer)[0] = 1
    with pytest.raises((BufferError, TypeError)):
        ctypes.c_char.from_buffer(buffer)
    with pytest.raises(ValueError):
        numpy.frombuffer(buffer, dtype="uint8").setflags(write=True)


def test_two_gets_of_one_object_are_one_memory(store):
    id = store.put_bytes(bytes(1 << 20))
    first, second = (numpy.frombuffer(store.get_buffer(id), dtype="uint8") for _ in range(2))
    assert first.ctypes.data == second.ctypes.data
    assert first.ctypes.data % 64 == 0
    assert in_a_mapping_of_shared_memory(first.ctypes.data, first.nbytes)


def in_a_mapping_of_shared_memory(address, nbytes):
    """The address is in a read-only shared mapping of a memfd."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            span, permissions, _, _, _, *name = line.split(maxsplit=5)
            start, end = (int(part, 16) for part in span.split("-"))
            if start <= address and address + nbytes <= end:
                return permissions == "r--s" and "memfd" in name[0]
    return False


@pytest.mark.parametrize("view", ["memoryview", "slice", "numpy", "arrow"])
def test_the_last_view_holds_the_pin(store, view):
    id = store.put_bytes(bytes(range(256)) * 16)
    buffer = store.get_buffer(id)
    assert pins(store, id) == 1
    held = {
        "memoryview": lambda: memoryview(buffer),
        "slice": lambda: buffer[100:200][5:10],
        "numpy": lambda: numpy.frombuffer(buffer, dtype="uint32").reshape(32, 32)[3, 4:9],
        "arrow": lambda: pyarrow.Array.from_buffers(pyarrow.int32(), 1024, [None, pyarrow.py_buffer(buffer)])[5:9],
    }[view]()
    with pytest.raises(BufferError, match="alive"):
        buffer.close()
    del buffer
    gc.collect()
    assert pins(store, id) == 1
    del held
    gc.collect()
    eventually(lambda: pins(store, id) == 0)


def test_arrow_reads_in_place(store):
    buffer = store.get_buffer(store.put_bytes(numpy.arange(1000, dtype="int64")))
    arrow = pyarrow.py_buffer(buffer)
    assert arrow.address == numpy.frombuffer(buffer, dtype="uint8").ctypes.data
    assert not arrow.is_mutable
    array = pyarrow.Array.from_buffers(pyarrow.int64(), 1000, [None, arrow])
    assert array[999].as_py() == 999


def test_closing_drops_the_pin(store):
    id = store.put_bytes(b"data")
    buffer = store.get_buffer(id)
    buffer.close()
    buffer.close()
    eventually(lambda: pins(store, id) == 0)
    for use in (
        lambda: memoryview(buffer),
        lambda: buffer[0],
        lambda: buffer.metadata,
        lambda: bytes(buffer),
    ):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert len(buffer) == 4 and buffer.object_id == id


def test_a_with_block_closes(store):
    id = store.put_bytes(b"data")
    with store.get_buffer(id) as buffer:
        assert bytes(buffer) == b"data"
    eventually(lambda: pins(store, id) == 0)

    with pytest.raises(BufferError), store.get_buffer(id) as buffer:
        view = memoryview(buffer)
    assert view == b"data"

    # An exception isn't hidden by the views that its traceback keeps.
    with pytest.raises(ZeroDivisionError), store.get_buffer(id) as buffer:
        another = memoryview(buffer)
        1 / 0  # noqa: B018
    assert another == b"data"


def test_a_deleted_object_stays_readable_while_it_is_held(store):
    id = store.put_bytes(b"still here")
    buffer = store.get_buffer(id)
    assert store.delete(id) == 1
    assert not store.contains(id)
    assert bytes(buffer) == b"still here"


def test_an_empty_object(store):
    id = store.put_bytes(b"", metadata=b"only this")
    with store.get_buffer(id) as buffer:
        assert (len(buffer), bytes(buffer), buffer.metadata) == (0, b"", b"only this")
        assert buffer[:] == b"" and pyarrow.py_buffer(buffer).size == 0
        assert numpy.asarray(memoryview(buffer)).size == 0
    with store.create(0) as empty:
        empty[:] = b""
    assert bytes(store.get_buffer(empty.object_id, 0)) == b""


def test_a_writable_one_is_a_private_copy(store):
    id = store.put_bytes(b"original", metadata=b"m")
    buffer = store.get_buffer(id, writable=True)
    assert pins(store, id) == 0 and buffer.metadata == b"m"
    buffer[0:4] = b"ORIG"
    numpy.frombuffer(buffer, dtype="uint8")[-1] = ord("!")
    assert bytes(buffer) == b"ORIGina!"
    assert bytes(store.get_buffer(id)) == b"original"


def test_several_at_once_in_order_with_repeats(store, fresh_id):
    first, second = store.put_many([b"first", bytearray(b"second")])
    found = store.get_buffers([second, first.hex(), second], timeout=0)
    assert [bytes(buffer) for buffer in found] == [b"second", b"first", b"second"]
    assert pins(store, second) == 2
    assert store.get_buffers([]) == []
    assert store.get_buffers(iter([first]))[0].object_id == first

    partial = store.get_buffers([first, fresh_id, second], timeout=0, partial=True)
    assert [buffer and bytes(buffer) for buffer in partial] == [
        b"first",
        None,
        b"second",
    ]


def test_a_get_that_fails_leaves_no_pin(store, fresh_id):
    id = store.put_bytes(b"there")
    with pytest.raises(plasmad.GetTimeoutError):
        store.get_buffers([id, fresh_id], timeout=0.05)
    eventually(lambda: pins(store, id) == 0)


def test_buffers_outlive_the_store(socket):
    store = plasmad.connect(socket)
    id = store.put_bytes(b"outlives it")
    buffer = store.get_buffer(id)
    store.close()
    del store
    assert bytes(buffer) == b"outlives it"
    with plasmad.connect(socket) as other:
        assert pins(other, id) == 1
        del buffer
        eventually(lambda: pins(other, id) == 0)
