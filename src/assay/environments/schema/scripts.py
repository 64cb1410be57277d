"""Scripts that fill in the schema: one reads all of the text, one a part of it, one copies the schema's names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from assay.environments.schema.orders import COLOURS, SPEEDS
from assay.types import Message, Tool

MEMORY = 4
"""Orders that the script of limited means keeps in mind."""

_ORDER = re.compile(
    r"(?:A customer|(?P<name>[A-Z]\w+ [A-Z]\w+) of (?P<city>[A-Z]\w+)) (?:wants|has asked for) (?P<quantity>\d+) "
    r"(?P<colours>(?:[a-z]+,? (?:and )?)*)(?P<item>[a-z]+)s(?: at (?P<price>[\d.]+) euros each)?\."
)
_DAY = re.compile(r"\d{1,2} [A-Z][a-z]+ \d{4}")


def json_text(value: Any) -> str:
    """Return a value as JSON, with decimals as they are."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {json_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(json_text, value)) + "]"
    return format(value, "f") if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)


@dataclass
class LimitedReader:
    """Reads every order of the text."""

    most: int = 1_000
    """Orders that it reads."""
    is_flat: bool = False
    """True for one that leaves out what is nested: customer, colours and payment."""

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        text, _, rest = messages[-1].content.partition("\n\n")
        schema = json.loads(rest[rest.index("{") : rest.rindex("}") + 1])
        names = list(schema["properties"]["orders"]["items"]["properties"])
        found = list(self._orders(text, names))[: self.most]
        if self.is_flat:
            found = [{k: v for k, v in each.items() if not isinstance(v, dict | list)} for each in found]
        return Message("assistant", json_text({"orders": found}))

    def _orders(self, text: str, names: list[str]) -> Iterator[dict[str, Any]]:
        starts = list(_ORDER.finditer(text))
        for number, at in enumerate(starts):
            rest = text[at.end() : starts[number + 1].start() if number + 1 < len(starts) else len(text)]
            yield {name: value for name, value in self._order(at, rest, names) if name in names}

    def _order(self, at: re.Match[str], rest: str, names: list[str]) -> Iterator[tuple[str, Any]]:
        yield "item", at["item"]
        yield "quantity", int(at["quantity"])
        if "price" in names:
            day = re.search(rf"(?:needed by|By) ({_DAY.pattern})", rest)
            assert day is not None, "a text of ours"
            yield "price", Decimal(at["price"])
            yield "due", datetime.strptime(day[1], "%d %B %Y").date().isoformat()
            yield "delivery", next(name for name, said in SPEEDS.items() if said in rest)
        if "customer" in names:
            yield "customer", {"name": at["name"], "city": at["city"]}
            yield "colours", [word for word in re.findall(r"[a-z]+", at["colours"]) if word in COLOURS]
        if "payment" in names:
            card, days = re.search(r"ends in (\d{4})", rest), re.search(r"within (\d+) days", rest)
            yield (
                "payment",
                {"kind": "card", "last_digits": card[1]}
                if card
                else {"kind": "invoice", "days": int(days[1] if days else 0)},
            )
            off = re.search(r"take off (\d+) percent", rest)
            yield "discount", Decimal(off[1]) / 100 if off else None
            if note := re.search(r'They said: "([^"]+)"', rest):
                yield "note", note[1]


def misses(answer: str, value: dict[str, Any]) -> list[str]:
    """Return responses that are near a gold answer and are not it.

    Args:
        value: the answer, parsed.
    """
    orders = value["orders"]
    found = [f"Here it is: {answer}", answer[:-1], "{}", '{"orders": []}', answer.replace('"orders"', '"Orders"')]
    found += [_changed(value, item=orders[0]["item"] + "s"), _changed(value, quantity=str(orders[0]["quantity"]))]
    found += [_changed(value, quantity=orders[0]["quantity"] + 1), _changed(value, extra=1), _changed(value, item=None)]
    found.append(answer.replace('{"item"', '{"item": "x", "item"', 1))
    if len(orders) > 1:
        found.append(json_text({"orders": orders[:-1]}))
    if orders[0] != orders[-1]:
        found.append(json_text({"orders": orders[::-1]}))
    if "price" in orders[0]:
        price, due = orders[0]["price"], orders[0]["due"]
        near = price + Decimal("0.001"), price + Decimal("0.01"), str(price), price * 100
        found += [_changed(value, price=each) for each in near]
        spoiled = "2024-13-45", due.replace("-", ""), due.replace("-", "/"), f"{due}T00:00:00Z"
        found += [_changed(value, due=each) for each in spoiled]
        found += [_changed(value, delivery="fast"), answer.replace(f"{price}", "NaN", 1)]
    if "customer" in orders[0]:
        found += [_changed(value, customer=orders[0]["customer"]["name"]), _changed(value, colours="red")]
        found.append(_changed(value, colours=[*orders[0]["colours"], orders[0]["colours"][0]]))
    if "payment" in orders[0]:
        payment = {"kind": "card", "days": 7}
        found += [_changed(value, payment=payment), _changed(value, discount=0), _changed(value, note="")]
    return found


def _changed(value: dict[str, Any], **changes: Any) -> str:
    first, *others = value["orders"]
    return json_text({"orders": [{**first, **changes}, *others]})
