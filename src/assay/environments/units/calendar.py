"""Calendar: steps from date to date and from clock to clock, by the Gregorian calendar and the rules of time zones."""

from __future__ import annotations

import random
import re
import zoneinfo
from datetime import UTC, date, datetime, timedelta
from typing import Any

from assay.environments.units.topic import Form, Topic
from assay.errors import ConfigError

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
PLACES = {
    "London": "Europe/London",
    "Berlin": "Europe/Berlin",
    "New York": "America/New_York",
    "Los Angeles": "America/Los_Angeles",
    "Tokyo": "Asia/Tokyo",
    "Kolkata": "Asia/Kolkata",
    "Sydney": "Australia/Sydney",
    "Nairobi": "Africa/Nairobi",
    "Phoenix": "America/Phoenix",
}
"""Places whose clocks are read. Their rules of 2000 to 2020 are history, so that no later change of law moves an
answer."""
YEARS = (2000, 2020)
"""The years that a task stays in."""
LATEST_DAY = 28
"""Months are counted from and to days that every month has, so that "a month later" has one meaning."""

_DATE = re.compile(r"Start with (\d{4}-\d{2}-\d{2})\.")
_MOMENT = re.compile(r"Start with (\d{4}-\d{2}-\d{2} \d{2}:\d{2}) in ([A-Z][A-Za-z ]+)\.")
_SHIFT = re.compile(r"Go (\d+) (day|week|month|year|working day)s? (later|earlier)(?:, counting Monday to Friday)?\.")
_WEEKDAY = re.compile(rf"Go to the (first|last) ({'|'.join(WEEKDAYS)}) (after|before) that\.")
_CLOCK = re.compile(r"Go (\d+) hours? and (\d+) minutes? (later|earlier)\.")
_PLACE = re.compile(r"Read the clock in ([A-Z][A-Za-z ]+) at that moment\.")
_DAYS_AFTER = re.compile(r"How many days after (\d{4}-\d{2}-\d{2}) is that")

_KINDS = {1: ("day", "week"), 2: ("month", "year"), 3: ("weekday", "working day"), 4: ("clock", "place")}
"""Complexity to the steps that it brings. Clocks have days and weeks beside them, and another place at least once."""


def zone(place: str) -> zoneinfo.ZoneInfo:
    """Return the time zone of a place.

    Raises:
        ConfigError: this machine has no time-zone data.
    """
    try:
        return zoneinfo.ZoneInfo(PLACES[place])
    except zoneinfo.ZoneInfoNotFoundError:
        raise ConfigError(f"this machine knows no time zone {PLACES[place]}; install the package tzdata") from None


class Calendar(Topic):
    """Dates at complexity 1 to 3; moments, which have a place and its clock, at 4."""

    name = "calendar"

    def start(self, rng: random.Random, complexity: int) -> str:
        first = date(YEARS[0] + 3, 1, 1).toordinal()
        day = date.fromordinal(rng.randrange(first, date(YEARS[1] - 3, 12, 31).toordinal()))
        if complexity < 4:
            return f"Start with {day.isoformat()}."
        clock = f"{rng.randrange(5, 24):02}:{rng.randrange(0, 60, 5):02}"
        return f"Start with {day.isoformat()} {clock} in {rng.choice(tuple(PLACES))}."

    def opened(self, sentence: str) -> date:
        if found := _MOMENT.fullmatch(sentence):
            return _local(datetime.fromisoformat(found[1]), found[2])
        return date.fromisoformat(_matched(_DATE, sentence)[1])

    def step(self, rng: random.Random, complexity: int, state: Any, *, at_level: bool) -> str:
        levels = [complexity] if at_level else [1, 4] if complexity == 4 else list(range(1, complexity + 1))
        kind = "place" if at_level and complexity == 4 else rng.choice(_KINDS[rng.choice(levels)])
        way = rng.choice(("later", "earlier"))
        if kind == "weekday":
            side = ("first", "after") if way == "later" else ("last", "before")
            return f"Go to the {side[0]} {rng.choice(WEEKDAYS)} {side[1]} that."
        if kind == "clock":
            return f"Go {rng.randint(2, 47)} hours and {rng.randrange(5, 60, 5)} minutes {way}."
        if kind == "place":
            return f"Read the clock in {rng.choice(tuple(PLACES))} at that moment."
        most = {"day": 99, "week": 20, "month": 18, "year": 3, "working day": 25}[kind]
        counted = ", counting Monday to Friday" if kind == "working day" else ""
        return f"Go {rng.randint(2, most)} {kind}s {way}{counted}."

    def after(self, state: Any, sentence: str) -> Any:
        later = self._after(state, sentence)
        stays = later == state and later.tzinfo is state.tzinfo if isinstance(later, datetime) else later == state
        if stays or not YEARS[0] <= later.year <= YEARS[1]:
            raise ValueError(f"{sentence} leads nowhere, or out of {YEARS}")
        return later

    def _after(self, state: Any, sentence: str) -> Any:
        if found := _CLOCK.fullmatch(sentence):
            shift = _sign(found[3]) * timedelta(hours=int(found[1]), minutes=int(found[2]))
            return (state.astimezone(UTC) + shift).astimezone(state.tzinfo)
        if found := _PLACE.fullmatch(sentence):
            there = state.astimezone(zone(found[1]))
            if there.tzinfo is state.tzinfo:
                raise ValueError(f"it is {found[1]} already")
            return there.replace(fold=there.fold)
        if found := _WEEKDAY.fullmatch(sentence):
            sign = 1 if found[3] == "after" else -1
            return state + timedelta(days=sign * ((sign * (WEEKDAYS.index(found[2]) - state.weekday()) - 1) % 7 + 1))
        count, kind, way = _matched(_SHIFT, sentence).groups()
        number = _sign(way) * int(count)
        if kind in ("day", "week"):
            shift = timedelta(days=number * (7 if kind == "week" else 1))
            # The same time of day by the clock of the place, which must show it, and show it once.
            return _local(_wall(state) + shift, _place_of(state)) if isinstance(state, datetime) else state + shift
        if kind == "working day":
            return _working(state, number)
        if state.day > LATEST_DAY:
            raise ValueError(f"day {state.day} is not in every month")
        months = state.year * 12 + state.month - 1 + number * (12 if kind == "year" else 1)
        return state.replace(year=months // 12, month=months % 12 + 1)

    def question(self, rng: random.Random, complexity: int, first: Any, last: Any) -> tuple[str, Form]:
        if complexity == 4:
            return f"What do calendar and clock in {_place_of(last)} show then?", "moment"
        kind = rng.choice(("date", "weekday", "days")) if complexity == 3 else "date"
        if kind == "weekday":
            return "What day of the week is that?", "weekday"
        if kind == "days":
            return f"How many days after {first.isoformat()} is that (below zero where it is before)?", "number"
        return "What date is that?", "date"

    def answer(self, question: str, first: Any, last: Any) -> str:
        if isinstance(last, datetime):
            return last.strftime("%Y-%m-%d %H:%M")
        if question.startswith("What day"):
            return WEEKDAYS[last.weekday()]
        if found := _DAYS_AFTER.match(question):
            return str((last - date.fromisoformat(found[1])).days)
        return last.isoformat()


def _working(day: date, number: int) -> date:
    """The day so many days of Monday to Friday later; the first day does not count."""
    sign = 1 if number > 0 else -1
    while number:
        day += timedelta(days=sign)
        number -= sign * (day.weekday() < 5)
    return day


def _sign(way: str) -> int:
    return 1 if way == "later" else -1


def _matched(pattern: re.Pattern[str], sentence: str) -> re.Match[str]:
    found = pattern.fullmatch(sentence)
    if found is None:
        raise ValueError(f"{sentence!r} is no such sentence")
    return found


def _wall(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None, fold=0)


def _place_of(moment: Any) -> str:
    return next(place for place, key in PLACES.items() if key == str(moment.tzinfo))


def _local(wall: datetime, place: str) -> datetime:
    """The moment at which the clock of a place shows this.

    Raises:
        ValueError: it never does, or twice, since it is set forward or back in that night.
    """
    first, second = (wall.replace(tzinfo=zone(place), fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        raise ValueError(f"{wall} in {place} is not one moment")
    return first
