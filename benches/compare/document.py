"""The run as a document: every round, what it was measured on, and the figures made of it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from environments import ROOT
from figures import percentile, shown
from rows import Row
from turns import Cell, Run

SCHEMA = 1
#: Rounds with more calls than this are written as percentiles.
VALUES_MAX = 32


def document(run: Run, rounds: int, command: str, ran_on: dict[str, Any]) -> dict[str, Any]:
    """All of it, ready to be written as JSON; ``ran_on`` is the machine before it started."""
    return {
        "schema": SCHEMA,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "commit": commit(),
        "machine": ran_on,
        "rounds": rounds,
        "memory_bytes": run.memory_bytes,
        "peers": [
            {
                "name": peer.name,
                "title": peer.title,
                "how": peer.how,
                "own": peer.own,
                "version": run.versions.get(peer.name),
                "absent": run.absent.get(peer.name),
            }
            for peer in run.peers
        ],
        "rows": [row_document(run, row) for row in run.rows],
    }


def row_document(run: Run, row: Row) -> dict[str, Any]:
    """A row with a cell for each store that was there."""
    cells = {peer.name: cell_document(row, run.cell(row, peer)) for peer in run.peers if peer.name not in run.absent}
    return {"name": row.name, "title": row.title, "unit": row.unit, "bytes": row.bytes, "cells": cells}


def cell_document(row: Row, cell: Cell) -> dict[str, Any]:
    """The best of its ways; `p99` of few calls is the slowest of them, and is called so."""
    if cell.missing is not None or not cell.rounds:
        return {"missing": cell.missing or "not measured"}
    pooled = {way: [value for at in cell.rounds for value in at[way]] for way in cell.rounds[0]}
    best = min(pooled, key=lambda way: percentile(pooled[way], 50))
    values = pooled[best]
    few = len(values) < 1000
    moved = row.bytes_moved

    def value(percent: float) -> float:
        return shown(percentile(values, percent), row.unit, moved)

    return {
        "way": best or None,
        "calls": len(values),
        "p50": value(50),
        "slowest" if few else "p99": value(100 if few else 99),
        "rounds": [{way: round_document(row, at[way]) for way in at} for at in cell.rounds],
    }


def round_document(row: Row, nanoseconds: list[float]) -> dict[str, Any]:
    """All its calls, or their percentiles if they are many."""
    if len(nanoseconds) <= VALUES_MAX:
        return {"nanoseconds": nanoseconds}
    percentiles = {f"p{percent}": round(percentile(nanoseconds, percent), 1) for percent in (1, 10, 50, 90, 99, 100)}
    return {"calls": len(nanoseconds), "nanoseconds": percentiles}


def machine() -> dict[str, Any]:
    """What it runs on, and how busy it is now."""
    cpu = [
        line.partition(":")[2].strip() for line in read("/proc/cpuinfo").splitlines() if line.startswith("model name")
    ]
    return {
        "cpu": cpu[0] if cpu else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "shmem_huge_pages": read("/sys/kernel/mm/transparent_hugepage/shmem_enabled").strip(),
        "load": os.getloadavg()[0],
    }


def commit() -> str:
    """What was measured, and whether anything in it was changed since."""
    try:
        name = git("rev-parse", "--short=12", "HEAD")
        return name + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def as_json(made: dict[str, Any]) -> str:
    """Indented, but for the rows, of which each has a line."""
    head = json.dumps({key: value for key, value in made.items() if key != "rows"}, indent=1)
    rows = ",\n  ".join(json.dumps(row) for row in made["rows"])
    return f'{head.removesuffix("}").rstrip()},\n "rows": [\n  {rows}\n ]\n}}\n'
