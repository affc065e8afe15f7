"""The tables as objects in the store: each one an Arrow IPC stream under a name both sides know.

The writer lets Arrow write straight into the object, so the bytes are made once and never moved; the reader lets
Arrow point straight into it, so they are never copied either.
"""

from collections.abc import Mapping

import plasmad
import pyarrow as pa

TABLE_NAMES = ("flights", "weather", "planes", "airports", "airlines")


def object_id(name: str) -> plasmad.ObjectId:
    """Writer and readers agree on a name, so no id has to be handed over."""
    return plasmad.ObjectId.from_name(f"flights/{name}")


def stream_bytes(table: pa.Table) -> int:
    """The exact size of the table's stream: it is written to a sink that only counts."""
    counter = pa.MockOutputStream()
    with pa.ipc.new_stream(counter, table.schema) as writer:
        writer.write_table(table)
    return counter.size()


def write_table(store: plasmad.Store, name: str, table: pa.Table) -> int:
    """Write one table into a new object, seal it, and say how many bytes it takes.

    Seal refuses while anything can still write through a view, so every view is gone before it is called.
    """
    nbytes = stream_bytes(table)
    buffer = store.create(nbytes, object_id=object_id(name))
    try:
        fill(buffer, table)
    except BaseException:
        buffer.abort()
        raise
    buffer.seal()
    return nbytes


def fill(buffer: plasmad.WritableBuffer, table: pa.Table) -> None:
    """Run Arrow's writer over the object's memory; its views end with this function."""
    with memoryview(buffer) as view:
        block = pa.py_buffer(view)
        sink = pa.FixedSizeBufferWriter(block)
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        sink.close()
        del writer, sink, block


def write_tables(store: plasmad.Store, tables: Mapping[str, pa.Table]) -> dict[str, int]:
    """Write and seal every table; gives the bytes of each."""
    return {name: write_table(store, name, table) for name, table in tables.items()}


def open_table(block: pa.Buffer) -> pa.Table:
    """A table over a stream's bytes; its columns point into them."""
    return pa.ipc.open_stream(block).read_all()


def get_blocks(store: plasmad.Store) -> dict[str, pa.Buffer]:
    """Every table's bytes as an Arrow buffer over the store's memory, without a copy."""
    views = store.get_buffers([object_id(name) for name in TABLE_NAMES], timeout=30.0)
    return {name: pa.py_buffer(view) for name, view in zip(TABLE_NAMES, views, strict=True)}
