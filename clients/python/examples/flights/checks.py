"""What makes a run fail: a wrong answer, a copied column, too much memory, anything left behind.

Every check gives the list of what is wrong, in sentences; an empty list is a pass. No check needs the store, so each
of them can be shown to fail.
"""

import math
import os
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa

PSS_SHARE_MAX = 0.05


def wrong_answer(question: str, found: list, wanted: list) -> list[str]:
    """Keys and counts must be equal, means equal up to the order of summing; names the first row that differs."""
    if len(found) != len(wanted):
        return [f"'{question}' has {len(found)} rows instead of {len(wanted)}."]
    for row, other in zip(found, wanted, strict=True):
        if len(row) != len(other) or not all(map(same_value, row, other)):
            return [f"'{question}' answers {row} where pandas has {other}."]
    return []


def same_value(found: object, wanted: object) -> bool:
    """Two sums of the same floats in another order differ in the last digits only."""
    if isinstance(found, float) and isinstance(wanted, float):
        return math.isclose(found, wanted, rel_tol=1e-9)
    return found == wanted


def wrong_figures(found: Mapping[str, object], wanted: Mapping[str, object]) -> list[str]:
    """The figures known beforehand, to the digits they are given with."""
    return [
        f"The figure '{name}' is {found.get(name)} instead of {value}."
        for name, value in wanted.items()
        if found.get(name) != value
    ]


def columns_outside(table: pa.Table, start: int, nbytes: int) -> list[str]:
    """The columns with a buffer that is not within these bytes: somebody copied it."""
    return [
        name
        for name, column in zip(table.column_names, table.columns, strict=True)
        if any(not within(buffer, start, nbytes) for chunk in column.chunks for buffer in chunk.buffers())
    ]


def within(buffer: pa.Buffer | None, start: int, nbytes: int) -> bool:
    """A column without nulls has no validity buffer, and an empty one has no address to speak of."""
    if buffer is None or buffer.size == 0:
        return True
    return start <= buffer.address and buffer.address + buffer.size <= start + nbytes


def too_much_memory(question: str, gained: int, table_bytes: int) -> list[str]:
    """Opening tables in place costs a small part of their size; a private copy would cost all of it."""
    if gained < PSS_SHARE_MAX * table_bytes:
        return []
    share = gained / table_bytes
    return [
        f"The consumer of '{question}' gained {share:.1%} of the tables in PSS; under {PSS_SHARE_MAX:.0%} is allowed."
    ]


def paths_made_by(pid: int, since: float) -> set[str]:
    """The named files, folders and sockets a process holds open and that came into being after a moment of time().

    This finds lock files, logs and spill folders wherever a daemon chooses to put them. Kernel files and older ones
    are not of its making, and neither is what we hold as well, such as a redirected standard output.
    """
    return open_paths(pid, since) - open_paths(os.getpid(), since)


def open_paths(pid: int, since: float) -> set[str]:
    """Such paths among a process's descriptors; none if it is gone or may not be looked at."""
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return set()
    paths = set()
    for link in links:
        try:
            target = os.readlink(link)
            status = os.stat(target)
        except OSError:
            continue
        named = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode) or stat.S_ISSOCK(status.st_mode)
        if named and status.st_ctime >= since and not target.startswith(("/proc/", "/sys/")):
            paths.add(target)
    return paths


def processes_of(mark: str) -> dict[int, str]:
    """Every process that carries our mark in its environment, or that is our child: pid and name.

    The mark also finds grandchildren whose parent has gone; parentage also finds a child that nobody waited for.
    """
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            text = (entry / "stat").read_text(errors="replace")
        except OSError:
            continue
        name, _, fields = text.partition("(")[2].rpartition(")")
        if int(fields.split()[1]) == os.getpid() or carries(entry, mark):
            found[int(entry.name)] = name
    return found


def carries(process: Path, mark: str) -> bool:
    """Whether the process was started with our mark; another user's processes cannot be asked and are not ours."""
    try:
        return mark.encode() in (process / "environ").read_bytes()
    except OSError:
        return False


def left_behind(mark: str, scratch: Path, paths: Iterable[str], patience: float = 2.0) -> list[str]:
    """What is still there: our processes, anything in our scratch folder, and the daemon's own paths.

    A process that is just ending gets a moment to disappear.
    """
    paths = sorted(set(paths))
    deadline = time.monotonic() + patience
    while processes_of(mark) and time.monotonic() < deadline:
        time.sleep(0.01)
    sentences = [f"Process {pid} ({name}) is still there." for pid, name in processes_of(mark).items()]
    remains = {str(path) for path in scratch.rglob("*")} | {path for path in paths if os.path.lexists(path)}
    return sentences + [f"{path} is still there." for path in sorted(remains)]
