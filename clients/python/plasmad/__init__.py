"""Share large objects between the processes of one machine, without copying them.

A :class:`Server` is the daemon that owns the memory; :func:`connect` gives a :class:`Store`. Objects are written once,
sealed, and from then on read in place by every process::

    with plasmad.Server(memory="64MiB") as server, plasmad.connect(server.socket) as store:
        id = store.put_bytes(b"hello")
        with store.get_buffer(id) as buffer:
            assert bytes(buffer) == b"hello"
"""

from ._plasmad import ObjectId, ReadBuffer, Store, Subscription, WritableBuffer, __version__, connect
from .events import Event
from .exceptions import (
    AccessDeniedError,
    GetTimeoutError,
    LimitError,
    ObjectExistsError,
    ObjectLostError,
    ObjectNotFoundError,
    ObjectNotSealedError,
    OwnerDiedError,
    ServerStartError,
    SpillError,
    StoreClosedError,
    StoreConnectionError,
    StoreError,
    StoreFullError,
    WorkerDiedError,
)
from .info import ObjectInfo
from .server import Server

__all__ = [
    "AccessDeniedError",
    "Event",
    "GetTimeoutError",
    "LimitError",
    "ObjectExistsError",
    "ObjectId",
    "ObjectInfo",
    "ObjectLostError",
    "ObjectNotFoundError",
    "ObjectNotSealedError",
    "OwnerDiedError",
    "ReadBuffer",
    "Server",
    "ServerStartError",
    "SpillError",
    "Store",
    "StoreClosedError",
    "StoreConnectionError",
    "StoreError",
    "StoreFullError",
    "Subscription",
    "WorkerDiedError",
    "WritableBuffer",
    "__version__",
    "connect",
]
