"""Timeouts, sizes and bytes-like arguments."""

import array
import ctypes
import math

import numpy
import pyarrow
import pytest

import plasmad


@pytest.mark.parametrize("wrong", [-1, -0.001, math.nan, -math.inf])
def test_a_timeout_is_not_negative(store, fresh_id, wrong):
    for verb in (
        lambda: store.get_buffer(fresh_id, wrong),
        lambda: store.get_buffers([fresh_id], timeout=wrong),
        lambda: store.create(1, timeout=wrong),
        lambda: store.put_bytes(b"x", timeout=wrong),
        lambda: plasmad.connect("/nowhere", timeout=wrong),
    ):
        with pytest.raises(ValueError, match="timeout"):
            verb()


def test_for_ever_is_none_or_infinite(store):
    id = store.put_bytes(b"x", timeout=None)
    for timeout in (None, math.inf, 1e30, 5, 0, 0.0):
        assert bytes(store.get_buffer(id, timeout)) == b"x"
    with pytest.raises(TypeError):
        store.get_buffer(id, "5")


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, 0), (4096, 4096), ("4096", 4096), ("64KiB", 65536), ("1MiB", 1 << 20)],
)
def test_a_size_is_a_number_or_text(store, size, expected):
    buffer = store.create(size)
    assert buffer.nbytes == len(buffer) == expected
    buffer.abort()


@pytest.mark.parametrize("wrong", [-1, 1 << 64, "", "many", "-1", "1.5GiB", "1MB", "99999999TiB"])
def test_other_sizes_are_refused(store, wrong):
    with pytest.raises(ValueError):
        store.create(wrong)


@pytest.mark.parametrize("wrong", [1.5, None, b"4096"])
def test_other_types_are_no_sizes(store, wrong):
    with pytest.raises(TypeError):
        store.create(wrong)


class Pair(ctypes.Structure):
    _fields_ = [("first", ctypes.c_uint16), ("second", ctypes.c_uint16)]


@pytest.mark.parametrize(
    "data",
    [
        b"bytes",
        bytearray(b"bytearray"),
        memoryview(b"memoryview")[2:7],
        memoryview(b"with dimensions!").cast("B", (4, 4)),
        array.array("d", [1.5, 2.5]),
        numpy.arange(12, dtype="int32").reshape(3, 4),
        numpy.array(1.5),
        numpy.zeros((0, 3)),
        pyarrow.py_buffer(b"arrow"),
        Pair(1, 2),
        b"",
    ],
    ids=lambda data: type(data).__name__,
)
def test_any_contiguous_bytes_can_be_put(store, data):
    id = store.put_bytes(data)
    assert bytes(store.get_buffer(id, 0)) == bytes(memoryview(data).tobytes())


def test_text_is_no_bytes(store):
    with pytest.raises(TypeError, match="encode"):
        store.put_bytes("text")
    with pytest.raises(TypeError):
        store.put_many(["text"])
    for wrong in (5, None, [1, 2]):
        with pytest.raises(TypeError):
            store.put_bytes(wrong)


@pytest.mark.parametrize(
    "data",
    [
        numpy.arange(10)[::2],
        numpy.asfortranarray(numpy.zeros((2, 3))),
        memoryview(b"12345678")[::-1],
    ],
    ids=["strided", "fortran", "backwards"],
)
def test_bytes_in_pieces_are_refused_with_advice(store, data):
    with pytest.raises(BufferError, match="contiguous copy"):
        store.put_bytes(data)


def test_metadata_is_bytes(store):
    id = store.put_bytes(b"data", metadata=b"beside it")
    assert store.get_buffer(id, 0).metadata == b"beside it"
    assert store.get_buffer(store.put_bytes(b"data"), 0).metadata == b""
    with pytest.raises(TypeError):
        store.put_bytes(b"data", metadata="text")


def test_a_role_is_one_of_two(socket):
    with pytest.raises(ValueError, match="writer"):
        plasmad.connect(socket, role="admin")


def test_the_socket_comes_from_the_environment(socket, monkeypatch, tmp_path):
    monkeypatch.setenv("PLASMAD_SOCKET", socket)
    assert socket in repr(plasmad.connect())
    # A relative path means the same after a change of directory.
    assert repr(plasmad.connect(socket, name="tester")).startswith("<plasmad.Store at /")
