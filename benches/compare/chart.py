"""The document as an SVG: a small panel a row, the same stores in the same order in each.

Durations stand on a logarithmic scale, the bar ends at p50 and the thin line at p99; rates on a linear one.
"""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

from figures import text

WIDTH, LABELS, GAP, TOP = 1250, 142, 18, 64
BAR, TITLE, COLUMNS = 21, 46, 4
OURS, THEIRS, MACHINE, INK, FAINT = "#c2410c", "#64748b", "#cbd5e1", "#1e293b", "#e2e8f0"

#: Panels, in lines of four: what takes long to say, then warm above cold.
LINES = [
    ["get_1k", "put_1k", "hand_over_1k", "crowd_100m"],
    ["put_1m", "put_10m", "put_100m", "put_1g"],
    ["put_1m_cold", "put_10m_cold", "put_100m_cold", "put_1g_cold"],
    ["spill", "restore", "zipf_2x"],
]


def svg(document: dict[str, Any]) -> str:
    """The whole chart."""
    rows = {row["name"]: row for row in document["rows"]}
    peers = [peer for peer in document["peers"] if not peer["absent"]]
    lines = [line for line in ([rows[name] for name in names if name in rows] for names in LINES) if line]
    panel_height = TITLE + BAR * len(peers) + GAP
    height = TOP + panel_height * len(lines) + 26
    made = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="system-ui, -apple-system, Helvetica, Arial, sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="16" y="26" font-size="17" font-weight="600">plasmad beside other ways to share memory</text>',
        f'<text x="16" y="46" fill="{THEIRS}">{escape(subtitle(document))}</text>',
    ]
    width = (WIDTH - LABELS - GAP) / COLUMNS
    for line, panels in enumerate(lines):
        y = TOP + line * panel_height
        made += [label(peer, y + TITLE + BAR * at) for at, peer in enumerate(peers)]
        for column, row in enumerate(panels):
            made += panel(row, peers, LABELS + column * width, y, width - GAP)
    foot = (
        "us: shorter is better, logarithmic, thin line to the 99th percentile. "
        "GB/s: longer is better, thin line from the slowest call, or the 99th percentile of many."
    )
    made.append(f'<text x="16" y="{height - 12}" fill="{THEIRS}">{foot}</text>')
    return "\n".join([*made, "</svg>"]) + "\n"


def subtitle(document: dict[str, Any]) -> str:
    machine = document["machine"]
    return f"medians of {document['rounds']} rounds, {document['date']}, {machine['cpu']}, {machine['cores']} cores"


def label(peer: dict[str, Any], y: float) -> str:
    weight = "600" if peer["own"] else "400"
    return (
        f'<text x="{LABELS - 8}" y="{y + 14}" text-anchor="end" font-weight="{weight}">{escape(peer["title"])}</text>'
    )


def panel(row: dict[str, Any], peers: list[dict[str, Any]], x: float, y: float, width: float) -> list[str]:
    """A row's bars, on a scale of their own."""
    fast = row["unit"] == "us"
    title = escape(f"{row['title']}, {row['unit']}")
    made = [f'<text x="{x}" y="{y + 26}" font-size="12.5" font-weight="600">{title}</text>']
    cells = {peer["name"]: row["cells"].get(peer["name"], {}) for peer in peers}
    values = [value for cell in cells.values() for key in ("p50", "p99", "slowest") if (value := cell.get(key))]
    if not values:
        return made
    # The text behind the longest bar needs room too.
    scale = logarithmic(values, width - 46) if fast else linear(values, width - 46)
    made += grid(values, fast, scale, x, y + TITLE, BAR * len(peers))
    for at, peer in enumerate(peers):
        made += bar(cells[peer["name"]], peer, scale, x, y + TITLE + BAR * at)
    return made


def bar(cell: dict[str, Any], peer: dict[str, Any], scale: Any, x: float, y: float) -> list[str]:
    """One store's bar with its figure; a dash where there is none."""
    if "p50" not in cell:
        return [f'<text x="{x + 4}" y="{y + 14}" fill="{THEIRS}">–</text>']
    colour = OURS if peer["own"] else MACHINE if peer["name"] == "machine" else THEIRS
    end = scale(cell["p50"])
    far = scale(cell.get("p99", cell.get("slowest")))
    low, high = sorted((end, far))
    under = y + BAR - 3
    return [
        f'<rect x="{x:.1f}" y="{y + 3}" width="{max(end, 1):.1f}" height="{BAR - 9}" fill="{colour}" rx="1.5"/>',
        f'<path d="M{x + low:.1f} {under}H{x + high:.1f}" stroke="{colour}" stroke-width="1.5"/>',
        f'<text x="{x + end + 5:.1f}" y="{y + 14}">{text(cell["p50"])}</text>',
    ]


def grid(values: list[float], fast: bool, scale: Any, x: float, y: float, height: float) -> list[str]:
    """Faint lines at round figures."""
    if fast:
        marks = [
            10.0**power for power in range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)
        ]
        marks = [mark for mark in marks if min(values) <= mark <= max(values)]
    else:
        step = 10.0 ** math.floor(math.log10(max(values)))
        step = step / 2 if max(values) / step < 3 else step
        marks = [step * number for number in range(1, int(max(values) / step) + 1)]
        marks = marks[1::2] if len(marks) > 6 else marks
    made = [f'<line x1="{x}" x2="{x}" y1="{y}" y2="{y + height}" stroke="{THEIRS}"/>']
    for mark in marks:
        at = x + scale(mark)
        made.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y}" y2="{y + height}" stroke="{FAINT}"/>')
        made.append(
            f'<text x="{at:.1f}" y="{y - 5}" font-size="9.5" fill="{THEIRS}" text-anchor="middle">{mark:g}</text>'
        )
    return made


def logarithmic(values: list[float], width: float) -> Any:
    """A decade starts at the round figure below the least, so that the least has a bar."""
    low = math.floor(math.log10(min(values)) - 0.05)
    high = math.log10(max(values))
    return lambda value: width * (math.log10(value) - low) / (high - low)


def linear(values: list[float], width: float) -> Any:
    return lambda value: width * value / max(values)
