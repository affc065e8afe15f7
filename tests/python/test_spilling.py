"""More objects than memory, and the folder they are spilled to."""

import os
import random
import sys
import sysconfig
from pathlib import Path

import numpy
import pytest
import real_files

import plasmad


def content(number, nbytes):
    return random.Random(number).randbytes(nbytes)


def test_four_times_the_memory_is_read_back_in_any_order(tmp_path):
    with plasmad.Server("16MiB", spill_dir=tmp_path / "spill") as server, plasmad.connect(server.socket) as store:
        sizes = [random.Random(number).choice([1000, 70_000, 1 << 20, 5 << 20]) for number in range(60)]
        ids = [store.put_bytes(content(number, nbytes)) for number, nbytes in enumerate(sizes)]
        order = list(range(60))
        random.Random(1).shuffle(order)
        for number in order:
            with store.get_buffer(ids[number]) as buffer:
                assert bytes(buffer) == content(number, sizes[number])
        spill = store.stats()["spill"]
        assert spill["directory"] == str(tmp_path / "spill")
        assert spill["written_bytes_total"] > 16 << 20 and spill["lost_total"] == 0


def test_evict_spills_what_may_not_be_dropped_and_stat_says_where_it_is(tmp_path):
    with plasmad.Server("16MiB", spill_dir=tmp_path) as server, plasmad.connect(server.socket) as store:
        id = store.put_bytes(content(1, 2 << 20), metadata=b"two")
        assert store.evict("2MiB") >= 2 << 20
        info = store.stat(id)
        assert (info.state, list(info.where)) == ("spilled", ["disk"])
        assert Path(info.file["path"]).parent == tmp_path
        with store.get_buffer(id) as buffer:
            assert bytes(buffer) == content(1, 2 << 20) and buffer.metadata == b"two"


def test_a_folder_that_was_given_is_kept_with_what_is_in_it(tmp_path):
    with plasmad.Server("16MiB", spill_dir=tmp_path) as server, plasmad.connect(server.socket) as store:
        store.put_bytes(content(7, 100_000), object_id=plasmad.ObjectId.from_name("kept"))
        store.evict("16MiB")
    with plasmad.Server("16MiB", spill_dir=tmp_path) as server, plasmad.connect(server.socket) as store:
        with store.get_buffer(plasmad.ObjectId.from_name("kept"), timeout=10) as buffer:
            assert bytes(buffer) == content(7, 100_000)


def test_without_a_folder_given_there_is_a_private_one_that_goes_at_the_stop():
    with plasmad.Server("16MiB") as server, plasmad.connect(server.socket) as store:
        directory = Path(store.stats()["spill"]["directory"])
        assert directory.stat().st_mode & 0o777 == 0o700
        store.put_bytes(bytes(1 << 20))
        store.evict("1MiB")
        assert list(directory.glob("*.spill"))
    assert not directory.exists()


def pin_all_of_memory(store):
    """Buffers that leave no room in memory for anything."""
    buffers = []
    for nbytes in (1 << 20, 65_536, 4096, 64):
        while True:
            try:
                buffers.append(store.get_buffer(store.put_bytes(bytes(nbytes), timeout=0)))
            except plasmad.StoreFullError:
                break
    return buffers


@pytest.mark.parametrize("fast", [True, False])
def test_what_memory_has_no_room_for_is_read_where_it_lies_on_disk(tmp_path, fast):
    array = numpy.arange(300_000, dtype="int32")
    with plasmad.Server("16MiB", spill_dir=tmp_path) as server, plasmad.connect(server.socket, fast=fast) as store:
        id = store.put_bytes(content(1, 3 << 20), metadata=b"three")
        numbers = store.put_bytes(array)
        store.evict("16MiB")
        pins = pin_all_of_memory(store)
        with store.get_buffer(id, timeout=20) as buffer:
            info = store.stat(id)
            assert (info.state, list(info.where), info.pins) == ("spilled", ["disk"], 1)
            with memoryview(buffer) as view:
                assert view.readonly and view == content(1, 3 << 20) and buffer.metadata == b"three"
        found = numpy.frombuffer(store.get_buffer(numbers, timeout=20), dtype="int32")
        assert (found == array).all() and not found.flags.writeable
        # It isn't copied: the array is a piece of the file.
        assert store.stat(numbers).pins == 1 and ".spill" in mapping_of(found.ctypes.data)
        with store.get_buffer(numbers, writable=True) as copy:
            numpy.frombuffer(copy, dtype="int32")[0] = 7
        store.delete([numbers])
        assert (found == array).all()
        del found
        [pin.close() for pin in pins]
        with store.get_buffer(id, timeout=20) as buffer:
            assert "memory" in store.stat(id).where and bytes(buffer) == content(1, 3 << 20)


def test_a_forked_child_reads_on_when_its_parent_lets_go_of_what_lies_on_disk(tmp_path):
    with plasmad.Server("16MiB", spill_dir=tmp_path) as server, plasmad.connect(server.socket) as store:
        id = store.put_bytes(content(2, 1 << 20))
        store.evict("16MiB")
        pins = pin_all_of_memory(store)
        buffer = store.get_buffer(id, timeout=20)
        (wait, go), (hear, tell) = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(wait, 1)
            os.write(tell, b"+" if bytes(buffer) == content(2, 1 << 20) else b"-")
            os._exit(0)
        os.close(wait)
        path = Path(store.stat(id).file["path"])
        buffer.close()
        store.delete([id])
        assert store.stats()["spill"]["files"] > 0 and path.exists()
        os.close(go)
        assert os.read(hear, 1) == b"+"
        assert os.waitpid(child, 0)[1] == 0
        [pin.close() for pin in pins]


def mapping_of(address):
    """What this process has mapped there."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(bound, 16) for bound in line.split()[0].split("-"))
        if start <= address < end:
            return line
    raise AssertionError("nothing is mapped there")


def test_real_files_four_times_the_memory_come_back_with_their_digests(tmp_path):
    with plasmad.Server("32MiB", spill_dir=tmp_path) as server, plasmad.connect(server.socket) as store:
        files = real_files.files_under([Path(sys.prefix), Path(sysconfig.get_path("stdlib"))])
        written = real_files.write(store, files, 16 << 20, total_max=128 << 20)
        assert written.nbytes >= 64 << 20, "there are too few files here to fill memory twice"
        assert real_files.read_by_two(server.socket, written.digests) == []
        assert store.stats()["spill"]["read_bytes_total"] >= 32 << 20


def test_a_file_that_is_not_what_was_written_is_noticed(store):
    written = real_files.write(store, [Path(__file__)], 1 << 20)
    [object_id] = written.digests
    assert real_files.damaged(store, {object_id: "another digest"}, seed=1) == [__file__]
