"""Scripts that walk: one explores by what it sees, one goes north, whatever it sees."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from assay.types import Message, Tool


@dataclass
class Seen:
    """A room as a message shows it."""

    room: str
    ways: dict[str, str]
    """Direction to the colour of the door there; empty for no door."""
    key: bool
    held: set[str]


def look(text: str) -> Seen | None:
    """Return the room that a message shows; None where it shows none."""
    found = re.search(r"You are in the (.+?)\. Ways: ([^.]+)\.(.*)", text)
    if not found:
        return None
    ways = re.findall(r"(north|east|south|west)(?: \((\w+) door\))?", found[2])
    held = re.search(r"You hold: ([^.]+)\.", found[3])
    return Seen(found[1], dict(ways), "You see" in found[3], set(re.findall(r"(\w+) key", held[1])) if held else set())


@dataclass
class Explorer:
    """Takes each key that it sees, and goes to the nearest way that it has not gone and can go."""

    _map: dict[str, Seen] = field(default_factory=dict)
    _led: dict[tuple[str, str], str] = field(default_factory=dict)
    _came: tuple[str, str] | None = None

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        seen = look(messages[-1].content)
        assert seen is not None, "every answer shows the room"
        if self._came is not None:
            self._led[self._came] = seen.room
        self._map[seen.room] = seen
        if seen.key:
            self._came = None
            return Message("assistant", "take")
        move = self._toward_new(seen)
        self._came = (seen.room, move)
        return Message("assistant", move)

    def _toward_new(self, seen: Seen) -> str:
        queue = deque([(seen.room, "")])
        visited = {seen.room}
        while queue:
            room, first = queue.popleft()
            open_ways = [way for way, colour in self._map[room].ways.items() if not colour or colour in seen.held]
            for way in open_ways:
                if (room, way) not in self._led and not self._is_back(room, way):
                    return first or way
            for way in open_ways:
                other = self._other(room, way)
                if other is not None and other not in visited:
                    visited.add(other)
                    queue.append((other, first or way))
        return next(iter(seen.ways))

    def _other(self, room: str, way: str) -> str | None:
        """The room that a way leads to: it was gone, or one came by it."""
        if (room, way) in self._led:
            return self._led[room, way]
        back = {"north": "south", "south": "north", "east": "west", "west": "east"}[way]
        return next((a for (a, gone), b in self._led.items() if b == room and gone == back), None)

    def _is_back(self, room: str, way: str) -> bool:
        return self._other(room, way) is not None


class Northward:
    """Goes north, whatever it sees."""

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        return Message("assistant", "north")
