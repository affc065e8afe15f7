"""Do two runs say the same?"""

from __future__ import annotations

from typing import Any

from figures import ratio, text

APART_MAX = 1.2


def differences(one: dict[str, Any], other: dict[str, Any]) -> tuple[list[str], int]:
    """A sentence for each median that is more than 20 % apart, and how many were compared."""
    theirs = {row["name"]: row["cells"] for row in other["rows"]}
    found, compared = [], 0
    for row in one["rows"]:
        for peer, cell in row["cells"].items():
            twin = theirs.get(row["name"], {}).get(peer, {})
            if "p50" not in cell or "p50" not in twin:
                continue
            compared += 1
            apart = ratio(cell["p50"], twin["p50"])
            if apart > APART_MAX:
                found.append(
                    f"{row['name']:<16} {peer:<14} {text(cell['p50'])} and {text(twin['p50'])} {row['unit']}: "
                    f"{100 * (apart - 1):.0f} % apart"
                )
    return found, compared
