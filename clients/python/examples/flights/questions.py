"""The four questions, answered with Arrow alone.

An answer is a list of rows, each a list of plain values with the key columns first, in a fixed order, so that it
travels as JSON and compares row by row. Missing values are null and count in no mean.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.acero  # noqa: F401  group_by and join load it when first used; load it at the start instead
import pyarrow.compute as pc

Answer = list[list[Any]]
Tables = Mapping[str, pa.Table]

STRONG_WIND_MPH = 25.0


def rows(table: pa.Table) -> Answer:
    """The table's rows as lists."""
    return [list(row.values()) for row in table.to_pylist()]


def mean_delay_per_carrier(tables: Tables) -> Answer:
    """[carrier, mean departure delay in minutes], the worst first."""
    delays = tables["flights"].group_by("carrier").aggregate([("dep_delay", "mean")])
    delays = delays.sort_by([("dep_delay_mean", "descending"), ("carrier", "ascending")])
    return rows(delays.select(["carrier", "dep_delay_mean"]))


def busiest_routes(tables: Tables) -> Answer:
    """[origin, destination, flights] of the ten routes flown most, cancelled flights included."""
    routes = tables["flights"].group_by(["origin", "dest"]).aggregate([([], "count_all")])
    routes = routes.sort_by([("count_all", "descending"), ("origin", "ascending"), ("dest", "ascending")])
    return rows(routes.select(["origin", "dest", "count_all"]).slice(0, 10))


def cancellations_per_month(tables: Tables) -> Answer:
    """[month, flights without a departure time], in the order of the year."""
    flights = tables["flights"].select(["month", "dep_time"])
    cancelled = flights.filter(pc.is_null(flights["dep_time"]))
    months = cancelled.group_by("month").aggregate([([], "count_all")]).sort_by("month")
    return rows(months.select(["month", "count_all"]))


def delay_by_wind(tables: Tables) -> Answer:
    """[wind, mean departure delay in minutes] for strong wind and for less.

    A flight is joined with the weather of the hour it was due to leave at the airport it leaves from; that key is
    unique in the weather table. Flights without such a row, or whose row lacks the wind, are on neither side.
    """
    key = ["origin", "time_hour"]
    flights = tables["flights"].select([*key, "dep_delay"])
    weather = tables["weather"].select([*key, "wind_speed"])
    joined = flights.join(weather, keys=key, join_type="inner")
    strong = pc.greater_equal(joined["wind_speed"], STRONG_WIND_MPH)
    sides = {"strong": joined.filter(strong), "less": joined.filter(pc.invert(strong))}
    return [[side, pc.mean(part["dep_delay"]).as_py()] for side, part in sides.items()]


QUESTIONS: dict[str, Callable[[Tables], Answer]] = {
    "mean delay per carrier": mean_delay_per_carrier,
    "ten busiest routes": busiest_routes,
    "cancellations per month": cancellations_per_month,
    "delay in strong wind": delay_by_wind,
}
