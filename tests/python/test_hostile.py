"""What a client can do to the others through memory that it may only read."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from conftest import eventually

import plasmad

# Wakes and moves whoever sleeps on a word of the index, as often as it can, until its input ends.
HAMMER = """
import ctypes, platform, sys, threading, plasmad
store = plasmad.connect(sys.argv[1])
maps = [line.split() for line in open("/proc/self/maps") if "plasmad-index" in line]
spans = [(int(a, 16), int(b, 16), line[1]) for line in maps for a, b in [line[0].split("-")]]
assert spans and all(mode == "r--s" for _, _, mode in spans), maps
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 202, "aarch64": 98}[platform.machine()]
WAKE, REQUEUE, ALL = 1, 3, ctypes.c_long(2**31 - 1)
def futex(address, operation, other=0):
    done = libc.syscall(number, ctypes.c_void_p(address), operation, ALL, ALL, ctypes.c_void_p(other), 0)
    assert done >= 0, ctypes.get_errno()
    return done
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
print("hammering", flush=True)
touched = 0
while not ended.is_set():
    for start, end, _ in spans:
        for address in range(start, min(end, start + 8192), 4):
            touched += futex(address, WAKE) + futex(address, REQUEUE, start + 8192 - 4)
print(touched, flush=True)
"""


def test_futex_calls_on_the_index_wake_and_move_nobody(socket, store):
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", HAMMER, socket]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as hammer:
        try:
            assert hammer.stdout.readline() == "hammering\n", hammer.stderr.read()
            with plasmad.connect(socket) as other, ThreadPoolExecutor() as threads:
                for number in range(10):
                    writer = store.create(8)
                    waiting = threads.submit(other.get_buffer, writer.object_id)
                    eventually(lambda: store.stats()["clients"]["gets_waiting"] == 1)
                    writer[:] = number.to_bytes(8, "little")
                    writer.seal()
                    assert bytes(waiting.result(timeout=20)) == number.to_bytes(8, "little")
            touched, errors = hammer.communicate(timeout=20)
        finally:
            hammer.kill()
    assert (touched, errors) == ("0\n", "")
