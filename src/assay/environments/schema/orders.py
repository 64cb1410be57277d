"""Orders: records that are drawn, the text that tells of them, and the schema that they are to be put in."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

ITEMS = (
    "lamp",
    "chair",
    "kettle",
    "mirror",
    "basket",
    "clock",
    "blanket",
    "bookcase",
    "teapot",
    "stool",
    "ladder",
    "vase",
)
PEOPLE = (
    "Ada Moss",
    "Ben Cole",
    "Cleo Hart",
    "Dov Stern",
    "Eva Lind",
    "Finn Reed",
    "Gia Rossi",
    "Hal Wood",
    "Ida Berg",
)
CITIES = ("Arles", "Bern", "Cadiz", "Delft", "Essen", "Ghent", "Kiel", "Lund", "Metz", "Porto", "Riga", "Turin")
COLOURS = ("red", "blue", "green", "white", "black", "grey", "yellow", "brown")
SPEEDS: Mapping[str, str] = {
    "standard": "by ordinary post",
    "express": "in a hurry",
    "pickup": "to be fetched at the shop",
}
"""What a schema calls a way of delivery, and how a text says it. The schema's description joins the two."""
NOTES = ("ring twice", "leave it at the gate", "mind the dog", "call before noon", "use the back door")
_ASIDES = (
    "It rained on {day} and we sold {n} umbrellas.",
    "The shop has been open for {n} years.",
    "On {day} we were closed.",
    "Last week {n} people asked for the catalogue.",
)
_PROPERTIES: dict[int, dict[str, Any]] = {
    1: {
        "item": {"type": "string", "description": "what was ordered, in the singular and without its colours"},
        "quantity": {"type": "integer", "minimum": 1},
    },
    2: {
        "price": {"type": "number", "multipleOf": 0.01, "description": "of one piece, in euros"},
        "due": {"type": "string", "format": "date"},
        "delivery": {
            "enum": list(SPEEDS),
            "description": "; ".join(f"{name}: {said}" for name, said in SPEEDS.items()),
        },
    },
    3: {
        "customer": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "city": {"type": "string"}},
            "required": ["name", "city"],
            "additionalProperties": False,
        },
        "colours": {"type": "array", "items": {"enum": list(COLOURS)}, "uniqueItems": True, "minItems": 1},
    },
    4: {
        "payment": {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {
                        "kind": {"const": "card"},
                        "last_digits": {"type": "string", "pattern": "^[0-9]{4}$"},
                    },
                    "required": ["kind", "last_digits"],
                    "additionalProperties": False,
                },
                {
                    "type": "object",
                    "properties": {"kind": {"const": "invoice"}, "days": {"type": "integer", "minimum": 1}},
                    "required": ["kind", "days"],
                    "additionalProperties": False,
                },
            ]
        },
        "discount": {
            "anyOf": [{"type": "null"}, {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}],
            "description": "as a share of 1; null where there is none",
        },
        "note": {"type": "string", "description": "only where there is one"},
    },
}
"""Complexity to the properties that it adds to an order."""
MAX_COMPLEXITY = max(_PROPERTIES)


def schema_of(complexity: int) -> dict[str, Any]:
    """Return the schema of a list of orders."""
    properties = {name: part for level in range(1, complexity + 1) for name, part in _PROPERTIES[level].items()}
    order = {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name != "note"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"orders": {"type": "array", "items": order, "minItems": 1}},
        "required": ["orders"],
        "additionalProperties": False,
    }


def drawn_order(rng: random.Random, complexity: int) -> dict[str, Any]:
    """An order with the properties of a complexity, as plain JSON with numbers as they are to be written."""
    order: dict[str, Any] = {"item": rng.choice(ITEMS), "quantity": rng.randint(2, 60)}
    if complexity >= 2:
        day = date(2021, 1, 1) + timedelta(days=rng.randrange(1500))
        order |= {"price": Decimal(rng.randint(101, 29_999)) / 100, "due": day.isoformat()}
        order["delivery"] = rng.choice(tuple(SPEEDS))
    if complexity >= 3:
        order["customer"] = {"name": rng.choice(PEOPLE), "city": rng.choice(CITIES)}
        order["colours"] = rng.sample(COLOURS, rng.randint(1, 3))
    if complexity >= 4:
        card = {"kind": "card", "last_digits": f"{rng.randrange(10_000):04}"}
        order["payment"] = card if rng.random() < 0.5 else {"kind": "invoice", "days": rng.choice((7, 14, 30, 60))}
        order["discount"] = Decimal(rng.randint(1, 40)) / 100 if rng.random() < 0.5 else None
        if rng.random() < 0.5:
            order["note"] = rng.choice(NOTES)
    return order


def told(order: Mapping[str, Any], rng: random.Random) -> str:
    """Return sentences that say what an order holds, in words that its schema does not use."""
    colours = f"{_listed(order['colours'])} " if "colours" in order else ""
    what = f"{order['quantity']} {colours}{order['item']}s"
    who = f"{order['customer']['name']} of {order['customer']['city']}" if "customer" in order else "A customer"
    price = f" at {order['price']} euros each" if "price" in order else ""
    sentences = [rng.choice((f"{who} wants {what}{price}.", f"{who} has asked for {what}{price}."))]
    if "due" in order:
        day = said_day(date.fromisoformat(order["due"]))
        sentences.append(
            rng.choice(
                (
                    f"They are needed by {day}, {SPEEDS[order['delivery']]}.",
                    f"By {day}, please, {SPEEDS[order['delivery']]}.",
                )
            )
        )
    if "payment" in order:
        payment = order["payment"]
        card = payment["kind"] == "card"
        sentences.append(
            f"Paid with the card that ends in {payment['last_digits']}."
            if card
            else f"To be billed, payable within {payment['days']} days."
        )
        if order["discount"] is not None:
            sentences.append(f"We take off {order['discount'] * 100:.0f} percent.")
        if "note" in order:
            sentences.append(f'They said: "{order["note"]}".')
    return " ".join(sentences)


def aside(rng: random.Random) -> str:
    """Return a sentence about something else, with numbers or dates in it."""
    day = date(2021, 1, 1) + timedelta(days=rng.randrange(1500))
    return rng.choice(_ASIDES).format(day=said_day(day), n=rng.randint(2, 60))


def said_day(day: date) -> str:
    """Return a date in words: "5 March 2024"."""
    return f"{day.day} {day:%B} {day.year}"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
