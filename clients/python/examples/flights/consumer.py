"""One consumer: a process that waits for the tables, opens them, and answers one question.

It is told what to do by lines on its standard input and reports in JSON lines on its standard output. Both kinds, the
one that reads the store and the one that is sent pickles, run these same steps, so that only the way the tables
arrive differs:

    started -> "measure" -> ready -> "open" -> opened -> "measure" -> measured -> "answer" -> answered -> end of input

It takes each step only when told, so that all four are measured in the same state: no one still starts up, and no
one already computes, while another one is looked at.
"""

import light  # isort: skip  # noqa: F401  before Arrow, which would import pandas

import json
import pickle
import sys
from typing import Any, Protocol

import plasmad
import pyarrow as pa

from checks import columns_outside
from measure import is_shared_mapping, now, pss_bytes
from objects import get_blocks, open_table
from pipes import receive
from questions import QUESTIONS, Tables


class Source(Protocol):
    """Where the tables come from."""

    def open(self) -> Tables: ...

    def copied(self, tables: Tables) -> list[str]: ...


class StoreSource:
    """The tables over the store's memory."""

    def __init__(self, socket: str, *, copy: bool) -> None:
        self.store = plasmad.connect(socket, role="reader")
        self.copy = copy
        self.blocks: dict[str, pa.Buffer] = {}

    def open(self) -> Tables:
        self.blocks = get_blocks(self.store)
        if self.copy:
            return {name: open_table(pa.py_buffer(block.to_pybytes())) for name, block in self.blocks.items()}
        return {name: open_table(block) for name, block in self.blocks.items()}

    def copied(self, tables: Tables) -> list[str]:
        """The columns that are not where the store keeps them, and the views that are not on shared memory."""
        columns = [
            f"{name}.{column}"
            for name, block in self.blocks.items()
            for column in columns_outside(tables[name], block.address, block.size)
        ]
        views = [name for name, block in self.blocks.items() if not is_shared_mapping(block.address)]
        return columns + views


class PipeSource:
    """The tables unpickled from standard input, where they follow the word to open them."""

    def open(self) -> Tables:
        return receive(sys.stdin.buffer)

    def copied(self, tables: Tables) -> list[str]:
        """Everything is copied here; that is what it is compared for."""
        return []


def warm_up() -> None:
    """Use Arrow's reader and pickle once on a table of one row, as any process that has worked before has."""
    sink = pa.BufferOutputStream()
    table = pa.table({"one": [1]})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    open_table(sink.getvalue())
    pickle.loads(pickle.dumps(table, protocol=5))


def expect(word: str) -> None:
    """Wait to be told; if the demo has gone, so do we."""
    line = sys.stdin.buffer.readline().decode().strip()
    if line != word:
        sys.exit(0 if line == "" else f"The consumer waits for '{word}' and was told '{line}'.")


def report(**facts: Any) -> None:
    """One line to the demo."""
    print(json.dumps(facts), flush=True)


def run(question: str, source: Source, *, spoil: bool) -> None:
    """The steps; `spoil` answers from half of the flights, to show that a wrong answer is noticed."""
    warm_up()
    report(started=True)
    expect("measure")
    before = pss_bytes()
    report(ready=True)
    expect("open")
    tables = source.open()
    report(opened_at=now())
    expect("measure")
    gained = pss_bytes() - before
    report(pss_bytes=gained, rows=sum(map(len, tables.values())), copied=source.copied(tables))
    expect("answer")
    asked = dict(tables)
    if spoil:
        asked["flights"] = asked["flights"].slice(0, len(asked["flights"]) // 2)
    answer = QUESTIONS[question](asked)
    report(answer=answer, answered_at=now())
    expect("")


def main() -> None:
    """The arguments come from the demo, as JSON: question, socket (null for pipes), break."""
    arguments = json.loads(sys.argv[1])
    switch = arguments["break"]
    source: Source = PipeSource()
    if arguments["socket"] is not None:
        source = StoreSource(arguments["socket"], copy=switch == "copied")
    run(arguments["question"], source, spoil=switch == "answer")


if __name__ == "__main__":
    main()
