"""What the answers must be: worked out a second time with pandas, and held against figures known beforehand.

Pandas guards against a wrong query or a damaged table; the fixed figures guard against both being wrong together.
"""

from collections.abc import Mapping

import pandas as pd

from questions import STRONG_WIND_MPH, Answer

FIGURES = {
    "worst carrier": "F9",
    "its mean delay": 20.2155,
    "busiest route": "JFK-LAX",
    "its flights": 11262,
    "cancelled flights": 8255,
    "mean delay in strong wind": 21.341,
    "mean delay in less wind": 12.4893,
}


def answers_by_pandas(frames: Mapping[str, pd.DataFrame]) -> dict[str, Answer]:
    """Every question's answer, in the same order of rows as the Arrow queries give."""
    flights = frames["flights"]
    delay = flights.groupby("carrier").dep_delay.mean().reset_index()
    delay = delay.sort_values(["dep_delay", "carrier"], ascending=[False, True])
    routes = flights.groupby(["origin", "dest"]).size().reset_index(name="flights")
    routes = routes.sort_values(["flights", "origin", "dest"], ascending=[False, True, True]).head(10)
    cancelled = flights[flights.dep_time.isna()].groupby("month").size().reset_index(name="flights")
    joined = flights.merge(frames["weather"], on=["origin", "time_hour"])
    wind: Answer = [
        ["strong", float(joined[joined.wind_speed >= STRONG_WIND_MPH].dep_delay.mean())],
        ["less", float(joined[joined.wind_speed < STRONG_WIND_MPH].dep_delay.mean())],
    ]
    return {
        "mean delay per carrier": plain(delay),
        "ten busiest routes": plain(routes),
        "cancellations per month": plain(cancelled),
        "delay in strong wind": wind,
    }


def plain(frame: pd.DataFrame) -> Answer:
    """Rows of plain Python values, not numpy's."""
    return [list(row) for row in frame.astype(object).itertuples(index=False)]


def figures_of(answers: Mapping[str, Answer]) -> dict[str, str | int | float]:
    """The figures of FIGURES as these answers give them, rounded as they are written there."""
    carrier, delay = answers["mean delay per carrier"][0]
    origin, dest, flights = answers["ten busiest routes"][0]
    wind: dict[str, float] = dict(answers["delay in strong wind"])
    return {
        "worst carrier": carrier,
        "its mean delay": round(delay, 4),
        "busiest route": f"{origin}-{dest}",
        "its flights": flights,
        "cancelled flights": sum(count for _, count in answers["cancellations per month"]),
        "mean delay in strong wind": round(wind["strong"], 3),
        "mean delay in less wind": round(wind["less"], 4),
    }
