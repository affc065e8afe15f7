"""What the comparison needs of a store, and nothing else: one file for each implements it.

An adapter is loaded in the store's own environment, so it may import what is installed there, in its methods or at
the top of its file; nothing else imports it.
"""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Unsupported(Exception):
    """The store can't do this; the text says why, and stands in the table."""


class Adapter(ABC):
    """A store that was started by ``start``, or one that runs already and is joined by ``connect``."""

    @abstractmethod
    def start(self, directory: Path, memory_bytes: int) -> str:
        """Starts the store, connects to it, and returns the address at which another process reaches it."""

    def start_spilling(self, directory: Path, memory_bytes: int) -> str:
        """The same for a store that is to hold more than its memory, with the rest on a disk: that of the directory."""
        raise Unsupported("it holds no more than its memory")

    @abstractmethod
    def connect(self, address: str) -> None:
        """Connects to a store that another process started."""

    @abstractmethod
    def version(self) -> str:
        """The versions of what is measured."""

    @abstractmethod
    def put(self, data: memoryview) -> Any:
        """Makes an object of these bytes, visible to everybody when this returns; what ``get`` wants is returned."""

    @abstractmethod
    def get(self, handle: Any) -> Any:
        """An object, held until it is released or dropped."""

    def read(self, view: Any) -> memoryview:
        """The bytes of what ``get`` or ``expect`` gave."""
        return memoryview(view)

    def release(self, view: Any) -> None:
        """Gives back what ``get`` gave, where dropping it is not enough."""

    def delete(self, handle: Any) -> None:
        """Removes the object and frees its memory."""

    def publish(self, key: int, data: memoryview) -> Any:
        """Puts an object for which another process waits by ``key``."""
        raise Unsupported("nothing in it waits for an object")

    def expect(self, key: int) -> Any:
        """Waits for the object that another process publishes under ``key``, and gets it."""
        raise Unsupported("nothing in it waits for an object")

    def partner(self) -> Any:
        """The other side of a hand-over, when it is not a process that runs ``expect``."""
        return None

    @abstractmethod
    def stop(self) -> None:
        """Ends what ``start`` started, or what ``connect`` connected."""


def load(name: str) -> Adapter:
    """``module:Class``, as in ``adapters.redis:Redis``."""
    module, _, kind = name.partition(":")
    return getattr(importlib.import_module(module), kind)()


class Daemon:
    """A store's server process, in a session of its own, with its log beside its socket."""

    def __init__(self, command: list[str], directory: Path) -> None:
        self.log_path = directory / "log"
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def wait_for(self, attempt: Callable[[], Any], seconds: float = 30) -> Any:
        """Tries until it raises nothing; says what the log says when the time is up or the server is gone."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return attempt()
            except Exception as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    tail = self.log_path.read_text(errors="replace").strip()[-500:]
                    raise RuntimeError(f"the server does not serve ({error}); its log ends with: {tail}") from error
                time.sleep(0.02)

    def stop(self) -> None:
        """SIGTERM to the session, and SIGKILL when ten seconds were not enough."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(10)
                return
            except ProcessLookupError:
                self._process.wait()
                return
            except subprocess.TimeoutExpired:
                continue
