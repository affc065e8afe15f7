"""No sealed object can be changed."""

import signal

from conftest import run_python


def test_a_write_through_a_gets_address_kills_the_writer_and_changes_nothing(socket, store):
    id = store.put_bytes(b"sealed for good")
    program = """
import ctypes, sys, numpy, plasmad
store = plasmad.connect(sys.argv[1])
buffer = store.get_buffer(sys.argv[2])
address = numpy.frombuffer(buffer, dtype="uint8").ctypes.data
print("writing", flush=True)
ctypes.memset(address, 0, 6)
print("written", flush=True)
"""
    result = run_python(program, socket, id.hex())
    assert result.stdout == "writing\n"
    assert result.returncode == -signal.SIGSEGV
    assert bytes(store.get_buffer(id, 0)) == b"sealed for good"


def test_the_mapping_of_a_get_stays_read_only(socket, store):
    id = store.put_bytes(bytes(1 << 20))
    program = """
import sys, numpy, plasmad
store = plasmad.connect(sys.argv[1], role="reader")
address = numpy.frombuffer(store.get_buffer(sys.argv[2]), dtype="uint8").ctypes.data
lines = [line.split() for line in open("/proc/self/maps")]
spans = [(int(a, 16), int(b, 16), line[1]) for line in lines for a, b in [line[0].split("-")]]
print([mode for start, end, mode in spans if start <= address < end])
"""
    assert run_python(program, socket, id.hex()).stdout == "['r--s']\n"
