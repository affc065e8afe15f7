"""Stores for the tests of the comparison: one honest, and one for each way to break. They keep objects in a dict."""

import os
import subprocess
from pathlib import Path
from typing import Any

from adapters import Adapter, Unsupported


class Honest(Adapter):
    def start(self, directory: Path, memory_bytes: int) -> str:
        self.directory = directory
        self.objects: dict[int, bytes] = {}
        self.number = 0
        return ""

    def connect(self, address: str) -> None:
        raise Unsupported("nobody else reaches its memory")

    def version(self) -> str:
        return "honest 1"

    def put(self, data: memoryview) -> Any:
        self.number += 1
        self.objects[self.number] = bytes(data)
        return self.number

    def get(self, handle: Any) -> Any:
        return self.objects[handle]

    def delete(self, handle: Any) -> None:
        del self.objects[handle]

    def stop(self) -> None:
        self.objects.clear()


class Deep(Honest):
    """Holds more than its memory."""

    def start_spilling(self, directory: Path, memory_bytes: int) -> str:
        return self.start(directory, memory_bytes)


class Liar(Deep):
    """One bit of each object is wrong."""

    def get(self, handle: Any) -> Any:
        wrong = bytearray(self.objects[handle])
        wrong[100] ^= 1
        return wrong


class Shallow(Honest):
    """Does not start when it is to spill."""

    def start_spilling(self, directory: Path, memory_bytes: int) -> str:
        raise RuntimeError("no disk")


class Lame(Honest):
    """Does not start."""

    def start(self, directory: Path, memory_bytes: int) -> str:
        raise RuntimeError("no legs")

    def stop(self) -> None:
        """There is nothing to stop."""


class Mortal(Honest):
    """Takes its process with it at the 65th put: the first row makes 64."""

    def put(self, data: memoryview) -> Any:
        if self.number == 64:
            os._exit(7)
        return super().put(data)


class Small(Honest):
    """Has a limit."""

    def put(self, data: memoryview) -> Any:
        if len(data) > 1024:
            raise Unsupported("a value has at most 1 KiB")
        return super().put(data)


class Hanging(Honest):
    """Has a server in a session of its own, and never returns from a put."""

    def start(self, directory: Path, memory_bytes: int) -> str:
        self.server = subprocess.Popen(["sleep", "600"], start_new_session=True)
        return super().start(directory, memory_bytes)

    def put(self, data: memoryview) -> Any:
        (self.directory / "hanging").touch()
        self.server.wait()
