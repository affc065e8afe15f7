"""Many threads on one store, and forked children."""

import os
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

import plasmad
from conftest import eventually, pins


def test_many_threads_share_a_store(store):
    def work(number):
        data = bytes([number]) * 1000
        for _ in range(50):
            id = store.put_bytes(data)
            with store.get_buffer(id, 0) as buffer:
                assert bytes(buffer) == data
            assert store.delete(id) == 1
        return number

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(8))) == list(range(8))


def test_a_waiting_get_lets_others_run(store, fresh_id):
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(store.get_buffer, fresh_id) for _ in range(4)]
        eventually(lambda: all(get.running() for get in waiting))
        store.put_bytes(b"at last", object_id=fresh_id)
        assert [bytes(get.result(30)) for get in waiting] == [b"at last"] * 4


def test_closing_wakes_a_waiting_get(socket, fresh_id):
    store = plasmad.connect(socket)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(store.get_buffer, fresh_id)
        eventually(waiting.running)
        store.close()
        with pytest.raises(plasmad.StoreClosedError):
            waiting.result(30)


def test_one_buffer_read_by_many_threads(store):
    id = store.put_bytes(b"shared" * 1000)
    buffer = store.get_buffer(id)

    def work(_):
        for _ in range(500):
            assert buffer[0:6] == b"shared"

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    buffer.close()
    eventually(lambda: pins(store, id) == 0)


def test_one_thread_seals(store):
    for _ in range(20):
        buffer = store.create(1000)
        start = threading.Barrier(4)

        def seal(buffer=buffer, start=start):
            start.wait()
            try:
                return buffer.seal() is not None
            except (ValueError, BufferError):
                return False

        with ThreadPoolExecutor(4) as threads:
            results = [future.result() for future in [threads.submit(seal) for _ in range(4)]]
        assert results.count(True) == 1 and store.contains(buffer.object_id)


def in_a_child(work):
    """Runs ``work`` in a forked child; true if it returned."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def test_a_store_works_in_a_forked_child(store, fresh_id):
    id = store.put_bytes(b"the parent's")

    def work():
        assert bytes(store.get_buffer(id, 0)) == b"the parent's"
        store.put_bytes(b"the child's", object_id=fresh_id)

    assert in_a_child(work)
    assert bytes(store.get_buffer(fresh_id, 0)) == b"the child's"


def test_a_child_that_ends_leaves_the_parents_pins_alone(store):
    id = store.put_bytes(b"pinned by the parent")
    buffer = store.get_buffer(id)

    def work():
        nonlocal buffer
        assert bytes(buffer) == b"pinned by the parent"
        del buffer

    assert in_a_child(work)
    eventually(lambda: pins(store, id) == 1)
    assert bytes(buffer) == b"pinned by the parent"


def test_a_child_cannot_seal_or_lose_the_parents_object(store):
    buffer = store.create(6)

    def work():
        nonlocal buffer
        with pytest.raises((ValueError, plasmad.StoreError)):
            buffer.seal()
        del buffer

    assert in_a_child(work)
    buffer[:] = b"intact"
    assert bytes(store.get_buffer(buffer.seal(), 0)) == b"intact"
