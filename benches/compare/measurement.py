"""How each row is measured: the same code for every store that is driven from Python.

Only the store's own call stands between the two readings of the clock. What was put is read back and compared
outside of them: the first call's object, the last one's, and every sixteenth.
"""

from __future__ import annotations

import gc
import time
import zlib
from collections.abc import Callable
from typing import Any

from adapters import Adapter, Unsupported
from source import PIECES, Source, difference

#: CLOCK_MONOTONIC, which is the same in all processes of the machine.
clock = time.monotonic_ns

#: How long the other side of a hand-over is given to fall asleep in its get.
ASLEEP_NS = 300_000
#: How far ahead the common start of several processes is set.
START_NS = 20_000_000
VERIFY_EACH = 16


class WrongBytes(Exception):
    """The store gave back other bytes than were put: the run is worth nothing."""


class Measurement:
    """The rows of one store in one turn. Cold objects stay until the first warm row, so that none is written over."""

    def __init__(self, adapter: Adapter, spawn_partner: Callable[[], Any]) -> None:
        self.adapter = adapter
        self.spawn_partner = spawn_partner
        self.source = Source()
        self.kept: list[Any] = []
        #: What is there in rows that have more objects than memory holds, in the order they were put.
        self.spilled: list[Any] = []

    def measure(self, row: dict[str, Any]) -> list[int]:
        """Nanoseconds of each call."""
        if not row["cold"]:
            self.forget()
        verb = getattr(self, row["verb"], None)
        if verb is None:
            raise Unsupported("measured without a store")
        gc.collect()
        gc.disable()
        try:
            return verb(row["bytes"], row["calls"], row)
        finally:
            gc.enable()

    def forget(self) -> None:
        """Deletes what the cold rows left."""
        for handle in self.kept:
            self.adapter.delete(handle)
        self.kept.clear()

    def get(self, size: int, calls: int, row: dict[str, Any]) -> list[int]:
        """Get and release, one of 64 objects after the other."""
        get, release = self.adapter.get, self.adapter.release
        pieces = self.source.pieces(size)[:64]
        handles = [self.adapter.put(piece) for piece in pieces]
        for at, handle in enumerate(handles):
            self.verify(handle, pieces[at], at)
        took = []
        for at in range(calls):
            handle = handles[at % 64]
            before = clock()
            view = get(handle)
            release(view)
            del view
            took.append(clock() - before)
        for handle in handles:
            self.adapter.delete(handle)
        return took

    def put(self, size: int, calls: int, row: dict[str, Any]) -> list[int]:
        """Warm: each object is deleted before the next is put, and the first two don't count. Small ones all stay."""
        put, pieces = self.adapter.put, self.source.pieces(size)
        together = size * calls <= STAY_BYTES_MAX
        if not row["cold"]:
            for _ in range(1 if together else 2):
                handles = [put(piece) for piece in pieces[: PIECES if together else 1]]
                while handles:
                    self.adapter.delete(handles.pop())
        took, handles = [], []
        for at in range(calls):
            piece = pieces[at % PIECES]
            before = clock()
            handle = put(piece)
            took.append(clock() - before)
            handles.append(handle)
            if not row["cold"] and not together:
                self.settle(handles, pieces, at, calls)
            del handle
        for at, handle in enumerate(handles):
            if is_verified(at, calls):
                self.verify(handle, pieces[at % PIECES], at)
        if row["cold"]:
            self.kept += handles
        else:
            while handles:
                self.adapter.delete(handles.pop())
        return took

    def settle(self, handles: list[Any], pieces: list[memoryview], at: int, calls: int) -> None:
        """Compares and deletes the object just put."""
        if is_verified(at, calls):
            self.verify(handles[0], pieces[at % PIECES], at)
        self.adapter.delete(handles.pop())

    def hand_over(self, size: int, calls: int, row: dict[str, Any]) -> list[int]:
        """From the start of the put until the other process, which slept in its get, has the object."""
        pieces, took = self.source.pieces(size), []
        sums = [zlib.crc32(piece) for piece in pieces]
        partner = self.adapter.partner() or ProcessPartner(self.adapter, self.spawn_partner())
        try:
            for at in range(calls + WARM_UP_CALLS):
                partner.prepare(FIRST_KEY + at)
                asleep = clock() + ASLEEP_NS
                while clock() < asleep:
                    pass
                before = clock()
                handle = partner.publish(FIRST_KEY + at, pieces[at % PIECES])
                after, found = partner.arrived()
                if found != sums[at % PIECES]:
                    raise WrongBytes(f"call {at}: the other process read other bytes than were put")
                took.append(after - before)
                if handle is not None:
                    self.adapter.delete(handle)
                del handle
        finally:
            partner.stop()
        return took[WARM_UP_CALLS:]

    def crowd(self, size: int, calls: int, row: dict[str, Any]) -> list[int]:
        """From a common start until the last of several processes has put; each of them has put as much before."""
        took = []
        partners = [self.spawn_partner() for _ in range(row["processes"])]
        try:
            for at in range(calls + 1):
                for partner in partners:
                    partner.call(do="ready_to_put", size=size, piece=at)
                start = clock() + START_NS
                for partner in partners:
                    partner.ask(do="put_at", nanoseconds=start)
                took.append(max(partner.hear()["done"] for partner in partners) - start)
                for partner in partners:
                    partner.call(do="settle", verify=is_verified(at, calls + 1))
        finally:
            for partner in partners:
                partner.stop()
        return took[1:]

    def spill(self, size: int, calls: int, row: dict[str, Any]) -> list[int]:
        """Memory is full before: each put has to displace as much as it brings."""
        put, pieces = self.adapter.put, self.source.pieces(size)
        self.spilled = [put(pieces[at % PIECES]) for at in range(row["objects_before"])]
        before = clock()
        for at in range(len(self.spilled), len(self.spilled) + row["objects"]):
            self.spilled.append(put(pieces[at % PIECES]))
        return [clock() - before]

    def restore(self, size: int, calls: int, row: dict[str, Any]) -> list[int]:
        """Get and release of what was put first, in that order: none of it is in memory when its turn comes."""
        if not self.spilled:
            self.spill(size, calls, row)
        pieces = self.source.pieces(size)
        return [self.timed_gets((at, self.spilled[at], pieces[at % PIECES]) for at in range(row["objects"]))]

    def zipf(self, size: int, calls: int, row: dict[str, Any]) -> list[int]:
        """Get and release of objects of which some are wanted much more often than others."""
        while self.spilled:
            self.adapter.delete(self.spilled.pop())
        pieces = self.source.pieces(size)
        wanted = [pieces[at % PIECES][:length] for at, length in enumerate(row["lengths"])]
        self.spilled = [self.adapter.put(piece) for piece in wanted]
        return [self.timed_gets((call, self.spilled[at], wanted[at]) for call, at in enumerate(row["order"]))]

    def timed_gets(self, calls: Any) -> int:
        """Nanoseconds of all gets and releases together; every sixteenth is compared while the clock stands."""
        get, release, took = self.adapter.get, self.adapter.release, 0
        for call, handle, wanted in calls:
            before = clock()
            view = get(handle)
            got = clock()
            if call % VERIFY_EACH == 0:
                found = self.adapter.read(view)
                wrong = difference(found, wanted)
                found.release()
                if wrong:
                    raise WrongBytes(f"call {call}: {wrong}")
            compared = clock()
            release(view)
            del view
            took += clock() - before - (compared - got)
        return took

    def verify(self, handle: Any, wanted: memoryview, at: int) -> None:
        """Reads the object back."""
        view = self.adapter.get(handle)
        try:
            found = self.adapter.read(view)
            wrong = difference(found, wanted)
            found.release()
            if wrong:
                raise WrongBytes(f"call {at}: {wrong}")
        finally:
            self.adapter.release(view)


class ProcessPartner:
    """Another process with the same adapter, which waits for what is published."""

    def __init__(self, adapter: Adapter, process: Any) -> None:
        self.adapter, self.process = adapter, process

    def prepare(self, key: int) -> None:
        """Returns when the other process is about to wait."""
        self.process.call(do="expect", key=key)

    def publish(self, key: int, data: memoryview) -> Any:
        return self.adapter.publish(key, data)

    def arrived(self) -> tuple[int, int]:
        """When the other process had the object, and the checksum of what it read."""
        answer = self.process.hear()
        return answer["at"], answer["crc"]

    def stop(self) -> None:
        self.process.stop()


def is_verified(at: int, calls: int) -> bool:
    return at in (0, calls - 1) or at % VERIFY_EACH == 0


#: Objects that all fit in this are deleted after the row, larger ones each before the next.
STAY_BYTES_MAX = 4 << 20
WARM_UP_CALLS = 20
#: An id of zeros alone means nothing in some stores.
FIRST_KEY = 1
