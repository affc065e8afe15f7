"""Who is compared: each store's adapter, and what it needs to be installed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """A column of the table."""

    name: str
    title: str
    #: How it was driven, in a sentence.
    how: str
    #: `module:Class`, for those that are driven from Python.
    adapter: str = ""
    #: What pip installs into an environment of its own; without any, it runs where this program runs.
    requirements: tuple[str, ...] = ()
    #: The only Python it has packages for.
    python: str | None = None
    #: A program of Debian's that has to be there: its name, where the package puts it, the package.
    debian: tuple[str, str, str] | None = None
    #: Arguments of the Rust driver, for those that are driven by it.
    driver: tuple[str, ...] = ()
    #: Ours.
    own: bool = False


PEERS = [
    Peer(
        "plasmad_rust",
        "plasmad (Rust)",
        "the Rust client; calls below 2 us are timed in batches of 10 to 100, as the clock itself costs 30 ns",
        driver=("plasmad",),
        own=True,
    ),
    Peer("plasmad", "plasmad (Python)", "`put_bytes`, `get_buffer`", adapter="adapters.plasmad:Plasmad", own=True),
    Peer(
        "plasma",
        "Plasma 11",
        "`put_raw_buffer`, its fastest; `get_buffers`; it spills to a hash table in its own memory, as it has no disk",
        adapter="adapters.plasma:Plasma",
        requirements=("pyarrow==11.0.0", "numpy<2"),
        python="3.11",
    ),
    Peer(
        "vineyard",
        "vineyard",
        "`create_blob`, `copy` on its six threads, `seal`; `get_blob`; the waiting process uses `get_name(wait=True)`; "
        "spilling turned on, which it comes without",
        adapter="adapters.vineyard:Vineyard",
        requirements=("vineyard==0.24.2", "numpy"),
    ),
    Peer(
        "ray",
        "Ray",
        "`ray.put` of a numpy array; the waiting process is an actor",
        adapter="adapters.ray:Ray",
        requirements=("ray==2.60.0", "numpy"),
    ),
    Peer(
        "redis",
        "Redis 7",
        "`SET`, `GET` through a Unix socket; the waiting process uses `BLPOP`",
        adapter="adapters.redis:Redis",
        requirements=("redis>=5,<9",),
        debian=("redis-server", "/usr/bin/redis-check-rdb", "redis-tools"),
    ),
    Peer(
        "shared_memory",
        "shared_memory",
        "Python's `multiprocessing.shared_memory`: a segment an object, always new memory; names go through a pipe",
        adapter="adapters.shared_memory:SharedMemorySegments",
    ),
    Peer(
        "machine",
        "machine",
        "no store: look-up of a 28-byte key in a hash map, best of the copy loops (memcpy and non-temporal stores, one "
        "and two threads) into memory that is present, memcpy into memory that is not, a message through a Unix socket, a "
        "file written and read past the page cache by one, two, or four threads",
        driver=("machine",),
    ),
]
