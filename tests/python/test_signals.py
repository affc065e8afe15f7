"""A signal ends a wait, and the wait leaves nothing behind."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import plasmad
from conftest import eventually, pins, run_python


@contextlib.contextmanager
def interrupted(condition: Callable[[], bool]) -> Iterator[None]:
    """Expects the block to end with a KeyboardInterrupt, which comes from a signal once the condition is true."""

    def handler(*_):
        raise KeyboardInterrupt

    def interrupt():
        eventually(condition)
        signal.pthread_kill(main, signal.SIGUSR1)

    main = threading.main_thread().ident
    previous = signal.signal(signal.SIGUSR1, handler)
    thread = threading.Thread(target=interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            thread.start()
            yield
        thread.join()
    finally:
        signal.signal(signal.SIGUSR1, previous)


@pytest.fixture
def waiting(socket):
    """How many gets or creates wait, asked over a connection of its own."""
    with plasmad.connect(socket) as other:
        yield lambda what: other.stats()["clients"][f"{what}_waiting"]


def test_a_waiting_get_ends_and_leaves_no_pin(store, fresh_id, waiting):
    there = store.put_bytes(b"there")
    with interrupted(lambda: waiting("gets") == 1):
        store.get_buffers([there, fresh_id])
    eventually(lambda: waiting("gets") == 0)
    eventually(lambda: pins(store, there) == 0)
    # What comes later finds nobody waiting, and the store goes on.
    store.put_bytes(b"late", object_id=fresh_id)
    assert pins(store, fresh_id) == 0
    assert bytes(store.get_buffer(fresh_id, 0)) == b"late"


def test_a_waiting_create_ends_and_leaves_no_object(store, fresh_id, waiting):
    held = []
    with contextlib.suppress(plasmad.StoreFullError):
        while True:
            held.append(store.get_buffer(store.put_bytes(bytes(4 << 20), timeout=0)))
    with interrupted(lambda: waiting("creates") == 1):
        store.create("16MiB", object_id=fresh_id, timeout=None)
    eventually(lambda: waiting("creates") == 0)

    ids = [buffer.object_id for buffer in held]
    del held
    assert store.delete(ids) == len(ids)
    with store.create("16MiB", object_id=fresh_id, timeout=10):
        pass
    assert store.delete(fresh_id) == 1


def test_a_handler_that_raises_nothing_does_not_end_the_wait(store, fresh_id):
    ran = []
    previous = signal.signal(signal.SIGUSR2, lambda *_: ran.append(store.contains(fresh_id)))
    try:
        main = threading.main_thread().ident
        threading.Timer(0.2, lambda: signal.pthread_kill(main, signal.SIGUSR2)).start()
        threading.Timer(0.6, lambda: store.put_bytes(b"x", object_id=fresh_id)).start()
        assert bytes(store.get_buffer(fresh_id, 30)) == b"x"
    finally:
        signal.signal(signal.SIGUSR2, previous)
    assert ran == [False]


def test_connecting_can_be_interrupted(tmp_path):
    start = time.monotonic()
    with interrupted(lambda: time.monotonic() > start + 0.2):
        plasmad.connect(tmp_path / "nobody", timeout=60)


def test_ctrl_c_ends_a_program_that_waits(socket):
    program = """
import os, signal, sys, threading, plasmad
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell starts with it ignored
store = plasmad.connect(sys.argv[1])
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    store.get_buffer(plasmad.ObjectId.random())
except KeyboardInterrupt:
    print("interrupted")
"""
    started = time.monotonic()
    result = run_python(program, socket)
    assert (result.returncode, result.stdout) == (0, "interrupted\n"), result.stderr
    assert time.monotonic() - started < 50


def test_a_timeout_in_another_thread_is_its_own(store, fresh_id):
    caught = []

    def wait():
        try:
            store.get_buffer(fresh_id, 0.1)
        except plasmad.GetTimeoutError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert caught[0].pending == {fresh_id: "absent"}
