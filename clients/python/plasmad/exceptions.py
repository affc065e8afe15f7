"""What can go wrong. Each exception is a :class:`StoreError` and also the builtin that its kind of failure has elsewhere.

``str()`` is a plain sentence: what happened, to which id, which limit, what to do. All of them can be pickled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ._plasmad import ObjectId


class StoreError(Exception):
    """The root of all of them; on its own, a mistake of the daemon's."""


class GetTimeoutError(StoreError, TimeoutError):
    """The time was up before all objects were there; what was found is unpinned again. Or before a subscription had
    another event."""

    #: Each object that was missing, and how; empty for a subscription.
    pending: Mapping[ObjectId, Literal["absent", "unsealed", "restoring"]]

    def __init__(self, message: str = "", *, pending: Mapping[ObjectId, Any] | None = None) -> None:
        super().__init__(message)
        self.pending = dict(pending or {})


class StoreFullError(StoreError, MemoryError):
    """No room for the object, now or ever. All numbers are bytes."""

    #: What the create asked for, data and metadata.
    asked: int
    #: What is free in all.
    free: int
    #: The largest contiguous piece of it.
    largest_hole: int
    #: What pins keep in place.
    pinned: int
    #: Who pins most: ``client``, ``pid``, ``label``, ``pins``, ``bytes``.
    pinned_by: Sequence[Mapping[str, Any]]

    def __init__(
        self,
        message: str = "",
        *,
        asked: int = 0,
        free: int = 0,
        largest_hole: int = 0,
        pinned: int = 0,
        pinned_by: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(message)
        self.asked = asked
        self.free = free
        self.largest_hole = largest_hole
        self.pinned = pinned
        self.pinned_by = list(pinned_by)


class ObjectNotFoundError(StoreError, KeyError):
    """Nothing has this id. Only from verbs that never wait."""

    # A KeyError's text is the repr of its argument.
    __str__ = Exception.__str__


class ObjectExistsError(StoreError, FileExistsError):
    """The id is taken, by a sealed object or by one that is being written."""


class ObjectNotSealedError(StoreError, ValueError):
    """The object is still being written."""


class StoreClosedError(StoreError, ValueError):
    """The store was closed here."""


class ObjectLostError(StoreError, RuntimeError):
    """The object's bytes are gone for good."""


class OwnerDiedError(ObjectLostError):
    """The process that was to make the object died first."""


class WorkerDiedError(StoreError, RuntimeError):
    """The worker process of a task died."""


class StoreConnectionError(StoreError, ConnectionError):
    """There is no daemon, or it went away."""

    #: ``"not done"``: asking again is safe; ``"unknown"``: the request may have been carried out.
    outcome: Literal["not done", "unknown"]

    def __init__(self, message: str = "", *, outcome: Literal["not done", "unknown"] = "not done") -> None:
        super().__init__(message)
        self.outcome = outcome


class AccessDeniedError(StoreError, PermissionError):
    """This connection's role, or this process, may not do that."""


class LimitError(StoreError, PermissionError):
    """A limit of the protocol or of the store; the sentence names it."""


class ServerStartError(StoreError, OSError):
    """The daemon did not start; the text ends with its log's tail."""


class SpillError(StoreError, OSError):
    """Reading or writing the daemon's disk failed."""
