"""Measuring processes, and that nothing of them stays behind.

Invariant: whoever is started from here, by whatever way around, is a descendant of this process, because orphans are
handed to it; `end_all` kills by process number, and knows no names.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

PR_SET_CHILD_SUBREAPER = 36
SHARED_MEMORY = Path("/dev/shm")


class Lost(Exception):
    """The measuring process ended, or did not answer in time."""


class Worker:
    """A measuring process, with a directory of its own for sockets and logs."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="plasmad-compare-"))
        # Whatever a store writes to the user's home or the common temporary directory goes with this directory.
        own = {"HOME": str(self.directory), "TMPDIR": str(self.directory)}
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=os.environ | environment | own,
                # Ctrl-C is for us, who then end everybody.
                start_new_session=True,
            )
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)

    def call(self, seconds: float, **command: Any) -> dict[str, Any]:
        """Asks, and waits for the answer."""
        try:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Lost(self._end()) from None
        # An answer comes in one piece, so a reader that was woken does not wait long for its end.
        if not self.selector.select(seconds):
            raise Lost(f"no answer within {seconds:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            raise Lost(self._end())
        return json.loads(line)

    def stop(self, seconds: float) -> None:
        """Lets it stop its store, kills what is left of it, and removes what it wrote."""
        self.selector.close()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except BrokenPipeError:
                pass
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        end_all()
        self.process.wait()
        remove_traces(self.directory)

    def _end(self) -> str:
        tail = self.log.read_text(errors="replace").strip().splitlines()[-1:]
        return f"its measuring process ended{': ' + tail[0][:200] if tail else ''}"


#: Descendants that were there before the comparison began: somebody else's, and none of its business.
spared: set[int] = set()


def adopt_orphans() -> None:
    """Descendants whose parent has gone become our children from here on."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def spare_those_there() -> None:
    """What runs below this process now is not the comparison's, and outlives it."""
    spared.update(descendants(os.getpid()))


def descendants(of: int) -> list[int]:
    """All processes below this one."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_text()
            except OSError:
                continue
            # The name in parentheses may hold anything, parentheses included.
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, wanted = [], [of]
    while wanted:
        wanted += (below := children.get(wanted.pop(), []))
        found += below
    return found


def end_all(seconds: float = 10) -> list[int]:
    """Kills all our descendants, those included that appear meanwhile; returns who is still there.

    Those that were there before are spared.
    """
    deadline = time.monotonic() + seconds
    while left := [pid for pid in descendants(os.getpid()) if pid not in spared]:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        reap(left)
        if time.monotonic() > deadline:
            return left
        time.sleep(0.01)
    return []


def reap(pids: list[int]) -> None:
    """Adopted children have nobody else who waits for them."""
    for pid in pids:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass


def remove_traces(directory: Path) -> None:
    """The directory, and shared memory with its name."""
    shutil.rmtree(directory, ignore_errors=True)
    for file in SHARED_MEMORY.glob(f"{directory.name}*"):
        file.unlink(missing_ok=True)
