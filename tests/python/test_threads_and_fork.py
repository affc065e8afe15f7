"""Many threads on one store, and forked children."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy
import pytest

import plasmad
from conftest import eventually, pins, run_python


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


@contextmanager
def in_the_background(work):
    """Runs ``work`` in a forked child; what it gives waits for its end, and tells whether it returned."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    reaped = False

    def end():
        nonlocal reaped
        _, status = os.waitpid(child, 0)
        reaped = True
        return os.waitstatus_to_exitcode(status) == 0

    try:
        yield end
    finally:
        if not reaped:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def in_a_child(work):
    """Runs ``work`` in a forked child; true if it returned."""
    with in_the_background(work) as child:
        return child()


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


def overwrite(store, nbytes):
    """Fills whatever memory of that size is free with other bytes."""
    for id in [store.put_bytes(b"\xee" * nbytes) for _ in range(3)]:
        store.delete(id)


@pytest.mark.parametrize("view", [memoryview, numpy.frombuffer, lambda buffer: buffer[10:]])
def test_what_a_child_inherited_stays_when_the_parent_drops_it(store, view):
    id = store.put_bytes(b"inherited" * 100_000)
    buffer = store.get_buffer(id)
    viewed = view(buffer)
    expected = bytes(viewed)
    told, tell = os.pipe()

    def work():
        os.close(tell)
        assert os.read(told, 1) == b""
        assert bytes(viewed) == expected and bytes(buffer)[:9] == b"inherited"

    with in_the_background(work) as child:
        del viewed
        buffer.close()
        assert pins(store, id) == 1
        store.delete(id)
        overwrite(store, 900_000)
        os.close(tell)
        assert child()
    os.close(told)
    eventually(lambda: store.stats()["memory"]["pinned_bytes"] == 0)


def test_what_a_child_inherited_stays_when_the_parent_died(store, socket, fresh_id):
    code = """
import os, sys, numpy, plasmad
store = plasmad.connect(sys.argv[1], name="loader")
inherited = plasmad.ObjectId.from_hex(sys.argv[2])
view = numpy.frombuffer(store.get_buffer(inherited), dtype="uint8")
unsealed = store.create(900_000)
if os.fork():
    os._exit(0)
for output in (1, 2):  # Nobody waits for it.
    os.dup2(os.open(os.devnull, os.O_RDWR), output)
store.get_buffer(plasmad.ObjectId.from_name("go on, child"))
unsealed[:] = b"\\xdd" * 900_000
store.put_bytes(bytes([int((view == 0x11).all())]), object_id=plasmad.ObjectId.from_name("seen by the child"))
store.get_buffer(plasmad.ObjectId.from_name("end, child"))
"""
    store.put_bytes(b"\x11" * 900_000, object_id=fresh_id)
    done = run_python(code, socket, fresh_id.hex())
    assert done.returncode == 0, done.stderr
    eventually(lambda: [holder["label"] for holder in store.stat(fresh_id).pinned_by] == ["fork of loader"])
    store.delete(fresh_id)
    others = [store.put_bytes(bytes([number]) * 900_000) for number in range(20)]
    store.put_bytes(b"", object_id=plasmad.ObjectId.from_name("go on, child"))
    seen = plasmad.ObjectId.from_name("seen by the child")
    assert bytes(store.get_buffer(seen, 20)) == b"\x01"
    for number, id in enumerate(others):
        assert bytes(store.get_buffer(id, 0)) == bytes([number]) * 900_000
    names = ["go on, child", "seen by the child", "end, child"]
    store.put_bytes(b"", object_id=plasmad.ObjectId.from_name(names[2]))
    eventually(lambda: store.stats()["memory"]["pinned_bytes"] == 0)
    store.delete([*others, *map(plasmad.ObjectId.from_name, names)])


def test_children_fill_what_the_parent_seals(store):
    buffer = store.create(4000)
    parts = [
        multiprocessing.get_context("fork").Process(target=fill, args=(buffer, at)) for at in range(4)
    ]
    for part in parts:
        part.start()
    for part in parts:
        part.join()
        assert part.exitcode == 0
    expected = b"".join(bytes([at]) * 1000 for at in range(4))
    assert bytes(store.get_buffer(buffer.seal(), 0)) == expected


def fill(buffer, at):
    buffer[1000 * at : 1000 * (at + 1)] = bytes([at]) * 1000


def test_parent_and_children_work_with_one_handle(store):
    def work(first):
        for number in range(200):
            data = bytes([first]) * (number * 50)
            id = store.put_bytes(data)
            assert bytes(store.get_buffer(id, 0)) == data
            assert store.delete(id) == 1

    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work, args=(first,)) for first in (1, 2, 3)]
    for child in children:
        child.start()
    work(0)
    for child in children:
        child.join()
        assert child.exitcode == 0


def test_children_of_busy_threads_find_every_lock_free(store):
    over = threading.Event()

    def work():
        while not over.is_set():
            id = store.put_bytes(b"busy" * 100)
            store.get_buffer(id, 0).close()
            store.delete(id)

    with ThreadPoolExecutor(3) as threads:
        working = [threads.submit(work) for _ in range(3)]
        try:
            id = store.put_bytes(b"shared")
            held = store.get_buffer(id)
            for _ in range(30):
                assert in_a_child(lambda: bytes(store.get_buffer(id, 0)) == bytes(held) == b"shared" or os._exit(2))
        finally:
            over.set()
    for thread in working:
        thread.result()


def test_starting_another_program_leaves_no_lease(store):
    id = store.put_bytes(b"pinned")
    buffer = store.get_buffer(id)
    sleeper = [sys.executable, "-c", "print('started', flush=True); input()"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    # With a function to call before exec Python forks, else it doesn't.
    for how in ({}, {"preexec_fn": lambda: None}):
        with subprocess.Popen(sleeper, **pipes, **how) as program:
            assert program.stdout.readline() == b"started\n"
            eventually(lambda: pins(store, id) == 1)
            program.stdin.close()
    buffer.close()
