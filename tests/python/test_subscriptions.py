"""Subscriptions: what is told, in which order, and that nobody waits for who doesn't listen."""

import os
import signal
import subprocess
import sys
import threading

import pytest

import plasmad
from conftest import eventually, run_python
from plasmad import Event, ObjectId

#: No test waits this long unless something is broken.
PATIENCE = 60.0


@pytest.fixture(scope="module")
def socket():
    """A daemon of these tests alone, which drops what nobody pins: others' objects would be told of too."""
    with plasmad.Server(memory="64MiB") as server:
        yield server.socket


@pytest.fixture(autouse=True)
def empty(store):
    """Nothing is there when a test begins."""
    store.delete([info.id for info in store.list()])


def connections(store):
    return store.stats()["clients"]["connected"]


def test_events_tell_what_happened_in_its_order(store):
    with store.subscribe() as subscription:
        kept = store.put_bytes(b"12345", metadata=b"meta")
        dropped = store.put_bytes(b"1", evictable=True)
        store.delete(kept)
        store.evict(1)
        found = [subscription.get(PATIENCE) for _ in range(4)]
    assert found == [
        Event("sealed", kept, 5, 4),
        Event("sealed", dropped, 1, 0),
        Event("deleted", kept, 5, 4),
        Event("evicted", dropped, 1, 0),
    ]
    assert found[0].object_id == kept and found[0].lost == 0


def test_existing_objects_come_first(store):
    old = {store.put_bytes(b"old") for _ in range(5)}
    with store.subscribe(existing=True) as existing, store.subscribe() as later:
        new = store.put_bytes(b"new")
        assert later.get(PATIENCE) == Event("sealed", new, 3)
        found = [existing.get(PATIENCE) for _ in range(6)]
    assert {event.object_id for event in found[:5]} == old
    assert {event.kind for event in found} == {"sealed"}
    assert found[5].object_id == new


def test_it_is_an_iterator_that_ends_when_it_is_closed(store):
    subscription = store.subscribe()
    heard = []

    def listen():
        heard.extend(event.object_id for event in subscription)

    thread = threading.Thread(target=listen)
    thread.start()
    ids = [store.put_bytes(b"x") for _ in range(3)]
    eventually(lambda: len(heard) == 3 or not thread.is_alive())
    subscription.close()
    subscription.close()
    thread.join(PATIENCE)
    assert not thread.is_alive() and heard == ids
    assert list(subscription) == []
    with pytest.raises(plasmad.StoreClosedError):
        subscription.get(0)


def test_closing_the_store_ends_its_subscriptions(socket):
    store = plasmad.connect(socket)
    subscription = store.subscribe()
    store.close()
    assert list(subscription) == []
    with pytest.raises(plasmad.StoreClosedError):
        store.subscribe()


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_a_timeout_says_that_nothing_happened(store, timeout):
    with store.subscribe() as subscription:
        with pytest.raises(plasmad.GetTimeoutError, match="nothing had happened") as caught:
            subscription.get(timeout)
        assert caught.value.pending == {}
        # It goes on.
        id = store.put_bytes(b"x")
        assert subscription.get(PATIENCE).object_id == id


def test_arguments_out_of_range_are_refused(store):
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=f"max_queue is {wrong}"):
            store.subscribe(max_queue=wrong)
    for much in ((1 << 20) + 1, 1 << 40):
        with pytest.raises(plasmad.LimitError, match="1048576"):
            store.subscribe(max_queue=much)
    with pytest.raises(TypeError):
        store.subscribe(max_queue="many")
    with store.subscribe(max_queue=1 << 20) as subscription:
        for wrong in (-1, float("nan")):
            with pytest.raises(ValueError, match="timeout"):
                subscription.get(wrong)


def test_readers_may_subscribe(socket, store):
    with plasmad.connect(socket, role="reader") as reader, reader.subscribe() as subscription:
        id = store.put_bytes(b"x")
        assert subscription.get(PATIENCE) == Event("sealed", id, 1)


def test_unread_events_are_counted_when_they_are_lost(store):
    with store.subscribe(max_queue=10) as subscription:
        for _ in range(20):
            store.delete(store.put_many([b"x"] * 1000))
        last = store.put_bytes(b"last")
        heard, lost, kinds = 0, 0, set()
        while (event := subscription.get(PATIENCE)).object_id != last:
            heard += event.kind != "overflow"
            lost += event.lost
            kinds.add(event.kind)
        assert heard + lost == 40_000
        assert kinds == {"sealed", "deleted", "overflow"}
        assert event.lost == 0


def test_a_stopped_subscriber_delays_nobody(store, socket):
    """10,000 events and more while a process is stopped: what it hears and what it lost are all that happened."""
    program = """
import sys, plasmad
store = plasmad.connect(sys.argv[1])
subscription = store.subscribe(max_queue=1000)
print("ready", flush=True)
heard = lost = 0
for event in subscription:
    if event.data_size == 7:
        break
    heard += event.kind != "overflow"
    lost += event.lost
print(heard, lost, flush=True)
"""
    command = [sys.executable, "-c", program, socket]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        try:
            for _ in range(15):
                store.delete(store.put_many([b"x"] * 1000))
            store.put_bytes(b"the end")
        finally:
            os.kill(process.pid, signal.SIGCONT)
        heard, lost = map(int, process.stdout.readline().split())
    assert heard + lost == 30_000
    assert lost > 0


def test_a_signal_ends_the_wait_for_an_event(socket):
    program = """
import os, signal, sys, threading, plasmad
store = plasmad.connect(sys.argv[1])
with store.subscribe() as subscription:
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    try:
        next(subscription)
    except KeyboardInterrupt:
        print("interrupted")
"""
    result = run_python(program, socket)
    assert (result.returncode, result.stdout) == (0, "interrupted\n"), result.stderr


def test_other_threads_run_while_one_waits_for_an_event(store):
    heard = []
    with store.subscribe() as subscription:
        thread = threading.Thread(target=lambda: heard.append(subscription.get(PATIENCE)))
        thread.start()
        # With the interpreter held by the waiting thread, nothing here would ever run.
        id = store.put_bytes(b"x")
        thread.join(PATIENCE)
    assert heard == [Event("sealed", id, 1)]


def test_a_forgotten_subscription_is_gone_from_the_daemon(store):
    before = connections(store)
    subscription = store.subscribe()
    assert connections(store) == before + 1
    del subscription
    eventually(lambda: connections(store) == before)


def test_a_forked_child_has_no_part_in_it(store):
    with store.subscribe() as subscription:
        child = os.fork()
        if child == 0:
            try:
                subscription.get(0)
            except ValueError as error:
                os._exit(0 if "fork" in str(error) else 2)
            except BaseException:
                os._exit(3)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        id = store.put_bytes(b"x")
        assert subscription.get(PATIENCE).object_id == id


def test_the_end_of_the_daemon_is_an_error():
    with plasmad.Server(memory="16MiB") as server:
        store = plasmad.connect(server.socket)
        subscription = store.subscribe()
        id = store.put_bytes(b"x")
        server.stop()
        assert subscription.get(PATIENCE).object_id == id
        with pytest.raises(plasmad.StoreConnectionError):
            next(subscription)


def test_an_event_can_be_compared_and_kept_in_a_set():
    id = ObjectId.random()
    assert Event("sealed", id, 1, 0) == Event("sealed", id, 1)
    assert len({Event("sealed", id), Event("sealed", id), Event("deleted", id)}) == 2
    with pytest.raises(AttributeError):
        Event("sealed", id).kind = "deleted"
