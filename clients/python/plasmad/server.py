"""Starts a daemon of one's own, and ends it.

Invariant: the daemon ends with the process that made it, however that ends; its private directory goes when it is
stopped, or when the interpreter exits.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ._plasmad import connect
from .exceptions import ServerStartError

WHEN_FULL = ("spill", "evict", "refuse")


class Server:
    """A daemon that this process starts; the constructor returns when it serves.

    ``memory`` and ``spill_max`` are bytes or text such as ``"512MiB"``; ``args`` go to ``plasmad serve`` as they are.
    The daemon keeps its log in ``log_path`` as long as it is not stopped.
    """

    #: Where clients connect.
    socket: str
    #: What the daemon has to say.
    log_path: str
    #: The process that was started.
    process: subprocess.Popen[bytes]

    def __init__(
        self,
        memory: int | str = "1GiB",
        *,
        socket: str | os.PathLike[str] | None = None,
        spill_dir: str | os.PathLike[str] | None = None,
        spill_max: int | str | None = None,
        when_full: str = "spill",
        args: Sequence[str] = (),
        start_timeout: float | None = 10.0,
    ) -> None:
        if when_full not in WHEN_FULL:
            raise ValueError(f"when_full is {when_full!r}; it can be {', '.join(WHEN_FULL)}")
        _check_seconds("start_timeout", start_timeout)
        command = [find_daemon(), "serve", "--memory", str(memory), "--when-full", when_full]
        if spill_dir is not None:
            command += ["--spill-dir", os.path.abspath(spill_dir)]
        if spill_max is not None:
            command += ["--spill-max", str(spill_max)]

        directory = tempfile.mkdtemp(prefix="plasmad-")
        self.socket = os.path.join(directory, "socket") if socket is None else os.path.abspath(socket)
        self.log_path = os.path.join(directory, "log")
        self._owner = os.getpid()
        command += ["--socket", self.socket, "--exit-with-pid", str(self._owner)]
        try:
            self.process = _start(command, list(args), self.log_path, start_timeout)
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        self._finalizer = weakref.finalize(self, _end, self.process, directory, self._owner)

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self.process.pid

    @property
    def engine_pid(self) -> int:
        """The process that does the work, asked afresh each time: it changes when the engine restarts."""
        with connect(self.socket) as store:
            return int(store.stats()["engine_pid"])

    def stop(self, timeout: float | None = 10.0) -> int:
        """Ends the daemon and returns its exit status, a negative signal number if it was killed.

        It may take ``timeout`` seconds to come to an end, then it is killed. Stopping it again gives the same status.
        """
        _check_seconds("timeout", timeout)
        if os.getpid() != self._owner:
            raise RuntimeError("a server is stopped by the process that started it, and this is another one")
        status = _stop(self.process, timeout)
        self._finalizer()
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A forked child that leaves the block on its way out must not take the daemon with it.
        if os.getpid() == self._owner:
            self.stop()

    def __repr__(self) -> str:
        status = self.process.returncode
        state = f"pid {self.pid}" if status is None else f"stopped with status {status}"
        return f"<plasmad.Server at {self.socket}, {state}>"


def find_daemon() -> str:
    """``$PLASMAD_BIN``, else the one that came with this package, else the one on ``$PATH``."""
    named = os.environ.get("PLASMAD_BIN")
    if named:
        return named
    packaged = Path(__file__).parent / "bin" / "plasmad"
    if packaged.exists():
        return str(packaged)
    on_path = shutil.which("plasmad")
    if on_path is None:
        raise ServerStartError("there is no plasmad on $PATH; set $PLASMAD_BIN to where the daemon is")
    return on_path


def _start(command: list[str], args: list[str], log_path: str, timeout: float | None) -> subprocess.Popen[bytes]:
    """Starts the daemon and waits until it serves."""
    ready, ready_write = os.pipe()
    try:
        command = [*command, "--ready-fd", str(ready_write), *args]
        try:
            with open(log_path, "wb") as log:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(ready_write,),
                    # Ctrl-C in a terminal is for us; and a group of its own can be killed as one.
                    start_new_session=True,
                )
        except OSError as error:
            raise ServerStartError(f"{command[0]} could not be started: {error.strerror}") from error
        finally:
            os.close(ready_write)
        try:
            _wait_until_ready(ready, process, timeout, log_path)
        except BaseException:
            _stop(process, 0)
            raise
        return process
    finally:
        os.close(ready)


def _wait_until_ready(ready: int, process: subprocess.Popen[bytes], timeout: float | None, log_path: str) -> None:
    with selectors.PollSelector() as selector:
        selector.register(ready, selectors.EVENT_READ)
        answered = selector.select(timeout)
    if not answered:
        raise ServerStartError(f"plasmad did not serve within {timeout} s{_tail(log_path)}")
    if os.read(ready, 1):
        return
    # It closed the pipe and wrote nothing: it is on its way out.
    try:
        status = process.wait(timeout=EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise ServerStartError(f"plasmad closed its ready pipe without serving{_tail(log_path)}") from None
    raise ServerStartError(f"plasmad ended with status {status} before it served{_tail(log_path)}")


def _check_seconds(name: str, seconds: float | None) -> None:
    if seconds is not None and not seconds >= 0:
        raise ValueError(f"{name} is {seconds!r}; it can't be negative or NaN, and None is for ever")


def _tail(log_path: str) -> str:
    with open(log_path, "rb") as log:
        log.seek(0, os.SEEK_END)
        log.seek(max(0, log.tell() - LOG_TAIL_BYTES))
        text = log.read().decode(errors="replace").strip()
    return f"; its log ends with:\n{text}" if text else "; its log is empty"


def _stop(process: subprocess.Popen[bytes], timeout: float | None) -> int:
    """SIGTERM, and SIGKILL to all of the daemon's processes when the time is up."""
    if process.poll() is None:
        process.terminate()
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _end(process: subprocess.Popen[bytes], directory: str, owner: int) -> None:
    """What is left to do when a server is stopped, forgotten, or the interpreter exits."""
    if os.getpid() != owner:
        return
    _stop(process, EXIT_SECONDS)
    shutil.rmtree(directory, ignore_errors=True)


#: How long a daemon may take to end when nobody said how long.
EXIT_SECONDS = 10.0

#: How much of the log an error shows.
LOG_TAIL_BYTES = 2000
