"""The flights demo fails on a wrong answer, a copied column, too much memory and leftovers: each shown on small data.

No store, no download: the tables are made up here, and shared memory is an anonymous shared mapping.
"""

import mmap
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")

sys.path.insert(0, str(Path(__file__).parents[2] / "clients" / "python" / "examples" / "flights"))

import checks  # noqa: E402
import expected  # noqa: E402
import measure  # noqa: E402
import questions  # noqa: E402

MIB = 1 << 20


@pytest.fixture
def frames() -> dict[str, "pd.DataFrame"]:
    """Six flights of two carriers: one cancelled, one in an hour without weather, one in an hour without wind."""
    flights = pd.DataFrame(
        {
            "month": [1, 1, 2, 2, 2, 3],
            "dep_time": [517.0, None, 600.0, 601.0, 602.0, 700.0],
            "dep_delay": [2.0, None, 10.0, 20.0, 40.0, 7.0],
            "carrier": ["UA", "UA", "F9", "F9", "F9", "UA"],
            "origin": ["EWR", "EWR", "JFK", "JFK", "LGA", "JFK"],
            "dest": ["IAH", "IAH", "LAX", "LAX", "ATL", "LAX"],
            "time_hour": ["h1", "h1", "h1", "h2", "h3", "h4"],
        }
    )
    weather = pd.DataFrame(
        {
            "origin": ["EWR", "JFK", "JFK", "LGA"],
            "time_hour": ["h1", "h1", "h2", "h3"],
            "wind_speed": [25.0, 24.9, 30.0, None],
        }
    )
    return {"flights": flights, "weather": weather}


def arrow(frame: "pd.DataFrame") -> "pa.Table":
    return pa.Table.from_pandas(frame, preserve_index=False)


def shared_block(table: "pa.Table") -> "pa.Buffer":
    """The table's stream in memory mapped shared, as the store would have it."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    stream = sink.getvalue()
    mapping = mmap.mmap(-1, stream.size)
    mapping[:] = stream.to_pybytes()
    return pa.py_buffer(mapping)


# --- answers


def test_arrow_and_pandas_agree_on_every_question(frames: dict[str, "pd.DataFrame"]) -> None:
    wanted = expected.answers_by_pandas(frames)
    tables = {name: arrow(frame) for name, frame in frames.items()}
    assert wanted.keys() == questions.QUESTIONS.keys()
    for question, ask in questions.QUESTIONS.items():
        assert checks.wrong_answer(question, ask(tables), wanted[question]) == []


def test_the_answers_are_what_a_person_counts(frames: dict[str, "pd.DataFrame"]) -> None:
    tables = {name: arrow(frame) for name, frame in frames.items()}
    assert questions.mean_delay_per_carrier(tables) == [["F9", 70 / 3], ["UA", 4.5]]
    assert questions.busiest_routes(tables)[0] == ["JFK", "LAX", 3]
    assert questions.cancellations_per_month(tables) == [[1, 1]]
    assert questions.delay_by_wind(tables) == [["strong", 11.0], ["less", 10.0]]


@pytest.mark.parametrize(
    "found",
    [
        [["F9", 20.3], ["UA", 12.0]],
        [["UA", 12.0], ["F9", 20.2]],
        [["F9", 20.2]],
        [["F9", None], ["UA", 12.0]],
        [["F9"], ["UA", 12.0]],
        [],
    ],
)
def test_a_wrong_answer_is_noticed(found: list) -> None:
    assert len(checks.wrong_answer("delay", found, [["F9", 20.2], ["UA", 12.0]])) == 1


def test_another_order_of_summing_is_no_wrong_answer() -> None:
    assert checks.wrong_answer("delay", [["F9", 0.1 + 0.2]], [["F9", 0.3]]) == []


def test_a_count_that_is_off_by_one_is_noticed() -> None:
    assert checks.wrong_answer("routes", [["JFK", "LAX", 11263]], [["JFK", "LAX", 11262]])


def test_a_figure_that_differs_or_is_missing_is_noticed() -> None:
    right = dict(expected.FIGURES)
    assert checks.wrong_figures(right, expected.FIGURES) == []
    for name in right:
        assert len(checks.wrong_figures(right | {name: 0}, expected.FIGURES)) == 1
    assert len(checks.wrong_figures({}, expected.FIGURES)) == len(expected.FIGURES)


# --- copies


def test_a_table_opened_in_place_has_no_column_outside(frames: dict[str, "pd.DataFrame"]) -> None:
    block = shared_block(arrow(frames["flights"]))
    table = pa.ipc.open_stream(block).read_all()
    assert checks.columns_outside(table, block.address, block.size) == []
    assert measure.is_shared_mapping(block.address)


def test_a_table_opened_over_a_copy_is_noticed(frames: dict[str, "pd.DataFrame"]) -> None:
    block = shared_block(arrow(frames["flights"]))
    copy = pa.py_buffer(block.to_pybytes())
    table = pa.ipc.open_stream(copy).read_all()
    assert checks.columns_outside(table, block.address, block.size) == table.column_names
    assert not measure.is_shared_mapping(copy.address)


def test_a_single_copied_column_is_noticed(frames: dict[str, "pd.DataFrame"]) -> None:
    block = shared_block(arrow(frames["flights"]))
    table = pa.ipc.open_stream(block).read_all()
    copied = table.set_column(2, "dep_delay", arrow(frames["flights"])["dep_delay"])
    assert checks.columns_outside(copied, block.address, block.size) == ["dep_delay"]


def test_a_buffer_that_ends_one_byte_late_is_outside() -> None:
    buffer = pa.py_buffer(bytes(64))
    assert checks.within(buffer, buffer.address, 64)
    assert not checks.within(buffer, buffer.address, 63)
    assert not checks.within(buffer, buffer.address + 1, 64)


# --- memory


def test_five_percent_is_too_much_memory() -> None:
    assert checks.too_much_memory("routes", 49, 1000) == []
    assert len(checks.too_much_memory("routes", 50, 1000)) == 1


def test_pss_counts_a_private_copy_in_full() -> None:
    before = measure.pss_bytes()
    copy = bytearray(os.urandom(MIB)) * 32
    assert measure.pss_bytes() - before > 30 * MIB
    del copy


# --- leftovers


@pytest.fixture
def mark() -> str:
    """A mark no other process carries."""
    return os.urandom(16).hex()


@pytest.fixture(autouse=True)
def only_new_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests' daemons are children of this process too, and are nobody's business here."""
    find, before = checks.processes_of, set(checks.processes_of(os.urandom(16).hex()))
    monkeypatch.setattr(checks, "processes_of", lambda mark: {p: n for p, n in find(mark).items() if p not in before})


@pytest.fixture
def sleeper(mark: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that carries the mark and stays until the test ends it."""
    process = subprocess.Popen(["sleep", "60"], env=os.environ | {"DEMO_MARK": mark})
    yield process
    process.kill()
    process.wait()


def test_nothing_left_is_no_complaint(mark: str, tmp_path: Path) -> None:
    assert checks.left_behind(mark, tmp_path, {str(tmp_path / "gone.sock")}, patience=0) == []


def test_a_process_left_is_noticed(mark: str, tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    found = checks.left_behind(mark, tmp_path, set(), patience=0)
    assert found == [f"Process {sleeper.pid} (sleep) is still there."]


def test_an_orphan_of_a_child_that_has_gone_is_noticed(mark: str) -> None:
    shell = ["sh", "-c", "sleep 60 >/dev/null & echo $!"]
    answer = subprocess.run(shell, env=os.environ | {"DEMO_MARK": mark}, stdout=subprocess.PIPE, check=True)
    orphan = int(answer.stdout)
    try:
        assert orphan in checks.processes_of(mark)
    finally:
        os.kill(orphan, 9)


def test_a_child_nobody_waited_for_is_noticed(mark: str) -> None:
    child = subprocess.Popen(["true"])
    try:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert child.pid in checks.processes_of(mark)
    finally:
        child.wait()
    assert child.pid not in checks.processes_of(mark)


def test_files_left_are_noticed(mark: str, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    (scratch / "spill").mkdir(parents=True)
    lock = tmp_path / "plasmad.lock"
    lock.touch()
    found = checks.left_behind(mark, scratch, {str(lock)}, patience=0)
    assert found == [f"{lock} is still there.", f"{scratch / 'spill'} is still there."]


def test_a_file_made_by_the_daemon_is_found_wherever_it_is(tmp_path: Path) -> None:
    since = time.time() - 1
    log, inherited = tmp_path / "log", tmp_path / "inherited"
    with log.open("wb") as output, inherited.open("wb") as ours:
        child = subprocess.Popen(["sleep", "60"], stdout=output, stderr=ours)
        output.close()
        try:
            assert checks.paths_made_by(child.pid, since) == {str(log)}
            assert checks.paths_made_by(child.pid, time.time() + 60) == set()
        finally:
            child.kill()
            child.wait()
