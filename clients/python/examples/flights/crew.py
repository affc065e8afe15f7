"""The demo's side of its consumers: start all four, take them through their steps together, end them."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

from questions import QUESTIONS


class ConsumerError(RuntimeError):
    """A consumer ended before its time; its own message went to standard error."""


class Crew:
    """Four consumer processes, one for each question. Leaving the `with` block ends them, however it is left.

    They are started afresh, not forked: a forked one would have the tables already.
    """

    def __init__(self, socket: str | None, switch: str | None) -> None:
        script = str(Path(__file__).with_name("consumer.py"))
        self.members: dict[str, subprocess.Popen[bytes]] = {}
        for question in QUESTIONS:
            arguments = json.dumps({"question": question, "socket": socket, "break": switch})
            self.members[question] = subprocess.Popen(
                [sys.executable, script, arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        """A consumer ends when its input does; after a failure, and when it is slow, it is killed instead."""
        for member in self.members.values():
            if kind is not None:
                member.kill()
        for member in self.members.values():
            try:
                member.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                member.kill()
                member.communicate()

    @property
    def pipes(self) -> list[IO[bytes]]:
        """Where each consumer listens."""
        return [member.stdin for member in self.members.values() if member.stdin is not None]

    def tell(self, word: str) -> None:
        """Say the word to all, without waiting in between; whoever is dead is noticed when we listen."""
        for pipe in self.pipes:
            with contextlib.suppress(BrokenPipeError):
                pipe.write(f"{word}\n".encode())
                pipe.flush()

    def hear(self) -> dict[str, dict[str, Any]]:
        """One report from each, by question."""
        return {question: self.hear_one(question) for question in self.members}

    def hear_one(self, question: str) -> dict[str, Any]:
        """A consumer that dies closes its output, which ends the wait."""
        output = self.members[question].stdout
        line = output.readline() if output is not None else b""
        if not line:
            raise ConsumerError(f"The consumer of '{question}' ended too early; see its message above.")
        return json.loads(line)
