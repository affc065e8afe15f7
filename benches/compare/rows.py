"""The rows of the comparison: what is done, with how many bytes, and how often in a round.

A row is plain data, so that the process that measures may be of any language: it is told the row and answers with one
duration a call. Order matters: cold rows stand before the warm ones, which write where the cold ones have been.
"""

import random
from dataclasses import asdict, dataclass, replace
from itertools import accumulate

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
#: The memory of stores in rows that have more to hold than that.
SPILLING_BYTES = GIB


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    title: str
    #: get, put, hand_over, crowd, round_trip, spill, restore or zipf.
    verb: str
    bytes: int
    #: In one round, of one store.
    calls: int
    #: Into memory this client has not written before.
    cold: bool = False
    #: How the table shows it: "us" a call, or "GB/s".
    unit: str = "us"
    processes: int = 1
    #: Measured in a store of SPILLING_BYTES, which has to hold more than that.
    spills: bool = False
    #: A call puts or gets so many objects.
    objects: int = 1
    #: So many are put before, outside of what is timed.
    objects_before: int = 0
    #: Where objects differ: the length of each, and which of them a call gets one after the other.
    lengths: tuple[int, ...] = ()
    order: tuple[int, ...] = ()

    def command(self) -> dict[str, object]:
        """What a measuring process is told."""
        return asdict(self)

    @property
    def bytes_moved(self) -> int:
        """What a call moves, in all processes together."""
        if self.order:
            return sum(self.lengths[at] for at in self.order)
        return self.bytes * self.processes * self.objects


def _puts(cold: bool, *sizes: tuple[str, str, int, int]) -> list[Row]:
    suffix, title = ("_cold", "cold") if cold else ("", "warm")
    return [
        Row(f"put_{name}{suffix}", f"put {text}, {title}", "put", size, calls, cold, "GB/s")
        for name, text, size, calls in sizes
    ]


def _zipf() -> Row:
    """Objects of 64 KiB to 1 MiB that are twice the memory together; how often one is wanted falls with its rank."""
    drawn = random.Random(1)
    lengths: list[int] = []
    while sum(lengths) < 2 * SPILLING_BYTES:
        lengths.append(64 * KIB * drawn.randint(1, 16))
    ranked = drawn.sample(range(len(lengths)), len(lengths))
    weights = list(accumulate(rank**-0.99 for rank in range(1, len(lengths) + 1)))
    order = drawn.choices(ranked, cum_weights=weights, k=2000)
    title = "get 64 KiB to 1 MiB of twice the memory, Zipf"
    return Row("zipf_2x", title, "zipf", MIB, 1, unit="GB/s", spills=True, lengths=tuple(lengths), order=tuple(order))


def _on_disk(name: str, title: str) -> Row:
    """Twice as much as memory holds, when memory is full."""
    size = 10 * MIB
    objects, before = 2 * SPILLING_BYTES // size, SPILLING_BYTES // size + 1
    return Row(name, title, name, size, 1, unit="GB/s", spills=True, objects=objects, objects_before=before)


ROWS = [
    Row("get_1k", "get 1 KiB", "get", KIB, 2000),
    Row("put_1k", "put 1 KiB", "put", KIB, 2000),
    Row("hand_over_1k", "hand 1 KiB to a waiting process", "hand_over", KIB, 2000),
    *_puts(
        True,
        ("1m", "1 MiB", MIB, 32),
        ("10m", "10 MiB", 10 * MIB, 8),
        ("100m", "100 MiB", 100 * MIB, 3),
        ("1g", "1 GiB", GIB, 1),
    ),
    *_puts(
        False,
        ("1m", "1 MiB", MIB, 200),
        ("10m", "10 MiB", 10 * MIB, 30),
        ("100m", "100 MiB", 100 * MIB, 8),
        ("1g", "1 GiB", GIB, 3),
    ),
    Row("crowd_100m", "four processes put 100 MiB", "crowd", 100 * MIB, 4, unit="GB/s", processes=4),
    Row("round_trip", "Unix-socket round trip, 64 B", "round_trip", 64, 2000),
    _on_disk("spill", "put 10 MiB into full memory"),
    _on_disk("restore", "get 10 MiB that is on disk"),
    _zipf(),
]


def select(names: list[str] | None, quick: bool) -> list[Row]:
    """The rows of these names, in the table's order; ``quick`` has fewer calls and nothing above 100 MiB."""
    rows = [row for row in ROWS if names is None or row.name in names]
    if quick:
        rows = [quicker(row) for row in rows if row.bytes < GIB]
    return rows


def quicker(row: Row) -> Row:
    """The same with a tenth of what is timed."""
    calls, objects = max(1, row.calls // 10), max(1, row.objects // 10)
    return replace(row, calls=calls, objects=objects, order=row.order[: len(row.order) // 10])
