"""Buffers of the plasmad object store. Import ``plasmad``, not this."""

import os
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, final, overload

from typing_extensions import Buffer

from .events import Event
from .info import ObjectInfo

__all__ = ["ObjectId", "ReadBuffer", "Store", "Subscription", "WritableBuffer", "__version__", "connect", "reconnect"]

__version__: str

_IdLike: TypeAlias = ObjectId | bytes | str
_Size: TypeAlias = int | str

@final
class ObjectId:
    """The name of an object: 28 bytes; shorter ones are padded with zeros on the right."""

    def __new__(cls, raw: bytes) -> ObjectId: ...
    @staticmethod
    def random() -> ObjectId:
        """An id that nobody has made before."""
    @staticmethod
    def from_name(name: str) -> ObjectId:
        """The id of an object with a name: SHA-224 of the UTF-8 text, the same in every language."""
    @staticmethod
    def from_hex(text: str) -> ObjectId:
        """An id from exactly 56 hex digits."""
    def binary(self) -> bytes:
        """The 28 bytes."""
    def hex(self) -> str:
        """56 hex digits."""
    def __hash__(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __lt__(self, other: ObjectId, /) -> bool: ...
    def __le__(self, other: ObjectId, /) -> bool: ...
    def __gt__(self, other: ObjectId, /) -> bool: ...
    def __ge__(self, other: ObjectId, /) -> bool: ...

@final
class ReadBuffer:
    """The bytes of a sealed object, without a copy: pass it to ``memoryview``, ``numpy.frombuffer`` or
    ``pyarrow.py_buffer``.

    The object stays where it is, in memory or mapped from disk, until this and everything made from it is gone, or until
    ``close()``.
    """

    @property
    def object_id(self) -> ObjectId: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def metadata(self) -> bytes: ...
    def close(self) -> None:
        """Drops the pin. A BufferError while a memoryview, array or Arrow buffer made from this lives."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, buffer: memoryview, /) -> None: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> memoryview: ...
    @overload
    def __setitem__(self, key: int, value: int, /) -> None: ...
    @overload
    def __setitem__(self, key: slice, value: Buffer, /) -> None: ...

@final
class WritableBuffer:
    """The memory of an object that nobody else sees yet: write into it, then ``seal()`` it.

    In a ``with`` block it is sealed at the end, or aborted if there was an exception. Forgotten unsealed, it is
    aborted.
    """

    @property
    def object_id(self) -> ObjectId: ...
    @property
    def nbytes(self) -> int: ...
    def seal(self) -> ObjectId:
        """Publishes the object for good. With a view of it alive: BufferError, and it stays unsealed."""
    def abort(self) -> None:
        """Gives the object up. With a view of it alive, its memory and its id are free when the last one is gone."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, buffer: memoryview, /) -> None: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> memoryview: ...
    @overload
    def __setitem__(self, key: int, value: int, /) -> None: ...
    @overload
    def __setitem__(self, key: slice, value: Buffer, /) -> None: ...

@final
class Store:
    """A connection to the daemon. One per process is enough: threads may share it, it works in a forked child, and it
    can be pickled, as its address. ``connect`` makes one.
    """

    def create(
        self,
        nbytes: _Size,
        *,
        object_id: _IdLike | None = None,
        metadata: bytes = b"",
        evictable: bool = False,
        timeout: float | None = 30.0,
    ) -> WritableBuffer:
        """Gives ``nbytes`` of memory to write into; nobody sees the object before it is sealed."""
    def put_bytes(
        self,
        data: Buffer,
        object_id: _IdLike | None = None,
        metadata: bytes = b"",
        evictable: bool = False,
        timeout: float | None = 30.0,
    ) -> ObjectId:
        """Makes an object of the bytes of anything that has them in one piece."""
    def put_many(
        self,
        data: Sequence[Buffer],
        *,
        object_ids: Iterable[_IdLike] | None = None,
        evictable: bool = False,
        timeout: float | None = 30.0,
    ) -> list[ObjectId]:
        """Makes an object of each, all or none."""
    def get_buffer(self, id: _IdLike, timeout: float | None = None, *, writable: bool = False) -> ReadBuffer:
        """Gives an object's bytes, once it is sealed; ``writable``: a private copy of them."""
    @overload
    def get_buffers(
        self, ids: Iterable[_IdLike], timeout: float | None = None, *, partial: Literal[False] = False
    ) -> list[ReadBuffer]: ...
    @overload
    def get_buffers(
        self, ids: Iterable[_IdLike], timeout: float | None = None, *, partial: bool
    ) -> list[ReadBuffer | None]:
        """Gives the bytes of several objects, in their order; ``partial``: None for those not there in time."""
    def contains(self, id: _IdLike) -> bool:
        """Whether there is such an object, sealed: in memory, on disk, or on its way back."""
    def delete(self, ids: _IdLike | Iterable[_IdLike]) -> int:
        """Deletes one object or several, and says how many there were."""
    def stat(self, id: _IdLike) -> ObjectInfo:
        """What there is to know about one object."""
    def list(self, *, limit: int | None = None) -> list[ObjectInfo]:
        """The same about all objects, or as many as ``limit``."""
    def stats(self) -> dict[str, Any]:
        """The daemon's numbers, as ``plasmad --json stats`` prints them."""
    def evict(self, nbytes: _Size) -> int:
        """Asks for memory to be freed, and says how many bytes were."""
    def subscribe(self, *, existing: bool = False, max_queue: int = 65536) -> Subscription:
        """Begins to hear what happens to objects; ``existing``: first of all that are sealed already.

        Nobody waits for a subscriber. Beyond ``max_queue`` events (1 to 1,048,576) that are not taken the oldest are
        lost, and an event of kind ``"overflow"`` says how many. Readers may subscribe.
        """
    def close(self) -> None:
        """Ends the connection and its subscriptions. Buffers already given out stay valid; verbs raise StoreClosedError from now on."""
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class Subscription:
    """What happens to objects, in its order: an iterator of ``Event``, which ends when it, or its store, is closed.
    ``Store.subscribe`` makes one, with a connection of its own.

    Threads may share it; each event goes to one of them. A forked child has no part in its parent's: it subscribes
    itself.
    """

    def get(self, timeout: float | None = None) -> Event:
        """Waits for the next event: None for ever, 0 not at all. A GetTimeoutError when the time is up, with nothing
        ``pending``; a StoreConnectionError when the daemon is gone; a StoreClosedError when this was closed."""
    def close(self) -> None:
        """Ends the subscription and whoever waits for its next event. Closing twice is no error."""
    def __iter__(self) -> Self: ...
    def __next__(self) -> Event: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...

def connect(
    socket: str | os.PathLike[str] | None = None,
    *,
    timeout: float | None = 3.0,
    role: str = "writer",
    fast: bool = True,
    name: str | None = None,
) -> Store:
    """Connects to the daemon at ``socket``, or at ``$PLASMAD_SOCKET``, or at the default path; waits for it to appear.

    A ``role="reader"`` can only look and get. ``name`` is what the daemon calls this client in its texts and stats.
    """

def reconnect(socket: str | os.PathLike[str], timeout: float | None, role: str, fast: bool, name: str | None) -> Store:
    """Loads a pickled store."""
