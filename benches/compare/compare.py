"""plasmad side by side with other ways to share memory, in one run on one machine.

Each store gets an environment of its own below target/compare. In each round every store is started, measured and
stopped once, in an order that rotates. A store that can't be installed or started here is a column that says so.

    compare.py                                  everything: target/compare.json, compare.md, compare.svg
    compare.py --quick                          a first look in about two minutes
    compare.py --peers plasmad,ray --rows put_100m,put_1g
    compare.py --publish                        also docs/PERFORMANCE.md and docs/performance/
    compare.py --agree A.json B.json            which medians of two runs are more than 20 % apart
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path

import chart
import table
from agree import differences
from document import as_json, document, machine, write
from environments import ROOT, Environments, NotThere
from peers import PEERS, Peer
from processes import adopt_orphans, end_all, spare_those_there
from rows import GIB, ROWS, select
from turns import Progress, Run, WrongBytes

PAGE = ROOT / "docs" / "PERFORMANCE.md"
PUBLISHED = ROOT / "docs" / "performance"
ROUNDS, ROUNDS_QUICK = 5, 2


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done; 1 runs disagree, or a store gave back wrong bytes; 2 wrong usage; 130 Ctrl-C."""
    asked = parse(arguments)
    if asked.agree:
        return agree(*asked.agree)
    adopt_orphans()
    # Said aloud, since a shell that starts this in the background has both ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        return compare(asked, PEERS)
    except WrongBytes as wrong:
        print(f"\n{wrong}. No table is made of this run.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; nothing was written, and no store is left running.", file=sys.stderr)
        return 130
    finally:
        end_all()


def compare(asked: argparse.Namespace, peers: list[Peer]) -> int:
    """Installs, measures, writes."""
    spare_those_there()
    started = time.monotonic()
    rows = select(asked.rows, asked.quick)
    chosen = [peer for peer in peers if asked.peers is None or peer.name in asked.peers]
    run = Run(rows, chosen, 4 * GIB)
    environments = Environments(asked.output / "compare")
    commands = {}
    for peer in chosen:
        print(f"preparing {peer.name}", file=sys.stderr, flush=True)
        try:
            commands[peer.name] = environments.command(peer)
        except NotThere as why:
            run.absent[peer.name] = str(why)
    rounds = asked.rounds or (ROUNDS_QUICK if asked.quick else ROUNDS)
    logs = asked.output / "compare"
    logs.mkdir(parents=True, exist_ok=True)
    ran_on = machine()
    run.all_rounds(commands, rounds, {"PATH": environments.path()}, logs, Progress(list(commands), rounds))
    command = "make bench" + (f" ARGS='{asked.given}'" if asked.given else "")
    made = document(run, rounds, command, ran_on)
    page = table.markdown(made)
    for name, content in (("json", as_json(made)), ("md", page), ("svg", chart.svg(made))):
        write(asked.output / f"compare.{name}", content)
        if asked.publish and name != "md":
            write(PUBLISHED / f"compare.{name}", content)
    if asked.publish:
        write(PAGE, table.put_between_markers(PAGE.read_text(encoding="utf-8"), page))
    print(page)
    where = f"{asked.output}/compare.json, .md, .svg" + (f" and {PAGE}" if asked.publish else "")
    print(f"written in {(time.monotonic() - started) / 60:.1f} min: {where}", file=sys.stderr)
    return 0


def agree(one: Path, other: Path) -> int:
    """Prints what differs; the exit code says whether anything does."""
    found, compared = differences(json.loads(one.read_text()), json.loads(other.read_text()))
    for sentence in found:
        print(sentence)
    print(f"{compared - len(found)} of {compared} medians are within 20 %.")
    return 1 if found else 0


def interrupt(*_: object) -> None:
    """Ctrl-C, and SIGTERM, which ends a run as Ctrl-C does."""
    raise KeyboardInterrupt


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Names are checked here, before anything is installed."""
    width = max(len(row.name) for row in ROWS) + 2
    parser = argparse.ArgumentParser(
        prog="compare.py",
        description=__doc__,
        epilog="rows:\n"
        + "\n".join(f"  {row.name:<{width}}{row.title}, {row.unit}" for row in ROWS)
        + "\n\npeers:\n"
        + "\n".join(f"  {peer.name:<{width}}{peer.title}" for peer in PEERS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=one_of({row.name for row in ROWS}), metavar="A,B", help="only these rows")
    parser.add_argument("--peers", type=one_of({peer.name for peer in PEERS}), metavar="A,B", help="only these stores")
    parser.add_argument(
        "--rounds", type=at_least_one, metavar="N", help=f"how often every store has its turn ({ROUNDS})"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{ROUNDS_QUICK} rounds, a tenth of the calls, nothing of 1 GiB: no figures to quote",
    )
    parser.add_argument("--publish", action="store_true", help="also write docs/PERFORMANCE.md and docs/performance/")
    parser.add_argument("--output", type=Path, default=ROOT / "target", metavar="DIR", help="where files go (target)")
    parser.add_argument("--agree", nargs=2, type=Path, metavar=("A.json", "B.json"), help="compare two runs, and end")
    asked = parser.parse_args(arguments)
    asked.given = " ".join(sys.argv[1:] if arguments is None else arguments)
    return asked


def one_of(names: set[str]):  # noqa: ANN201
    """A list of names; one that is unknown is refused with those there are."""

    def names_in(text: str) -> list[str]:
        given = text.split(",")
        if unknown := [name for name in given if name not in names]:
            raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(sorted(names))}")
        return given

    return names_in


def at_least_one(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} rounds can't be run; one or more can")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
