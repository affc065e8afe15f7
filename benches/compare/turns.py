"""The run: in each round every store once, in an order that rotates, from its start to its end.

A store is alive only in its turn, so each has the machine and its memory to itself, and cold is cold in every round.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from figures import rotated
from peers import Peer
from processes import Lost, Worker
from rows import SPILLING_BYTES, Row

START_SECONDS = 90
ROW_SECONDS = 120
#: How long a store may take to stop by itself.
STOP_SECONDS = 30.0
#: All stores have the same time between their start and their first row; who prepares memory ahead does it then.
REST_SECONDS = 1.0


class WrongBytes(Exception):
    """A store gave back other bytes than were put: no table is made of such a run."""


@dataclass
class Cell:
    """What one store did in one row: nanoseconds of each call, by round and by way."""

    rounds: list[dict[str, list[float]]] = field(default_factory=list)
    #: Why there is no figure.
    missing: str | None = None


@dataclass
class Run:
    """Everything measured."""

    rows: list[Row]
    peers: list[Peer]
    memory_bytes: int
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    #: Stores that are not there at all, and why.
    absent: dict[str, str] = field(default_factory=dict)

    def cell(self, row: Row, peer: Peer) -> Cell:
        return self.cells.setdefault((row.name, peer.name), Cell())

    def stages(self) -> list[tuple[bool, list[Row]]]:
        """Rows that have a store of their own: those of a large one, and those of a small one that spills."""
        stages = [(spills, [row for row in self.rows if row.spills == spills]) for spills in (False, True)]
        return [stage for stage in stages if stage[1]]

    def all_rounds(
        self, commands: dict[str, list[str]], rounds: int, environment: dict[str, str], logs: Path, progress: Progress
    ) -> None:
        """Every store once in each round."""
        peers = {peer.name: peer for peer in self.peers}
        for number in range(rounds):
            for name in rotated([name for name in commands if name not in self.absent], number):
                progress.turn(number, name)
                started = time.monotonic()
                for spills, rows in self.stages():
                    self.turn(peers[name], commands[name], environment, logs / f"{name}.log", progress, spills, rows)
                progress.done(name, time.monotonic() - started)

    def turn(
        self,
        peer: Peer,
        command: list[str],
        environment: dict[str, str],
        log: Path,
        progress: Progress,
        spills: bool,
        rows: list[Row],
    ) -> None:
        """Start, these rows, stop. A row that fails stands in the table; the others go on if the store lives."""
        rows = [row for row in rows if self.cell(row, peer).missing is None]
        if peer.name in self.absent or not rows:
            return
        # Ctrl-C, wrong bytes and a process that does not answer leave nothing that is worth waiting for.
        patience, under_way = 1.0, None
        worker = Worker(command, environment, log)
        try:
            memory_bytes = SPILLING_BYTES if spills else self.memory_bytes
            answer = worker.call(
                START_SECONDS, do="start", directory=str(worker.directory), memory_bytes=memory_bytes, spills=spills
            )
            if "version" not in answer:
                raise Lost(answer.get("unsupported") or f"it does not start: {answer.get('failed')}")
            self.versions[peer.name] = answer["version"]
            if peer.adapter or peer.own:
                time.sleep(REST_SECONDS)
            for row in rows:
                under_way = self.cell(row, peer)
                progress.row(row.name)
                self.note(peer, row, under_way, worker.call(ROW_SECONDS, do="measure", row=row.command()))
            patience = STOP_SECONDS
        except Lost as lost:
            if under_way is not None:
                under_way.missing = str(lost)
            elif not spills:
                self.absent[peer.name] = str(lost)
            else:
                for row in rows:
                    self.cell(row, peer).missing = str(lost)
        finally:
            worker.stop(patience)

    def note(self, peer: Peer, row: Row, cell: Cell, answer: dict[str, Any]) -> None:
        """An answer into its cell."""
        if "wrong" in answer:
            raise WrongBytes(f"{peer.name} gave back wrong bytes in {row.name}: {answer['wrong']}")
        cell.missing = answer.get("unsupported") or answer.get("failed")
        if cell.missing is None:
            cell.rounds.append(answer.get("ways") or {"": answer["nanoseconds"]})


class Progress:
    """Where the run is, on stderr: each row on a terminal, each turn elsewhere."""

    def __init__(
        self, peers: list[str], rounds: int, output: TextIO = sys.stderr, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.peers, self.rounds, self.output, self.clock = peers, rounds, output, clock
        self.seconds: dict[str, float] = {}
        self.turns_left = {name: rounds for name in peers}
        self.terminal = output.isatty()
        self.head = ""

    def turn(self, number: int, name: str) -> None:
        self.head = f"round {number + 1}/{self.rounds}  {name:<14} {self.left():>16}"
        if not self.terminal:
            print(self.head.rstrip(), file=self.output, flush=True)

    def row(self, name: str) -> None:
        if self.terminal:
            print(f"\r\033[K{self.head}  {name}", end="", file=self.output, flush=True)

    def done(self, name: str, seconds: float) -> None:
        self.seconds[name] = seconds
        self.turns_left[name] -= 1
        if self.terminal:
            print("\r\033[K", end="", file=self.output, flush=True)

    def left(self) -> str:
        """From the last turn of each store; those not yet seen count as the mean of the others."""
        if not self.seconds:
            return ""
        mean = sum(self.seconds.values()) / len(self.seconds)
        left = sum(turns * self.seconds.get(name, mean) for name, turns in self.turns_left.items())
        return f"about {left / 60:.0f} min left" if left >= 90 else f"about {left:.0f} s left"
