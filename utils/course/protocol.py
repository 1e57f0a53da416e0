"""What the grader and the two rooms say to each other: JSON in frames of known length.

Orders go in: `Enter` to the warm process, `Define` to the children that it forks, and `Test` to the one that tests.
`Reply` comes out. That of the answer room is not to be trusted: the student's code runs there. What the rooms say to
each other is in rooms.py.
"""

import json
import socket
import struct
from dataclasses import asdict, dataclass, field
from typing import Any

from utils.course.sandbox import Entrance, Limits

SETUP, AT, DEFINED, TESTED, FAILED, GONE = "set-up", "at", "defined", "tested", "failed", "gone"  # kinds of replies
HEAD = struct.Struct("!I")  # the length of what follows


@dataclass(frozen=True)
class Enter:
    """Fork a child that walks into the room behind `entrance`, to work beside the notebooks in `folder`."""

    folder: str
    limits: Limits
    entrance: Entrance
    tests: bool = False  # it is the room of the tests

    @classmethod
    def read(cls, data: bytes) -> "Enter":
        order = json.loads(data)
        return cls(order["folder"], Limits(**order["limits"]), Entrance(**order["entrance"]), order["tests"])


@dataclass(frozen=True)
class Define:
    """Run the set-up and then the student's cells, (exercise or "", source) each; none in the room of the tests."""

    setup: list[str]
    cells: list[tuple[str, str]]


@dataclass(frozen=True)
class Test:
    """Run these test cells, (exercise, source, names that it uses) each; `cells` are the student's, to be quoted."""

    tests: list[tuple[str, str, list[str]]]
    cells: list[str]


@dataclass(frozen=True)
class Reply:
    """One message of a child. `name` is the exercise that it is about, where there is one."""

    kind: str
    name: str = ""
    errors: dict[str, str] = field(default_factory=dict)  # of DEFINED: exercise -> how its cell ended
    score: float | None = None
    line: str = ""  # of TESTED: the verdict; of FAILED and GONE: why
    uncrossed: str = ""  # of TESTED: why a value could not be handed to the test, "" if all could


def encode(message: Enter | Define | Test | Reply) -> bytes:
    return json.dumps(asdict(message)).encode()


def send(link: socket.socket, message: Define | Test | Reply) -> None:
    data = encode(message)
    link.sendall(HEAD.pack(len(data)) + data)


class Frames:
    """Cuts the bytes that arrive into messages of at most `limit` bytes."""

    def __init__(self, limit: int):
        self.limit, self.data = limit, b""

    def add(self, data: bytes) -> None:
        self.data += data

    def next(self) -> bytes | None:
        """Return the next whole message, None if there is none yet; ValueError for one that is too long."""
        if len(self.data) < HEAD.size:
            return None
        end = HEAD.size + HEAD.unpack(self.data[: HEAD.size])[0]
        if end > self.limit:
            raise ValueError("sent a message that is too long")
        if len(self.data) < end:
            return None
        message, self.data = self.data[HEAD.size : end], self.data[end:]
        return message


def receive(link: socket.socket) -> dict[str, Any]:
    """Wait for the grader's next order; EOFError at the end of the connection."""
    return json.loads(exactly(link, HEAD.unpack(exactly(link, HEAD.size))[0]))


def exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = link.recv(min(65536, size - len(data)))
        if not part:
            raise EOFError("the grader has gone")
        data += part
    return data


def read_reply(data: bytes) -> Reply:
    """Return what a child sent, cut to sizes that a report can hold; ValueError if it is no message."""
    try:
        message = json.loads(data)
        reply = Reply(**message)
    except (ValueError, RecursionError, TypeError):
        raise ValueError("sent something that is not a message") from None
    words = (reply.kind, reply.name, reply.line, reply.uncrossed)
    if not (
        all(isinstance(word, str) for word in words)
        and (reply.score is None or type(reply.score) in (int, float))
        and isinstance(reply.errors, dict)
    ):
        raise ValueError("sent something that is not a message")
    return Reply(
        reply.kind,
        reply.name,
        {name: str(text)[:500] for name, text in reply.errors.items()},
        reply.score,
        reply.line[:1000],
        reply.uncrossed[:300],
    )
