"""Tokenizer of an answer's text: one spelling of what is drawn alike, looks read over."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from assay.verifiers.mathematics import notation

# No group of thousands stands behind a zero alone: 0{,}125 is an eighth.
_THOUSANDS = re.compile(r"(?<=\d)(?<!(?<![\d.,}])0)(?:\\[,!;: ]|\{,\})(?=\d{3}(?!\d))")
_SPACED_THOUSANDS = re.compile(r"(?<=\d)(?<!(?<![\d.,}])0), ?\\! ?(?=\d{3}(?!\d))")
_DECIMAL_COMMA = re.compile(r"(?<![\d.,}])(\d+)\{,\}(?=\d+(?!\d|\{,\}|[.,]\d))")
_OPEN_FROM_OUTSIDE = re.compile(r"\](\s*[^][(){}=]+,[^][(){}=]+)([\[\]])|\[(\s*[^][(){}=]+,[^][(){}=]+)\[")
_DOTTED = re.compile(r"(\d*\.\d*)\\dot ?\{?(\d)\}?(\d*)\\dot ?\{?(\d)\}?")
_COMBINATIONS = (
    (re.compile(r"(?:\{ ?\})? ?_ ?\{? ?(\w+) ?\}? ?C ?_ ?\{? ?(\w+) ?\}?"), r"\\binom{\1}{\2}"),
    (re.compile(r"(?:\{ ?\})? ?\^ ?\{? ?(\d+) ?\}? ?C ?_ ?\{? ?(\d+) ?\}?"), r"\\binom{\1}{\2}"),
    (re.compile(r"(?<![A-Za-z\\])C ?_ ?\{? ?(\d+) ?\}? ?\^ ?\{? ?(\d+) ?\}?"), r"\\binom{\1}{\2}"),
    (re.compile(r"(?<![A-Za-z\\])C ?\^ ?\{? ?(\d+) ?\}? ?_ ?\{? ?(\d+) ?\}?"), r"\\binom{\2}{\1}"),
    (re.compile(r"(?<![\w\\])(\d+)C(\d+)(?!\w)"), r"\\binom{\1}{\2}"),
)
_CHOOSE = re.compile(r"\{([^{}\\]*)\\choose(?![a-zA-Z])([^{}\\]*)\}")
_TOKEN = re.compile(
    r"""
    (?P<space>\s+|~)
  | (?P<repeating> \d*\.\d* (?: \\(?:overline|bar|overbar|dot)\ ?\{?\ ?\d+\ ?\}?
                              | \(\d{1,30}\)(?![\d^!]) ) )
  | (?P<ellipsis> \d*\.\d+ \s*(?:\.\.\.|\\ldots|\\dots|\\cdots)(?![a-zA-Z]) )
  | (?P<number> (?: [1-9]\d{0,2}(?:,\d{3})+(?![\d,]*\d) (?:\.\d+)? | \d+(?:\.\d+)? | \.\d+ )
  (?:[eE][+-]?\d{1,4}(?![\da-zA-Z]))? ) | (?P<command> \\(?:[a-zA-Z]+\*?|.) | \\$ ) | (?P<run> [^\W\d_]+ ) |
  (?P<relation> <=|>=|=<|=>|!=(?!=)|==|[=<>] ) | (?P<prime> '+ ) | (?P<dots> \.\.\.+ ) | (?P<sign> \*\* |
  [-+*/^_(){}\[\]|,;:&!%$."`] ) | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_DEGREES = re.compile(
    r"\^ ?(?:\{ ?\\circ ?\}|\\circ(?![a-zA-Z]))|\^ ?(?:\{ ?\\degree ?\}|\\degree(?![a-zA-Z]))"
    r"|(?<=\d)\^ ?(?:\{ ?(?:o|\\(?:text|mathrm)\{ ?o ?\}) ?\}|o(?![a-zA-Z]))"
)
_PRIMES = re.compile(r"\^ ?(?:\{ ?((?:\\prime ?|')+)\}|(\\prime(?![a-zA-Z])))")
_COMMAND = re.compile(r"\\(?:([a-zA-Z]+)|.)")
_OPEN_OR_CLOSE = re.compile(r"\\.|[{}]", re.DOTALL)


@dataclass(frozen=True)
class Token:
    """One sign of an answer."""

    kind: str
    """number, run (letters), command, text (upright words), open, close, relation, prime, begin, end, or the sign
    itself ("+", "^", ",", "|", "and", "or", "%", "degree", "currency", "row")."""
    text: str = ""
    value: Fraction | None = None
    spaced: bool = False
    """True where a space stands before the token."""


def tidy(text: str) -> str:
    """The text of an answer without what surrounds it: dollar signs, emphasis, quotation marks, a final period."""
    text = re.sub(r"\s+", " ", text).strip()
    before = None
    while before != text:
        before = text
        text = text.rstrip(".,;" if not text.endswith(("\\,", "\\;", "...")) else "").strip()
        for opening, closing in _AROUND:
            if len(text) > len(opening + closing) and text.startswith(opening) and text.endswith(closing):
                inside = text[len(opening) : -len(closing)]
                if opening.strip("*_") and opening in inside:
                    continue
                text = inside.strip()
    return text


_AROUND = (
    ("\\(", "\\)"),
    ("\\[", "\\]"),
    *((sign, sign) for sign in ("$$", "$", "**", "__", "*", "`", '"', "''", "'")),
)


def tokenize(text: str) -> list[Token]:
    """The tokens of an answer; linear in its length."""
    text = tidy(text)
    for sign, spelling in notation.SAME_SIGN.items():
        if sign in text:
            text = text.replace(sign, spelling)
    text = _DEGREES.sub(r"\\degree ", text)
    text = _PRIMES.sub(lambda match: "'" * (match[1] or match[2]).replace("\\prime", "'").count("'"), text)
    text = _SPACED_THOUSANDS.sub("", text)
    text = _DECIMAL_COMMA.sub(r"\1.", _THOUSANDS.sub("", text.replace("\\!", "")))
    text = _DOTTED.sub(r"\1\\overline{\2\3\4}", text)
    text = _OPEN_FROM_OUTSIDE.sub(_from_inside, text)
    if "C" in text:
        for pattern, spelling in _COMBINATIONS:
            text = pattern.sub(spelling, text)
    text = _CHOOSE.sub(r"\\binom{\1}{\2}", text)
    return _Scanner(_braced(text)).tokens()


def _from_inside(match: re.Match[str]) -> str:
    if match[3] is not None:
        return f"[{match[3]})"
    return f"({match[1]}{')' if match[2] == '[' else ']'}"


def matching_braces(text: str) -> dict[int, int]:
    """The place of the closing brace of each opening one that is closed."""
    found: dict[int, int] = {}
    stack: list[int] = []
    for match in _OPEN_OR_CLOSE.finditer(text):
        if match.group() == "{":
            stack.append(match.start())
        elif match.group() == "}" and stack:
            found[stack.pop()] = match.start()
    return found


def argument_end(text: str, start: int, braces: dict[int, int], depth: int = 0) -> int | None:
    """Return the end of the argument that a TeX command takes at this place: a group, one character, or a command with
    the arguments of its own. None where there is none."""
    while start < len(text) and text[start] == " ":
        start += 1
    if start >= len(text) or depth > 8 or text[start] in "}&$":
        return None
    if text[start] == "{":
        return None if start not in braces else braces[start] + 1
    command = _COMMAND.match(text, start)
    if not command:
        return start + 1
    end: int | None = command.end()
    name = notation.COMMANDS.get(command[1] or "", command[1] or "")
    arity = notation.ARITY.get(name, 0) or (1 if name in notation.TEXTS or name in notation.STYLES else 0)
    if name == "sqrt" and text[end : end + 1] == "[":
        close = text.find("]", end)
        end = close + 1 if close > 0 else end
    for _ in range(arity):
        assert end is not None
        end = argument_end(text, end, braces, depth + 1)
        if end is None:
            return None
    return end


def _braced(text: str) -> str:
    """The text with braces around every argument of a command that TeX reads without."""
    braces = matching_braces(text)
    opened: dict[int, int] = {}
    closed: dict[int, int] = {}
    for command in re.finditer(r"\\([a-zA-Z]+)", text):
        name = notation.COMMANDS.get(command[1], command[1])
        place = command.end()
        if name == "sqrt":
            option = re.compile(r" ?\[[^]\[]*\]").match(text, place)
            place = option.end() if option else place
        for _ in range(notation.ARITY.get(name, 0)):
            while place < len(text) and text[place] == " ":
                place += 1
            end = argument_end(text, place, braces)
            if end is None:
                break
            if text[place] == "(" and name == "sqrt":
                break
            if text[place] != "{":
                opened[place] = opened.get(place, 0) + 1
                closed[end] = closed.get(end, 0) + 1
            place = end
    if not opened:
        return text
    parts, last = [], 0
    for place in sorted({*opened, *closed}):
        parts += [text[last:place], "}" * closed.get(place, 0), "{" * opened.get(place, 0)]
        last = place
    return "".join([*parts, text[last:]])


class _Scanner:
    """Goes through the text once; groups whose command is read over stay as braces."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.braces = matching_braces(text)
        self.place = 0
        self.spaced = False
        self.brackets = 0
        self.found: list[Token] = []

    def tokens(self) -> list[Token]:
        while self.place < len(self.text):
            match = _TOKEN.match(self.text, self.place)
            assert match is not None
            self.place = match.end()
            getattr(self, f"_{match.lastgroup}")(match.group())
        return self.found

    def _add(self, kind: str, text: str = "", value: Fraction | None = None) -> None:
        if kind in ("(", "[", "open", "langle"):
            self.brackets += 1
        elif kind in (")", "]", "close", "rangle"):
            self.brackets -= 1
        self.found.append(Token(kind, text, value, self.spaced))
        self.spaced = False

    def _space(self, text: str) -> None:
        self.spaced = True

    def _repeating(self, text: str) -> None:
        whole, again = re.findall(r"\d*\.\d*|\d+", text)[:2]
        self._add("number", "repeating", repeating(whole, again))

    def _ellipsis(self, text: str) -> None:
        digits = re.match(r"(\d*)\.(\d+)", text)
        assert digits is not None
        # The last digits again and again: 0.333..., 0.1666..., 0.1818...
        again = re.search(r"(\d{1,15}?)\1{2,}$|(\d{2,15}?)\2$", digits[2][-60:])
        if again is None:
            self._add("other", text)
            return
        block = again[1] or again[2]
        self._add("number", "repeating", repeating(f"{digits[1]}.{digits[2]}", block))

    def _number(self, text: str) -> None:
        if self.brackets > 0 and "," in text:
            # In brackets the comma separates: (1,234) is a pair.
            first = text.index(",")
            self.place -= len(text) - first
            text = text[:first]
        self._add("number", text, Fraction(Decimal(text.replace(",", ""))))

    def _run(self, text: str) -> None:
        lower = text.lower()
        if lower in ("or", "and"):
            self._add(lower)
            return
        before = self.found[-1].kind if self.found else ""
        joint = re.match("or|and", text)
        if joint and before in ("number", ")", "]", "}", "close") and not self.spaced:
            self._add(joint.group())
            text = text[joint.end() :]
        if text in notation.BARE_WORDS and len(text) > 1:
            self._add("command", notation.BARE_WORDS[text])
        elif text:
            self._add("run", text)

    def _relation(self, text: str) -> None:
        if text == "!=" and self.found and self.found[-1].kind in ("number", ")") and not self.spaced:
            self._add("!")
            text = "="
        self._add("relation", notation.RELATIONS[text])

    def _prime(self, text: str) -> None:
        self._add("prime", text)

    def _dots(self, text: str) -> None:
        self._add("other", "\\ldots")

    def _other(self, text: str) -> None:
        self._add("other", text)

    def _sign(self, text: str) -> None:
        if text == "**":
            text = "^"
        if text == "$":
            # A currency sign before or after a number; else the border of a formula.
            following = self.text[self.place : self.place + 1]
            if (self.text.count("$") % 2 and (following.isdigit() or following == ".")) or (
                self.text.count("$") % 2 and self.place == len(self.text)
            ):
                self._add("currency", "dollar")
            else:
                self.spaced = True
        elif text == '"':
            self._add("prime", "''")
        elif text in "`":
            self.spaced = True
        else:
            self._add(text)

    def _command(self, text: str) -> None:
        name = notation.COMMANDS.get(text[1:], text[1:])
        if name in notation.SPACES or name == "":
            self.spaced = True
        elif re.fullmatch("q?quad[a-zA-Z]+", name):
            # \\quadx: a space that was not parted from the letter behind it.
            self.spaced = True
            self.place -= len(name) - name.index("quad") - len("quad")
        elif name in notation.READ_OVER:
            if self.text[self.place : self.place + 1] == "." and name in ("left", "right"):
                self._add("other", "\\left.")
        elif name in notation.STYLES:
            pass
        elif name in notation.FIRST_ARGUMENT_IS_LOOKS:
            for _ in range(notation.FIRST_ARGUMENT_IS_LOOKS[name]):
                self._argument()
        elif name in notation.UNSEEN:
            self._argument()
        elif name in notation.TEXTS:
            content = self._argument()
            if content is not None:
                self._upright(content, is_math=name in ("mathrm", "mathup", "operatorname", "operatorname*"))
        elif name in ("begin", "end"):
            environment = self._argument() or ""
            if name == "begin" and environment in ("array",):
                self._argument()
            self._add(name, environment.strip())
        elif name in ("mathbb", "Bbb", "mathds"):
            letter = (self._argument() or "").strip()
            self._add("command", {"R": "reals"}.get(letter, f"mathbb {letter}"))
        elif name == "prime":
            self._add("prime", "'")
        elif name in ("circ", "degree"):
            self._add("degree")
        elif name in notation.RELATION_COMMANDS:
            self._add("relation", notation.RELATION_COMMANDS[name])
        elif name in ("times", "cdot"):
            self._add("*")
        elif name == "div":
            self._add("/")
        elif name in ("$", *_CURRENCY):
            self._add("currency", {"$": "dollar", "pounds": "pound sterling"}.get(name, name))
        elif name in ("(", ")") and not self.found:
            self.spaced = True
        elif name == "%":
            self._add("%")
        elif name in ("|", ":", "[", "]", "(", ")", "&", "or", "and", "langle", "rangle"):
            self._add(name)
        elif name == "{":
            self._add("open", "{")
        elif name == "}":
            self._add("close", "}")
        elif name in ("\\", "cr", "newline"):
            self._add("row")
        else:
            self._add("command", name)

    def _argument(self) -> str | None:
        """The text of a group, or of one token, which is skipped."""
        while self.text[self.place : self.place + 1] == " ":
            self.place += 1
        end = argument_end(self.text, self.place, self.braces)
        if end is None:
            return None
        content = self.text[self.place : end]
        self.place = end
        return content[1:-1] if content.startswith("{") else content

    def _upright(self, content: str, is_math: bool) -> None:
        """Words in \\text{} and the like: a function, a letter, what joins two answers, or a text."""
        plain = " ".join(content.replace("~", " ").split())
        bare = plain.strip(" .,").lower()
        if bare in ("or", "and"):
            self._add(bare)
        elif plain in notation.BARE_WORDS:
            self._add("command", notation.BARE_WORDS[plain])
        elif is_math and plain in ("e", "i", "d", "\\pi"):
            self._add("command", "pi") if plain == "\\pi" else self._add("upright", plain)
        elif plain == "" or plain in ("$",):
            self.spaced = True
        else:
            self._add("text", plain)


_CURRENCY = ("cent", "euro", "pounds", "yen")


def repeating(written: str, again: str) -> Fraction:
    """The value of a decimal whose last digits go on for ever.

    Example:
        >>> repeating("0.1", "6")
        Fraction(1, 6)
    """
    digits = written.partition(".")[2]
    scale = Fraction(1, 10 ** len(digits))
    return Fraction(Decimal(written if written.strip(".") else "0")) + scale * Fraction(
        int(again), 10 ** len(again) - 1
    )


def spelled(tokens: list[Token]) -> str:
    """LaTeX of tokens in one spelling: equal for answers that look alike."""
    return "".join(map(_spelled, tokens))


def _spelled(token: Token) -> str:
    if token.kind == "number":
        whole = token.value is not None and token.value.denominator == 1
        return f"{' ' if token.spaced else ''}{token.value if whole or token.text == 'repeating' else token.text}"
    if token.kind in ("begin", "end"):
        return f"\\{token.kind}{{{token.text}}}"
    if token.kind in ("open", "close"):
        return f"\\{token.text}"
    if token.kind == "text":
        return f"\\text{{{token.text}}}"
    if token.kind == "command":
        return f"\\{token.text} "
    if token.kind in ("langle", "rangle"):
        return f"\\{token.kind} "
    if token.kind in _COMMANDS:
        return _COMMANDS[token.kind]
    if token.kind == "relation":
        return f"\\{token.text} " if token.text.isalpha() else token.text
    if token.kind in ("run", "upright", "prime", "other"):
        return f"{' ' if token.spaced and token.kind == 'run' else ''}{token.text}"
    return f" {token.kind} " if token.kind in ("and", "or") else token.kind


_COMMANDS = {"degree": "^\\circ ", "row": "\\\\ ", "*": "\\cdot ", "currency": "\\$", "%": "\\%"}
