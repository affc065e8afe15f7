"""The document as Markdown: the table, what is missing in it and why, and where plasmad loses."""

from __future__ import annotations

from typing import Any

from figures import text
from rows import SPILLING_BYTES

BEGIN, END = "<!-- compare: begin -->", "<!-- compare: end -->"
#: Nearer than this, two medians are called equal: that far do two runs differ.
EQUAL = 1.2
#: Others at work, more than what a fresh build leaves behind, make figures that say little.
LOAD_MAX = 3.0


def markdown(document: dict[str, Any]) -> str:
    """Everything that is generated."""
    parts = [head(document), table(document), missing(document), losses(document), how(document)]
    return "\n\n".join(part for part in parts if part) + "\n"


def head(document: dict[str, Any]) -> str:
    machine = document["machine"]
    busy = ""
    if machine["load"] > LOAD_MAX:
        busy = f" **The machine was busy (load {machine['load']:.1f}) before it began: for orientation only.**"
    gib = f"{document['memory_bytes'] / 2**30:.0f} GiB"
    spilling = f"{SPILLING_BYTES / 2**30:.0f} GiB"
    return (
        f"{document['date']}, commit {document['commit']}, `{document['command']}`. "
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB, "
        f"Linux {machine['kernel']}. {document['rounds']} rounds; stores of {gib}, of {spilling} where they spill.{busy}"
    )


def table(document: dict[str, Any]) -> str:
    """p50 and p99 of a call, or GB/s."""
    peers = document["peers"]
    lines = ["| | " + " | ".join(peer["title"] for peer in peers) + " |", "|---|" + "---:|" * len(peers)]
    for row in document["rows"]:
        cells = [shown(row["cells"].get(peer["name"])) for peer in peers]
        lines.append(f"| {row['title']}, {row['unit']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shown(cell: dict[str, Any] | None) -> str:
    """`median (p99)`; few calls have no p99, and then it is the slowest of them."""
    if cell is None or "missing" in cell:
        return "–"
    return f"{text(cell['p50'])} ({text(cell.get('p99', cell.get('slowest')))})"


def missing(document: dict[str, Any]) -> str:
    """Why there is a dash, for whole columns and for single cells."""
    lines = [f"- {peer['title']}: {peer['absent']}" for peer in document["peers"] if peer["absent"]]
    for peer in document["peers"]:
        reasons: dict[str, list[str]] = {}
        for row in document["rows"]:
            why = row["cells"].get(peer["name"], {}).get("missing")
            if why and row["name"] != "round_trip":
                reasons.setdefault(why, []).append(row["title"])
        lines += [f"- {peer['title']}, {'; '.join(rows)}: {why}" for why, rows in reasons.items()]
    return "No figure:\n\n" + "\n".join(lines) if lines else ""


def losses(document: dict[str, Any]) -> str:
    """Rows in which another store beats plasmad from Python, and by how much."""
    titles = {peer["name"]: peer["title"] for peer in document["peers"]}
    others = [peer["name"] for peer in document["peers"] if not peer["own"] and peer["name"] != "machine"]
    lines = []
    for row in document["rows"]:
        ours = row["cells"].get("plasmad", {}).get("p50")
        if ours is None:
            continue
        better = []
        for name in others:
            theirs = row["cells"].get(name, {}).get("p50")
            if theirs is not None:
                times = theirs / ours if row["unit"] == "GB/s" else ours / theirs
                if times > EQUAL:
                    better.append(f"{titles[name]} is {times:.1f} times as fast")
        if better:
            lines.append(f"- {row['title']}: {', '.join(better)}.")
    if not any("plasmad" in row["cells"] for row in document["rows"]):
        return ""
    where = "\n".join(lines) if lines else "In no row."
    return f"Where plasmad from Python loses by more than {round(100 * (EQUAL - 1))} % in this run:\n\n{where}"


def how(document: dict[str, Any]) -> str:
    lines = [f"- {peer['title']} ({peer['version'] or 'not there'}): {peer['how']}." for peer in document["peers"]]
    best = {
        row["title"]: way for row in document["rows"] if (way := row["cells"].get("machine", {}).get("way")) is not None
    }
    ways = "; ".join(f"{title}: {way}" for title, way in best.items())
    return "How each was driven:\n\n" + "\n".join(lines) + (f"\n\nThe machine's best loop: {ways}." if ways else "")


def put_between_markers(page: str, made: str) -> str:
    """The page with what is generated in its place, everything else untouched."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no place for the table: it needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{made}\n{END}{after}"
