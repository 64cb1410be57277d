"""Units of measurement: which words after a number are its unit, and whether two units are one."""

from __future__ import annotations

import re

from assay.verifiers.mathematics.notation import words

BARE = words(
    "mm cm dm km inch inches foot feet ft yard yards yd mile miles mi kg mg gram grams pound pounds lb lbs ounce "
    "ounces oz ton tons tonne tonnes liter liters litre litres ml gallon gallons cup cups second seconds sec secs "
    "minute minutes min mins hour hours hr hrs day days week weeks month months year years yr yrs dollar dollars "
    "cent cents euro euros degree degrees deg radian radians rad unit units mph kmh kph point points people "
    "student students percent percentage pct square cubic sq cu meter meters metre metres centimeter centimeters "
    "centimetre centimetres millimeter millimeters kilometer kilometers kilometre kilometres kilogram kilograms "
    "am pm per usd"
)
"""Words that are a unit after a number without \\text{}. No single letter: 2m may be two times m."""

# One name for each unit: what it is written as, with its power.
NAMES: dict[str, dict[str, int]] = {}
for line in """
metre: m meter metre
centimetre: cm centimeter centimetre
millimetre: mm millimeter millimetre
kilometre: km kilometer kilometre
micrometre: microm micron micrometer
microgram: microg
microsecond: micros
microlitre: microL microl
decimetre: dm decimeter decimetre
inch: in inch inche
foot: ft foot feet
yard: yd yard
mile: mi mile
gram: g gram gm gramme
kilogram: kg kilogram kilo
milligram: mg milligram
pound: lb lbs pound
ounce: oz ounce
ton: ton tonne
litre: l liter litre L
millilitre: ml mL milliliter millilitre
gallon: gal gallon
cup: cup
second: s sec second
minute: min minute
hour: h hr hour
day: day d
week: week wk
month: month
year: yr year
dollar: dollar usd buck
cent: cent
euro: euro eur
pound sterling: gbp
yen: yen jpy
percent: percent pct percentage
degree: degree deg
radian: rad radian
celsius: celsius
fahrenheit: fahrenheit
kelvin: K kelvin
unit: unit
newton: N newton
joule: J joule
watt: W watt
volt: V volt
ampere: A ampere amp
hertz: Hz hertz
pascal: Pa pascal
am: am
pm: pm
ordinal: st nd rd th
""".strip().splitlines():
    name, _, spellings = line.partition(": ")
    for spelling in spellings.split():
        NAMES[spelling] = {name: 1}
NAMES |= {
    "mph": {"mile": 1, "hour": -1},
    "kmh": {"kilometre": 1, "hour": -1},
    "kph": {"kilometre": 1, "hour": -1},
    "mps": {"metre": 1, "second": -1},
    "cc": {"centimetre": 3},
}
SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
"""Words that multiply the number before them."""
CURRENCIES = {"$": "dollar", "cent": "cent", "euro": "euro", "pounds": "pound sterling", "yen": "yen"}

_SHORT = re.compile(
    "[msghlLJNWVAKCF]|[cdkm]m|[kmn]s|k[gJNWVB]|m[gJVALl]|[dc][lL]|gm|[MGT][WB]|Hz|Pa|eV|in|ft|yd|mi|lb|oz|hr|sq|cu|cc|"
    "yr|wk|am|pm|AM|PM|of|st|nd|rd|th"
)
"""All words of one or two letters that a unit may have: other letters are factors (2xy), other words join or deny."""
_NUMBER_WORD = re.compile(
    "(?:zero|one|two|three|four|fi(?:ve|f)|six|seven|eight?|nine?|ten|eleven|twel(?:ve|f)|"
    "(?:thir|four|fif|six|seven|eigh|nine)teen|(?:twen|thir|for|fif|six|seven|eigh|nine)t(?:y|ie)|hundred|thousand|"
    "[a-z]*illi(?:on|ard)|mln|mio|bln|lakh|crore|googol|dozen|score|gross|myriad|hal(?:f|ve)|quarter|third|pi|tau|"
    "infinity)+(?:s|ths?)?"
)
_NO_UNIT = words(
    # What changes the number,
    "plus minus times over divided multiplied added subtracted raised power exponent squared cubed factorial "
    "factorials double doubled doubles triple tripled triples quadruple quadrupled halved twice thrice negated "
    "inverted reciprocal itself choose mod modulo base binary ternary octal hex hexadecimal repeat repeating "
    "repeated recurring"
    # what denies it, and what says that it may be another.
    "and not nor but none never either neither maybe perhaps possibly probably likely presumably approximately "
    "approx about around roughly nearly almost circa unknown undefined unsure uncertain else otherwise "
    "alternatively instead rather than versus except unless without more less fewer greater least most from "
    "through until between was were could would should might cannot wrong false incorrect invalid actually wait "
    "sorry guess think believe another both any or if where when"
)
_NEEDS_A_NOUN = words("square cubic cube sq cu negative inverse imaginary per of")
"""Words that change the number where they stand alone: 5 square is 25, 5 square feet are 5."""
_PIECE = re.compile(r"[^\W\d_]+(?:\.(?=[^\W\d_]\.))?|\^\{?\s*-?\d\s*\}?|-?\d|[/*()%$°]|\S")
_DENIED_SIGNS = re.compile(r"[<>=+!?\d]")


def unit_of(text: str) -> str | None:
    """The canonical form of a unit that is written as plain text ("square inches", "m/s^2", "miles per hour"); None
    where the words are no unit: a number, something to work out, something that takes the value back.

    Example:
        >>> unit_of("ft/s^2"), unit_of("square feet"), unit_of("million")
        ('foot*second^-2', 'foot^2', None)
    """
    text = re.sub(r"\b([ap])\. ?m\b\.?", r"\1m", text.strip(" .,;").lower() if len(text) > 4 else text.strip(" .,;"))
    text = re.sub(r"\bper cent\b", "percent", text)
    text = re.sub(r"\bdegrees? (celsius|fahrenheit)\b", r"\1", text, flags=re.IGNORECASE)
    text = re.sub(r"(?<=[a-z])\.(?= |$)", "", text)
    powers: dict[str, int] = {}
    phrase: list[str] = []
    sign, prefix, last, words = 1, 1, None, 0
    for piece in _PIECE.findall(text):
        power = re.fullmatch(r"\^?\{?\s*(-?\d)\s*\}?", piece)
        if power:
            if last is None or int(power[1]) not in (-4, -3, -2, -1, 1, 2, 3, 4):
                return None
            # Of the unit before it, which counts once already.
            powers[last] = powers.get(last, 0) + (int(power[1]) - 1) * (1 if powers.get(last, 1) > 0 else -1)
            last = None
            continue
        if piece == "/" or piece.lower() == "per":
            if not powers and not phrase:
                # "$3 per hour": of what stood before it.
                pass
            sign = -1
            continue
        if piece in "*()":
            continue
        name = {"%": {"percent": 1}, "$": {"dollar": 1}, "°": {"degree": 1}}.get(piece)
        if name is None:
            if not piece[0].isalpha() or not _is_unit_word(piece):
                return None
            words += 1
            if piece.lower() in ("square", "sq", "cubic", "cu"):
                prefix = 2 if piece.lower() in ("square", "sq") else 3
                continue
            name = _named(piece)
        if name is None:
            singular = piece.lower().removesuffix("s") if len(piece) > 3 else piece.lower()
            phrase.append(singular)
            name = {singular: 1}
        for one, times in name.items():
            powers[one] = powers.get(one, 0) + times * sign * prefix
        last = next(iter(name)) if len(name) == 1 else None
        sign, prefix = 1, 1
    if prefix != 1 or (words and text.split()[-1].lower().strip("()") in _NEEDS_A_NOUN):
        return None
    units = sorted((one, power) for one, power in powers.items() if power)
    return "*".join(one if power == 1 else f"{one}^{power}" for one, power in units)


def same_unit(first: str, second: str) -> bool:
    """Return True where two canonical units are the same, or one is left out. Of words that are no units of
    measurement, such as "red apple", one side may say more than the other."""
    if not first or not second or first == second:
        return True
    a, b = _factors(first), _factors(second)
    if "dollar" in a and "dollar" in b and (len(a) == 1 or len(b) == 1):
        # A price by the hour is a price.
        return True
    if all(name in _MEASURED for name in a) and all(name in _MEASURED for name in b):
        return False
    return set(a) <= set(b) or set(b) <= set(a)


def _factors(unit: str) -> list[str]:
    return unit.split("*")


def _named(word: str) -> dict[str, int] | None:
    lower = word.lower()
    for spelling in (word, lower, lower.removesuffix("s")):
        if spelling in NAMES:
            return NAMES[spelling]
    return None


def _is_unit_word(word: str) -> bool:
    if len(word) < 3:
        return _SHORT.fullmatch(word) is not None
    lower = word.lower()
    return lower.isalpha() and lower not in _NO_UNIT and not _NUMBER_WORD.fullmatch(lower)


_MEASURED = frozenset(name for names in NAMES.values() for name in names) | {
    f"{name}^{power}" for names in NAMES.values() for name in names for power in range(-4, 5)
}
