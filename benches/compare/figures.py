"""From calls to figures, and from figures to text."""

from __future__ import annotations

from collections.abc import Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which so many lie, between the two nearest in proportion."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def median(values: Sequence[float]) -> float:
    return percentile(values, 50)


def rate(nanoseconds: float, bytes_moved: int) -> float:
    """GB/s: 10^9 bytes a second."""
    return bytes_moved / nanoseconds


def shown(nanoseconds: float, unit: str, bytes_moved: int) -> float:
    """A duration in the row's unit."""
    return rate(nanoseconds, bytes_moved) if unit == "GB/s" else nanoseconds / 1000


def text(value: float) -> str:
    """Three digits, or two below ten: 0.024, 1.2, 86, 1,240."""
    if value >= 1000:
        return f"{value:,.0f}"
    if value >= 20:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def ratio(one: float, other: float) -> float:
    """How many times the larger is the smaller; never below 1."""
    return max(one, other) / min(one, other)


def rotated(names: Sequence[str], round_number: int) -> list[str]:
    """Everybody once, each round with another one first, so that none always follows the same disturbance."""
    start = round_number % len(names) if names else 0
    return [*names[start:], *names[:start]]
