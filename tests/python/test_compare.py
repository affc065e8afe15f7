"""The side-by-side comparison, without any of the stores it compares: figures, rotation, table, chart, and a run.

The stores of the run are in `compare_canaries.py`: an honest one, and some that break in the ways a store can.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).parent
COMPARE = HERE.parents[1] / "benches" / "compare"
sys.path.insert(0, str(COMPARE))

import agree  # noqa: E402
import compare_canaries  # noqa: E402
import chart  # noqa: E402
import compare  # noqa: E402
import environments  # noqa: E402
import figures  # noqa: E402
import source  # noqa: E402
import table  # noqa: E402
from measurement import Measurement, WrongBytes  # noqa: E402
from peers import PEERS, Peer  # noqa: E402
from processes import descendants  # noqa: E402
from rows import ROWS, SPILLING_BYTES, Row, select  # noqa: E402
from turns import Progress  # noqa: E402
from worker import without_places  # noqa: E402

# --- figures


def test_a_percentile_lies_between_its_neighbours() -> None:
    assert figures.median([3, 1, 2]) == 2
    assert figures.median([4, 1, 2, 3]) == 2.5
    assert figures.percentile(range(101), 99) == 99
    assert figures.percentile([7], 99) == 7
    assert figures.percentile([0, 10], 25) == 2.5


def test_durations_become_microseconds_or_gigabytes_a_second() -> None:
    assert figures.shown(1500, "us", 1024) == 1.5
    assert figures.shown(1e9, "GB/s", 5_000_000_000) == 5
    assert [figures.text(value) for value in (0.0241, 0.24, 1.24, 86.4, 1240)] == [
        "0.024",
        "0.24",
        "1.2",
        "86",
        "1,240",
    ]


def test_every_store_is_first_as_often_as_any_other() -> None:
    names = ["a", "b", "c"]
    rounds = [figures.rotated(names, number) for number in range(6)]
    assert all(sorted(order) == names for order in rounds)
    assert sorted(order[0] for order in rounds) == sorted(names * 2)
    assert figures.rotated([], 3) == []


def test_cold_rows_come_before_the_warm_ones_that_write_over_them() -> None:
    colds = [at for at, row in enumerate(ROWS) if row.cold]
    warm_puts = [at for at, row in enumerate(ROWS) if row.verb == "put" and not row.cold and row.bytes >= 1 << 20]
    assert max(colds) < min(warm_puts)


def test_small_rows_have_ten_thousand_calls() -> None:
    small = [row for row in ROWS if row.bytes <= 1024]
    assert small and all(row.calls * compare.ROUNDS >= 10_000 for row in small)


# --- bytes


def test_the_bytes_are_those_of_the_rust_side() -> None:
    digest = hashlib.sha256(source.Source().pieces(1 << 20)[3]).hexdigest()
    assert digest == "6ccaa2f8490a67e227c5c2eb8ac8a104d591a4b25a6da11b427cc7efd86ae0ad"
    assert digest in (COMPARE / "driver" / "src" / "source.rs").read_text()


def test_a_wrong_byte_and_a_wrong_length_are_noticed() -> None:
    wanted = source.Source().pieces(2 << 20)[1]
    wrong = bytearray(wanted)
    assert source.difference(memoryview(wrong), wanted) is None
    wrong[1_500_000] ^= 1
    assert "byte 1500000 of" in (source.difference(memoryview(wrong), wanted) or "")
    assert "bytes came back" in (source.difference(memoryview(wrong)[1:], wanted) or "")


# --- table and chart


@pytest.fixture
def document() -> dict:
    """Two rows and three stores, of which one is not there and one can't do the second row."""

    def peer(name: str, own: bool, absent: str | None = None) -> dict:
        return {"name": name, "title": name.title(), "how": "by hand", "own": own, "version": "1", "absent": absent}

    return {
        "date": "2026-01-01 12:00 UTC",
        "command": "make bench",
        "commit": "0123456789ab",
        "machine": {"cpu": "A <fast> one", "cores": 2, "memory_bytes": 2**30, "kernel": "6.1", "load": 0.1},
        "rounds": 5,
        "memory_bytes": 2**32,
        "peers": [peer("plasmad", True), peer("ray", False), peer("plasma", False, "no wheel for this machine")],
        "rows": [
            {
                "name": "get_1k",
                "title": "get 1 KiB",
                "unit": "us",
                "cells": {"plasmad": {"p50": 1.0, "p99": 2.5}, "ray": {"p50": 120.0, "p99": 400.0}},
            },
            {
                "name": "put_1g",
                "title": "put 1 GiB, warm",
                "unit": "GB/s",
                "cells": {"plasmad": {"p50": 10.0, "slowest": 9.0}, "ray": {"missing": "too large"}},
            },
        ],
    }


def test_the_table_has_a_column_for_each_store_and_says_why_one_is_empty(document: dict) -> None:
    made = table.markdown(document)
    assert "| | Plasmad | Ray | Plasma |" in made
    assert "| get 1 KiB, us | 1.0 (2.5) | 120 (400) | – |" in made
    assert "| put 1 GiB, warm, GB/s | 10.0 (9.0) | – | – |" in made
    assert "- Plasma: no wheel for this machine" in made
    assert "- Ray, put 1 GiB, warm: too large" in made


def test_a_run_on_a_busy_machine_says_so(document: dict) -> None:
    assert "busy" not in table.markdown(document)
    document["machine"]["load"] = 6.0
    assert "was busy (load 6.0)" in table.markdown(document)


def test_the_page_says_where_plasmad_loses(document: dict) -> None:
    assert "In no row." in table.losses(document)
    document["rows"][0]["cells"]["ray"]["p50"] = 0.5
    document["rows"][1]["cells"]["ray"] = {"p50": 30.0}
    assert table.losses(document).splitlines()[2:] == [
        "- get 1 KiB: Ray is 2.0 times as fast.",
        "- put 1 GiB, warm: Ray is 3.0 times as fast.",
    ]
    document["rows"][0]["cells"]["ray"]["p50"] = 0.9
    assert "get 1 KiB" not in table.losses(document)


def test_only_what_is_between_the_markers_is_replaced() -> None:
    page = f"# Before\n{table.BEGIN}\nold\n{table.END}\nafter\n"
    assert table.put_between_markers(page, "new\n") == f"# Before\n{table.BEGIN}\n\nnew\n\n{table.END}\nafter\n"
    with pytest.raises(ValueError, match="no place for the table"):
        table.put_between_markers("# Before\n", "new")


def test_the_published_page_has_a_place_for_the_table() -> None:
    page = compare.PAGE.read_text()
    assert "new" in table.put_between_markers(page, "new")


def test_the_chart_is_well_formed_and_shows_what_was_measured(document: dict) -> None:
    made = chart.svg(document)
    texts = [element.text for element in xml.fromstring(made).iter("{http://www.w3.org/2000/svg}text")]
    assert {"Plasmad", "Ray", "get 1 KiB, us", "120", "put 1 GiB, warm, GB/s", "–"} <= set(texts)
    assert "Plasma" not in texts


# --- two runs


def test_runs_that_agree_agree_and_one_that_differs_is_named(document: dict) -> None:
    other = json.loads(json.dumps(document))
    other["rows"][0]["cells"]["ray"]["p50"] = 140.0
    assert agree.differences(document, other) == ([], 3)
    other["rows"][0]["cells"]["ray"]["p50"] = 150.0
    found, compared = agree.differences(document, other)
    assert compared == 3 and len(found) == 1
    assert found[0].split()[:2] == ["get_1k", "ray"] and "25 % apart" in found[0]


# --- environments


def test_a_store_for_an_older_python_says_so() -> None:
    with pytest.raises(environments.NotThere, match="no python2.1 here"):
        environments.interpreter("2.1")


def test_the_reason_is_what_the_installer_complained_of() -> None:
    log = "Collecting x\nERROR: No matching distribution found for x\nWARNING: Retrying\n"
    assert environments.complaint(log) == "ERROR: No matching distribution found for x"
    assert environments.complaint("Killed\n") == "Killed"


def test_a_store_that_cannot_be_installed_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    peer = Peer("gone", "Gone", "not at all", adapter="none:None", requirements=("plasmad-no-such-package==0",))
    with pytest.raises(environments.NotThere, match="can't be installed: ERROR: .*plasmad-no-such-package"):
        environments.Environments(tmp_path).command(peer)


# --- runs


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the comparison with these canaries for a store each; gives exit code and document."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.setattr("turns.REST_SECONDS", 0)

    def start(*kinds: str, more: tuple[str, ...] = ()) -> dict:
        canaries = [Peer(kind.lower(), kind, "in its own memory", adapter=f"compare_canaries:{kind}") for kind in kinds]
        asked = compare.parse(["--quick", "--rows", "get_1k,put_1k,put_1m", "--output", str(tmp_path), *more])
        assert compare.compare(asked, [*canaries, *MISSING]) == 0
        return json.loads((tmp_path / "compare.json").read_text())

    return start


#: A store that can't be installed, in every run: it must never be what makes one fail.
MISSING = [Peer("missing", "Missing", "not at all", adapter="none:None", requirements=("x",), python="2.1")]


def test_a_run_measures_every_store_in_every_round(run, tmp_path: Path) -> None:
    made = run("Honest")
    for row in made["rows"]:
        cell = row["cells"]["honest"]
        assert len(cell["rounds"]) == compare.ROUNDS_QUICK and cell["p50"] > 0
    assert "| | Honest | Missing |" in (tmp_path / "compare.md").read_text()
    xml.fromstring((tmp_path / "compare.svg").read_text())


def test_a_store_that_cannot_be_installed_is_a_column_that_says_so(run, tmp_path: Path) -> None:
    made = run("Honest")
    absent = {peer["name"]: peer["absent"] for peer in made["peers"]}
    assert absent["honest"] is None and "no python2.1" in absent["missing"]
    assert "- Missing: it has packages for Python 2.1 at most" in (tmp_path / "compare.md").read_text()


def test_a_store_that_does_not_start_or_dies_fails_no_other(run) -> None:
    made = run("Honest", "Lame", "Mortal")
    absent = {peer["name"]: peer["absent"] for peer in made["peers"]}
    assert "does not start: RuntimeError: no legs" in absent["lame"]
    rows = {row["name"]: row["cells"] for row in made["rows"]}
    assert "p50" in rows["get_1k"]["mortal"]
    assert "process ended" in rows["put_1k"]["mortal"]["missing"]
    assert all("p50" in cells["honest"] for cells in rows.values())


def test_a_failure_is_told_without_the_place_in_somebody_s_source() -> None:
    told = without_places("Not enough memory: IPC error at /build/src/protocols.cc:351: at most 10 at a time")
    assert told == "Not enough memory: IPC error: at most 10 at a time"


def test_what_a_store_cannot_do_is_a_cell_that_says_so(run) -> None:
    rows = {row["name"]: row["cells"] for row in run("Small")["rows"]}
    assert rows["put_1m"]["small"] == {"missing": "a value has at most 1 KiB"}
    assert "p50" in rows["put_1k"]["small"]


def test_rows_of_spilling_have_a_store_of_their_own_and_who_cannot_spill_says_so(
    run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rows.ROWS", [row if not row.spills else small(row) for row in ROWS])
    made = run("Honest", "Deep", "Shallow", more=("--rows", "get_1k,spill,restore,zipf_2x"))
    rows = {row["name"]: row["cells"] for row in made["rows"]}
    assert all("p50" in cell for cell in rows["get_1k"].values())
    for name in ("spill", "restore", "zipf_2x"):
        assert rows[name]["honest"] == {"missing": "it holds no more than its memory"}
        assert rows[name]["shallow"] == {"missing": "it does not start: RuntimeError: no disk"}
        assert len(rows[name]["deep"]["rounds"]) == compare.ROUNDS_QUICK


def small(row: Row) -> Row:
    """The same kind of row with what a test has time for."""
    lengths, order = row.lengths and (65536, 70000, 131072), row.order and (0, 2, 1, 0) * 10
    return replace(row, bytes=1 << 20, objects=20, objects_before=3, lengths=lengths, order=order)


def test_what_is_spilled_is_all_put_and_what_is_restored_was_put_first() -> None:
    adapter = compare_canaries.Deep()
    adapter.start(Path(), 0)
    asked = []
    adapter.release = lambda view: asked.append(len(view))
    measurement = Measurement(adapter, None)
    spill, restore, zipf = (small(row).command() for row in ROWS if row.spills)
    assert measurement.measure(spill)[0] > 0 and len(adapter.objects) == 23
    assert measurement.measure(restore)[0] > 0 and asked == [1 << 20] * 20
    asked.clear()
    assert measurement.measure(zipf)[0] > 0 and len(adapter.objects) == 3
    assert asked == [65536, 131072, 70000, 65536] * 10


def test_wrong_bytes_from_disk_are_noticed_with_the_first_get() -> None:
    liar = compare_canaries.Liar()
    liar.start(Path(), 0)
    for row in (small(row).command() for row in ROWS if row.name in ("restore", "zipf_2x")):
        with pytest.raises(WrongBytes, match="call 0: byte 100 of"):
            Measurement(liar, None).measure(row)


def test_the_working_set_is_twice_the_memory_and_the_best_wanted_is_wanted_every_ninth_time() -> None:
    zipf = next(row for row in ROWS if row.name == "zipf_2x")
    assert 0 <= sum(zipf.lengths) - 2 * SPILLING_BYTES < 1 << 20
    # The sum of the weights of 3,800 ranks is 8.99.
    most = max(zipf.order.count(at) for at in set(zipf.order))
    assert 0.08 < most / len(zipf.order) < 0.14
    assert zipf.bytes_moved == sum(zipf.lengths[at] for at in zipf.order)


def test_a_store_that_gives_back_wrong_bytes_fails_the_run_by_name(run, tmp_path: Path) -> None:
    with pytest.raises(compare.WrongBytes, match="liar gave back wrong bytes in get_1k: call 0: byte 100 of 1024"):
        run("Honest", "Liar")
    assert not (tmp_path / "compare.json").exists()


def test_an_unknown_row_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        compare.parse(["--rows", "put_2k"])
    assert exit.value.code == 2
    assert "there is no put_2k; there are" in capsys.readouterr().err


def test_ctrl_c_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    """The whole program, interrupted while a store with a process of its own hangs in a put."""
    code = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "import compare; from peers import Peer\n"
        "compare.PEERS[:] = [Peer('hanging', 'Hanging', '', adapter='compare_canaries:Hanging')]\n"
        "sys.exit(compare.main(['--quick', '--rows', 'put_1k', '--output', sys.argv[3]]))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(HERE), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", code, str(COMPARE), str(HERE), str(tmp_path / "out")]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 20
        while not list(tmp_path.glob("plasmad-compare-*/hanging")):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        below = descendants(process.pid)
        assert len(below) == 2
        process.send_signal(2)
        assert "no store is left running" in process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130
    assert not any(Path(f"/proc/{pid}").exists() for pid in below)
    assert not list(tmp_path.glob("plasmad-compare-*")) and not (tmp_path / "out" / "compare.json").exists()


def test_the_time_left_counts_the_turns_of_each_store() -> None:
    lines: list[str] = []
    output = SimpleNamespace(isatty=lambda: False, write=lines.append, flush=lambda: None)
    progress = Progress(["a", "b"], 3, output)
    progress.turn(0, "a")
    progress.done("a", 10)
    assert progress.left() == "about 50 s left"
    progress.done("b", 30)
    assert progress.left() == "about 80 s left"
    assert lines[0] == "round 1/3  a"


def test_every_peer_has_one_way_to_be_measured_and_the_quick_run_no_gigabyte() -> None:
    assert all(bool(peer.adapter) != bool(peer.driver) for peer in PEERS)
    assert len({peer.name for peer in PEERS}) == len(PEERS)
    assert max(row.bytes for row in select(None, quick=True)) < 1 << 30
