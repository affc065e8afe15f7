"""A daemon for the tests, and what they share.

``$PLASMAD_BIN`` names the daemon; without it the newest one that cargo built is taken. With ``$PLASMAD_TEST_SOCKET``
the tests use the daemon that is there already, and those about starting one start their own nonetheless.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import plasmad

REPOSITORY = Path(__file__).resolve().parents[2]


def built_daemons() -> list[Path]:
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    found = [target / profile / "plasmad" for profile in ("release", "debug")]
    return sorted(
        (path for path in found if path.exists()),
        key=lambda path: -path.stat().st_mtime,
    )


if "PLASMAD_BIN" not in os.environ and (built := built_daemons()):
    os.environ["PLASMAD_BIN"] = str(built[0])


@pytest.fixture(scope="session")
def socket() -> Iterator[str]:
    """The socket of a daemon with 64 MiB that drops nothing."""
    running = os.environ.get("PLASMAD_TEST_SOCKET")
    if running:
        yield running
        return
    with plasmad.Server(memory="64MiB", when_full="refuse") as server:
        yield server.socket


@pytest.fixture
def store(socket: str) -> Iterator[plasmad.Store]:
    with plasmad.connect(socket) as store:
        yield store


@pytest.fixture
def fresh_id() -> plasmad.ObjectId:
    return plasmad.ObjectId.random()


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Waits for a condition; fails when it doesn't come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a process of its own; it finds its arguments in ``sys.argv[1:]``."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)


def pins(store: plasmad.Store, id: plasmad.ObjectId) -> int:
    return int(store.stat(id).pins)
