"""More objects than memory, and the folder they are spilled to."""

import random
import sys
import sysconfig
from pathlib import Path

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
