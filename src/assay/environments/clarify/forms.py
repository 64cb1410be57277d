"""Order forms: what there is to be known of an order, and how questions and orders are read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from assay.environments.moves import plain

_COLOURS = ("red", "blue", "green", "white", "black")
_SIZES = ("tiny", "small", "medium", "large", "giant")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
_TIMES = ("morning", "noon", "afternoon", "evening", "night")

HANDOVER, DOOR, DELIVERY = "handover", "door", "delivery"
CONDITIONAL: Mapping[str, tuple[str, ...]] = {
    HANDOVER: ("pickup", DELIVERY),
    DOOR: ("front", "back", "side", "garage", "cellar"),
}
"""On the form of harder levels: the door matters for a delivery alone."""

FORMS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "cake": {
        "flavour": ("chocolate", "vanilla", "lemon", "carrot", "coconut"),
        "size": _SIZES,
        "shape": ("round", "square", "heart", "star", "oval"),
        "colour": _COLOURS,
        "topping": ("nuts", "cherries", "sprinkles", "cream", "fudge"),
        "candles": ("five", "ten", "twenty", "thirty", "forty"),
        "day": _DAYS,
        "time": _TIMES,
    },
    "pizza": {
        "crust": ("thin", "thick", "stuffed", "crispy", "soft"),
        "size": _SIZES,
        "sauce": ("tomato", "pesto", "garlic", "barbecue", "cream"),
        "cheese": ("mozzarella", "cheddar", "feta", "gouda", "parmesan"),
        "topping": ("mushrooms", "olives", "onions", "peppers", "ham"),
        "drink": ("water", "cola", "juice", "tea", "coffee"),
        "day": _DAYS,
        "time": _TIMES,
    },
    "shirt": {
        "colour": _COLOURS,
        "size": _SIZES,
        "fabric": ("cotton", "linen", "wool", "silk", "denim"),
        "sleeves": ("long", "short", "rolled", "half", "puffed"),
        "collar": ("pointed", "round", "high", "open", "flat"),
        "pattern": ("plain", "striped", "dotted", "checked", "floral"),
        "day": _DAYS,
        "time": _TIMES,
    },
    "bicycle": {
        "colour": _COLOURS,
        "size": _SIZES,
        "frame": ("steel", "aluminium", "carbon", "titanium", "bamboo"),
        "brakes": ("disc", "rim", "drum", "coaster", "hydraulic"),
        "saddle": ("leather", "gel", "foam", "racing", "wide"),
        "bell": ("brass", "chrome", "plastic", "copper", "wooden"),
        "day": _DAYS,
        "time": _TIMES,
    },
    "desk": {
        "wood": ("oak", "pine", "birch", "walnut", "maple"),
        "size": _SIZES,
        "legs": ("two", "three", "four", "five", "six"),
        "finish": ("oiled", "waxed", "painted", "raw", "varnished"),
        "handles": ("brass", "steel", "leather", "rope", "ceramic"),
        "edge": ("straight", "rounded", "bevelled", "wavy", "carved"),
        "day": _DAYS,
        "time": _TIMES,
    },
    "bouquet": {
        "flower": ("roses", "tulips", "lilies", "daisies", "orchids"),
        "colour": _COLOURS,
        "size": _SIZES,
        "wrapping": ("paper", "jute", "foil", "lace", "felt"),
        "vase": ("glass", "clay", "tin", "porcelain", "marble"),
        "card": ("birthday", "wedding", "thanks", "sympathy", "anniversary"),
        "day": _DAYS,
        "time": _TIMES,
    },
}
"""Thing that is ordered to what must be known of it, with the choices for each."""

OTHER_WORDS: Mapping[str, tuple[str, ...]] = {
    "flavour": ("flavor", "flavours", "flavors", "taste"),
    "size": ("sizes", "how big", "dimensions"),
    "colour": ("color", "colours", "colors", "hue"),
    "shape": ("shapes", "form"),
    "topping": ("toppings", "top it"),
    "candles": ("candle",),
    "day": ("days", "date", "weekday"),
    "time": ("what hour", "hour", "o'clock", "time of day"),
    "crust": ("dough", "base"),
    "sauce": ("sauces",),
    "cheese": ("cheeses",),
    "drink": ("drinks", "beverage"),
    "fabric": ("fabrics", "cloth", "material"),
    "sleeves": ("sleeve",),
    "collar": ("collars",),
    "pattern": ("patterns",),
    "frame": ("frames",),
    "brakes": ("brake",),
    "saddle": ("seat",),
    "bell": ("bells",),
    "wood": ("kind of wood", "timber"),
    "legs": ("leg",),
    "finish": ("finished",),
    "handles": ("handle",),
    "edge": ("edges",),
    "flower": ("flowers",),
    "wrapping": ("wrap", "wrapped"),
    "vase": ("vases",),
    "card": ("cards",),
    HANDOVER: ("hand over", "handed over"),
    DOOR: ("doors", "entrance"),
}
"""Words that ask for the same."""


def names_in(text: str, form: Mapping[str, Sequence[str]]) -> set[str]:
    """Return what a question asks for: what it names, in the form's words or others; where it names nothing, what the
    choices that it mentions belong to.

    Example:
        >>> names_in("What color would you like?", {"colour": ("red",), "size": ("small",)})
        {'colour'}
    """
    said = plain(text).lower()
    choosing = {name for name, choices in form.items() if any(has_word(said, choice) for choice in choices)}
    words = [(word, name) for name in form for word in (name, *OTHER_WORDS.get(name, ()))]
    named: set[str] = set()
    for word, name in sorted(words, key=lambda pair: -len(pair[0])):  # "time of day" is no day
        if has_word(said, word):
            named.add(name)
            said = said.replace(word, " ")
    return named or choosing


def read_order(text: str, form: Mapping[str, Sequence[str]]) -> dict[str, str] | None:
    """Return the choices of an order, what it names twice left out; None where the message is no order.

    An order begins with the word "order".

    Example:
        >>> read_order("Order: red, small", {"colour": ("red", "blue"), "size": ("small", "large")})
        {'colour': 'red', 'size': 'small'}
    """
    said = plain(text).lower()
    if not re.match(r"\W*order\b", said):
        return None
    found = {name: [choice for choice in choices if has_word(said, choice)] for name, choices in form.items()}
    return {name: choices[0] for name, choices in found.items() if len(choices) == 1}


def has_word(said: str, word: str) -> bool:
    """Return True where a text in small letters has this word, whole."""
    return re.search(rf"(?<!\w){re.escape(word.lower())}(?!\w)", said) is not None
