"""Real files as objects, far more of them than memory: every one comes back with the bytes it had.

    .venv/bin/python tests/python/real_files.py --memory 512MiB .venv target

One process puts every file under these folders, and two others read all of them back, each in an order of its own, and
compare SHA-256. A file's path is its object's metadata. A file that is larger than half the memory is left out, and told.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import random
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import plasmad


@dataclass
class Written:
    """What was put: the digest of each object, and the files that were not."""

    digests: dict[plasmad.ObjectId, str] = field(default_factory=dict)
    nbytes: int = 0
    left_out: list[Path] = field(default_factory=list)


def files_under(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        for directory, _, names in os.walk(folder):
            paths = (Path(directory, name) for name in sorted(names))
            yield from (path for path in paths if path.is_file() and not path.is_symlink())


def write(store: plasmad.Store, paths: Iterable[Path], nbytes_max: int, total_max: int | None = None) -> Written:
    """Puts files, until they are ``total_max`` bytes in all."""
    written = Written()
    for path in paths:
        if total_max is not None and written.nbytes >= total_max:
            break
        content = path.read_bytes()
        if len(content) > nbytes_max:
            written.left_out.append(path)
            continue
        name = os.fsencode(path)[-60_000:]
        written.digests[store.put_bytes(content, metadata=name)] = hashlib.sha256(content).hexdigest()
        written.nbytes += len(content)
    return written


def damaged(store: plasmad.Store, digests: dict[plasmad.ObjectId, str], seed: int) -> list[str]:
    """Reads all in an order of its own; the names of those whose bytes are others."""
    order = list(digests.items())
    random.Random(seed).shuffle(order)
    found = []
    for object_id, digest in order:
        with store.get_buffer(object_id, timeout=60) as buffer:
            if hashlib.sha256(buffer).hexdigest() != digest:
                found.append(os.fsdecode(bytes(buffer.metadata)))
    return found


def read_all(socket: str, digests: dict[plasmad.ObjectId, str], seed: int) -> list[str]:
    with plasmad.connect(socket) as store:
        return damaged(store, digests, seed)


def read_by_two(socket: str, digests: dict[plasmad.ObjectId, str]) -> list[str]:
    """What either of two processes found damaged."""
    with multiprocessing.get_context("spawn").Pool(2) as readers:
        found = readers.starmap(read_all, [(socket, digests, seed) for seed in (1, 2)])
    return sorted({name for names in found for name in names})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--memory", default="512MiB", help="the store's memory (%(default)s)")
    parser.add_argument("--spill-dir", type=Path, default=Path("/var/tmp"), help="on which disk (%(default)s)")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=arguments.spill_dir) as folder,
        plasmad.Server(arguments.memory, spill_dir=folder) as server,
        plasmad.connect(server.socket) as store,
    ):
        half = store.stats()["memory"]["capacity_bytes"] // 2
        written = write(store, files_under(arguments.folders), half)
        for path in written.left_out:
            print(f"left out, larger than half the memory: {path}")
        print(f"{len(written.digests):,} files, {written.nbytes / 1e9:.2f} GB written", flush=True)
        found = read_by_two(server.socket, written.digests)
        spill = store.stats()["spill"]
    for name in found:
        print(f"not the bytes that were written: {name}")
    print(
        f"read back twice; {spill['written_bytes_total'] / 1e9:.2f} GB went to disk, "
        f"{spill['read_bytes_total'] / 1e9:.2f} GB came back, {len(found)} files damaged"
    )
    return 1 if found or spill["lost_total"] else 0


if __name__ == "__main__":
    sys.exit(main())
