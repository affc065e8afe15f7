"""The rows of the comparison: what is done, with how many bytes, and how often in a round.

A row is plain data, so that the process that measures may be of any language: it is told the row and answers with one
duration a call. Order matters: cold rows stand before the warm ones, which write where the cold ones have been.
"""

from dataclasses import asdict, dataclass, replace

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    title: str
    #: get, put, hand_over, crowd or round_trip.
    verb: str
    bytes: int
    #: In one round, of one store.
    calls: int
    #: Into memory this client has not written before.
    cold: bool = False
    #: How the table shows it: "us" a call, or "GB/s".
    unit: str = "us"
    processes: int = 1

    def command(self) -> dict[str, object]:
        """What a measuring process is told."""
        return asdict(self)

    @property
    def bytes_moved(self) -> int:
        """What a call moves, in all processes together."""
        return self.bytes * self.processes


def _puts(cold: bool, *sizes: tuple[str, str, int, int]) -> list[Row]:
    suffix, title = ("_cold", "cold") if cold else ("", "warm")
    return [
        Row(f"put_{name}{suffix}", f"put {text}, {title}", "put", size, calls, cold, "GB/s")
        for name, text, size, calls in sizes
    ]


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
]


def select(names: list[str] | None, quick: bool) -> list[Row]:
    """The rows of these names, in the table's order; ``quick`` has fewer calls and nothing above 100 MiB."""
    rows = [row for row in ROWS if names is None or row.name in names]
    if quick:
        rows = [replace(row, calls=max(1, row.calls // 10)) for row in rows if row.bytes < GIB]
    return rows
