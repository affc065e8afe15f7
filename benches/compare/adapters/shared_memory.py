"""multiprocessing.shared_memory: no store, but what Python offers without one. Each object is a segment of its own.

It has no way to wait for a segment, so a hand-over sends its name through a pipe.
"""

import os
import platform
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

from . import Adapter


class SharedMemorySegments(Adapter):
    """The directory's name is in the segments' names, so that whatever stays behind can be told from other people's."""

    def start(self, directory: Path, memory_bytes: int) -> str:
        self.directory = directory
        os.mkfifo(directory / "names")
        self._open()
        return str(directory)

    def connect(self, address: str) -> None:
        self.directory = Path(address)
        self._open()

    def _open(self) -> None:
        self.prefix = f"{self.directory.name}-{os.getpid()}"
        self.made: dict[str, SharedMemory] = {}
        self.number = 0
        # Read-write: neither side has to wait for the other to open it.
        self.names = open(self.directory / "names", "r+b", buffering=0)

    def version(self) -> str:
        return f"Python {platform.python_version()}"

    def put(self, data: memoryview) -> Any:
        self.number += 1
        segment = SharedMemory(f"{self.prefix}-{self.number}", create=True, size=len(data))
        segment.buf[: len(data)] = data
        self.made[segment.name] = segment
        return segment.name, len(data)

    def get(self, handle: Any) -> Any:
        return Attached(*handle)

    def read(self, view: Any) -> memoryview:
        return memoryview(view.view)

    def release(self, view: Any) -> None:
        view.close()

    def delete(self, handle: Any) -> None:
        segment = self.made.pop(handle[0])
        segment.close()
        segment.unlink()

    def publish(self, key: int, data: memoryview) -> Any:
        name, size = self.put(data)
        self.names.write(f"{name} {size}\n".encode())
        return name, size

    def expect(self, key: int) -> Any:
        name, size = os.read(self.names.fileno(), 256).split()
        attached = Attached(name.decode(), int(size))
        # The tracker of this process would remove the other's segment when this process ends.
        resource_tracker.unregister("/" + attached.segment.name, "shared_memory")
        return attached

    def stop(self) -> None:
        self.names.close()
        for name in list(self.made):
            self.delete((name, 0))


class Attached:
    """A segment as long as its object: the kernel rounds the segment up to pages."""

    def __init__(self, name: str, size: int) -> None:
        self.segment = SharedMemory(name)
        self.view = self.segment.buf[:size]

    def close(self) -> None:
        self.view.release()
        self.segment.close()
