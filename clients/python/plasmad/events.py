"""What a subscription tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ._plasmad import ObjectId


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an object, or ``"overflow"``: ``lost`` events before the next one were dropped,
    because they were not taken in time."""

    kind: Literal["sealed", "deleted", "evicted", "spilled", "restored", "overflow"]
    #: None for an overflow.
    object_id: ObjectId | None
    #: Bytes of data.
    data_size: int = 0
    #: Bytes of metadata.
    metadata_size: int = 0
    #: How many events an overflow stands for; else 0.
    lost: int = 0
