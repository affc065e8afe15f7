"""What a way of handing the tables over came to, and how two of them compare: as JSON, and as a text to read."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from questions import QUESTIONS, Answer

RATIO_PROMISED = 20


@dataclass
class Outcome:
    """One way's figures, by question; `prepared_seconds` is the work done once, before the clock starts."""

    prepared_seconds: float
    seconds: dict[str, float] = field(default_factory=dict)
    answer_seconds: dict[str, float] = field(default_factory=dict)
    pss_bytes: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    copied: dict[str, list[str]] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)


def ratios(store: Outcome, pickled: Outcome) -> list[float]:
    """How many times sooner each consumer has its tables."""
    return [pickled.seconds[question] / store.seconds[question] for question in QUESTIONS]


def as_json(
    table_rows: Mapping[str, int], table_bytes: Mapping[str, int], store: Outcome, pickled: Outcome
) -> dict[str, Any]:
    """Everything measured; the checks are added by whoever made them."""
    sooner = ratios(store, pickled)
    return {
        "schema": 1,
        "tables": [{"name": name, "rows": table_rows[name], "bytes": table_bytes[name]} for name in table_bytes],
        "clock": "CLOCK_MONOTONIC, from just before the first consumer is told to open until this one has all tables",
        "prepare_seconds_store": store.prepared_seconds,
        "prepare_seconds_pickle": pickled.prepared_seconds,
        "consumers": [
            {
                "question": question,
                "rows": store.rows[question],
                "seconds_store": store.seconds[question],
                "seconds_pickle": pickled.seconds[question],
                "pss_bytes_store": store.pss_bytes[question],
                "pss_bytes_pickle": pickled.pss_bytes[question],
                "answer_seconds_store": store.answer_seconds[question],
                "answer_seconds_pickle": pickled.answer_seconds[question],
            }
            for question in QUESTIONS
        ],
        "ratio_worst": min(sooner),
        "ratio_median": statistics.median(sooner),
        "ratio_promised": RATIO_PROMISED,
        "ratio_met": min(sooner) >= RATIO_PROMISED,
        "answers": store.answers,
    }


def as_text(table_bytes: int, store: Outcome, pickled: Outcome) -> str:
    """A table with a line for each consumer, and what it means."""
    sooner = ratios(store, pickled)
    head = f"{'question':<24} {'tables after (ms)':>20}  {'sooner':>8}  {'memory gained, PSS (MB)':>24}"
    lines = [head, f"{'':<24} {'store':>9} {'pipes':>10}  {'':>8}  {'store':>12} {'pipes':>11}"]
    for question, ratio in zip(QUESTIONS, sooner, strict=True):
        lines.append(
            f"{question:<24} {store.seconds[question] * 1e3:>9.2f} {pickled.seconds[question] * 1e3:>10.1f}"
            f"  {ratio:>7.0f}x  {store.pss_bytes[question] / 1e6:>12.2f} {pickled.pss_bytes[question] / 1e6:>11.1f}"
        )
    below = "" if min(sooner) >= RATIO_PROMISED else f", below the {RATIO_PROMISED}x we promise"
    lines += [
        "",
        f"Each consumer opened all five tables, {table_bytes / 1e6:.1f} MB. With the store it had them at least "
        f"{min(sooner):.1f} times sooner{below}; the median is {statistics.median(sooner):.1f}.",
        f"Not counted above, done once: writing the store's objects {store.prepared_seconds * 1e3:.0f} ms, "
        f"pickling {pickled.prepared_seconds * 1e3:.0f} ms.",
        f"Answering then took up to {max(store.answer_seconds.values()) * 1e3:.0f} ms with the store and "
        f"{max(pickled.answer_seconds.values()) * 1e3:.0f} ms with pipes: the store's pages are mapped when a query",
        "first touches them, and count in PSS from then on, divided among all who share them.",
    ]
    return "\n".join(lines)
