"""What a store tells about one object."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


class ObjectInfo(dict[str, Any]):
    """A dictionary, the same document as ``plasmad --json stat`` prints; fields are attributes too.

    ``id name state where data_bytes metadata_bytes format pins pinned_by refs evictable created_at sealed_at extent
    file``. Sizes are bytes, the id is 56 hex digits, times are RFC 3339 in UTC.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"ObjectInfo has no field {name!r}; it has {', '.join(self)}") from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __repr__(self) -> str:
        return f"ObjectInfo({super().__repr__()})"


def rfc3339(unix_ns: int) -> str:
    """A time in nanoseconds since 1970 as text, to the nanosecond: ``2026-01-02T03:04:05.000000006Z``."""
    seconds, nanoseconds = divmod(unix_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z"
