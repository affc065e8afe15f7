"""A signal ends a wait, and the wait leaves nothing behind."""

import signal
import threading
import time

import pytest

import plasmad
from conftest import eventually, pins, run_python


@pytest.fixture
def interrupt_soon():
    """Sends SIGINT to this process's main thread until the test is over."""
    over = threading.Event()
    main = threading.main_thread().ident

    def interrupt():
        while not over.wait(0.2):
            signal.pthread_kill(main, signal.SIGUSR1)

    def handler(*_):
        over.set()
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGUSR1, handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    yield
    over.set()
    thread.join()
    signal.signal(signal.SIGUSR1, previous)


def test_a_waiting_get_ends_and_leaves_no_pin(socket, store, fresh_id, interrupt_soon):
    there = store.put_bytes(b"there")
    with pytest.raises(KeyboardInterrupt):
        store.get_buffers([there, fresh_id])
    eventually(lambda: pins(store, there) == 0)
    eventually(lambda: store.stats()["clients"]["gets_waiting"] == 0)
    # What comes later finds nobody waiting, and the store goes on.
    store.put_bytes(b"late", object_id=fresh_id)
    assert pins(store, fresh_id) == 0
    assert bytes(store.get_buffer(fresh_id, 0)) == b"late"


def test_a_waiting_create_ends_and_leaves_no_object(store, interrupt_soon):
    held = [store.get_buffer(store.put_bytes(bytes(8 << 20), timeout=0)) for _ in range(room(store, 8 << 20))]
    id = plasmad.ObjectId.random()
    with pytest.raises(KeyboardInterrupt):
        store.create(16 << 20, object_id=id, timeout=None)
    assert store.stats()["clients"]["creates_waiting"] == 0
    ids = [buffer.object_id for buffer in held]
    del held
    assert store.delete(ids) == len(ids)
    with store.create(16 << 20, object_id=id, timeout=10):
        pass
    store.delete(id)


def room(store, nbytes):
    return store.stats()["memory"]["free_bytes"] // (nbytes + 4096)


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


def test_connecting_can_be_interrupted(tmp_path, interrupt_soon):
    with pytest.raises(KeyboardInterrupt):
        plasmad.connect(tmp_path / "nobody", timeout=60)


def test_ctrl_c_ends_a_program_that_waits(socket):
    program = """
import os, signal, sys, threading, plasmad
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
