"""A process that measures one store, or helps to: `worker.py ADAPTER` in the environment of that store.

It reads one JSON document a line and answers each with one. The end of its input ends it, and with it the store that
it started. What libraries print goes to stderr.

| it is told | it answers |
|---|---|
| `{"do": "start", "directory", "memory_bytes", "spills": BOOL}` | `{"version"}` |
| `{"do": "measure", "row": ROW}` | `{"nanoseconds": […]}`, one a call; of several ways `{"ways": {NAME: […]}}` |
| `{"do": "connect", "address"}` | `{"connected": true}` |
| `{"do": "expect", "key"}` | `{"waiting": KEY}`, and when the object has come `{"at": NANOSECONDS, "crc"}` |
| `{"do": "ready_to_put", "size", "piece"}` | `{"ready": true}` |
| `{"do": "put_at", "nanoseconds"}` | `{"done": NANOSECONDS}` |
| `{"do": "settle", "verify": BOOL}` | `{"settled": true}`: what it put is compared, perhaps, and deleted |

Any answer may be `{"unsupported": WHY}`, `{"failed": WHAT}`, or `{"wrong": WHAT}` for bytes that are not those put.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import adapters
from adapters import Unsupported
from measurement import Measurement, WrongBytes, clock
from source import PIECES, Source


class Worker:
    """Answers the commands of its table, one after the other."""

    def __init__(self, name: str, output: Any) -> None:
        self.name, self.output = name, output
        self.adapter = adapters.load(name)
        self.address = ""
        self.source = Source()
        self.measurement = Measurement(self.adapter, self.spawn_partner)

    def obey(self, do: str, **arguments: Any) -> dict[str, Any]:
        """The answer to a command."""
        return getattr(self, do)(**arguments)

    def start(self, directory: str, memory_bytes: int, spills: bool) -> dict[str, Any]:
        start = self.adapter.start_spilling if spills else self.adapter.start
        self.address = start(Path(directory), memory_bytes)
        return {"version": self.adapter.version()}

    def measure(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"nanoseconds": self.measurement.measure(row)}

    def connect(self, address: str) -> dict[str, Any]:
        self.adapter.connect(address)
        return {"connected": True}

    def expect(self, key: int) -> dict[str, Any]:
        self.say({"waiting": key})
        view = self.adapter.expect(key)
        at = clock()
        found = self.adapter.read(view)
        crc = zlib.crc32(found)
        found.release()
        self.adapter.release(view)
        return {"at": at, "crc": crc}

    def ready_to_put(self, size: int, piece: int) -> dict[str, Any]:
        self.piece = self.source.pieces(size)[piece % PIECES]
        return {"ready": True}

    def put_at(self, nanoseconds: int) -> dict[str, Any]:
        time.sleep(max(0, nanoseconds - clock()) / 1e9)
        self.handle = self.adapter.put(self.piece)
        return {"done": clock()}

    def settle(self, verify: bool) -> dict[str, Any]:
        if verify:
            self.measurement.verify(self.handle, self.piece, 0)
        self.adapter.delete(self.handle)
        del self.handle
        return {"settled": True}

    def say(self, answer: dict[str, Any]) -> None:
        self.output.write(json.dumps(answer) + "\n")
        self.output.flush()

    def spawn_partner(self) -> Partner:
        return Partner(self.name, self.address)


class Partner:
    """Another worker with the same adapter, connected to the same store."""

    def __init__(self, name: str, address: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.call(do="connect", address=address)

    def call(self, **command: Any) -> dict[str, Any]:
        self.ask(**command)
        return self.hear()

    def ask(self, **command: Any) -> None:
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """The next answer; what went wrong over there goes on here."""
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("another process of this row ended too early")
        answer = json.loads(line)
        for key, kind in (("unsupported", Unsupported), ("wrong", WrongBytes), ("failed", RuntimeError)):
            if key in answer:
                raise kind(answer[key])
        return answer

    def stop(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # It waits for an object that will not come.
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def own_output() -> Any:
    """Stdout for our answers alone; from here on what anybody prints goes to stderr."""
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return output


def main() -> None:
    output = own_output()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    worker = None
    try:
        for line in sys.stdin:
            try:
                worker = worker or Worker(sys.argv[1], output)
                answer = worker.obey(**json.loads(line))
            except Unsupported as reason:
                answer = {"unsupported": str(reason)}
            except WrongBytes as wrong:
                answer = {"wrong": str(wrong)}
            except Exception as error:
                answer = {"failed": f"{type(error).__name__}: {without_places(str(error))}"}
            output.write(json.dumps(answer) + "\n")
            output.flush()
    finally:
        if worker is not None:
            worker.adapter.stop()


def without_places(message: str) -> str:
    """A message without where in a peer's source it came from: "error at /build/src/x.cc:351: no memory"."""
    return re.sub(r" at /\S+:\d+\b", "", message)


STOP_SECONDS = 10

if __name__ == "__main__":
    main()
