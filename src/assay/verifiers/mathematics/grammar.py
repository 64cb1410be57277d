"""Expressions: recursive descent over tokens.

    sum     = ["+" | "-"] term {("+" | "-") term}
    term    = factor {["*" | "/"] factor}
    factor  = atom {"!" | "!!" | degree | "^" exponent}
    atom    = number ["_" base] | letter ["_" index] [primes] ["(" sum {"," sum} ")"] | "(" sum ")" | "|" sum "|"
            | function ["_" base] ["^" exponent] argument | \\frac{sum}{sum} | \\sqrt[sum]{sum} | matrix | ...

What is beside this raises `NotReadError`, and its owner compares it as text.
"""

from __future__ import annotations

import re
from fractions import Fraction

from assay.verifiers.mathematics import notation
from assay.verifiers.mathematics.node import MAX_DEPTH, Node, number, symbols
from assay.verifiers.mathematics.terms import (
    MINUS_ONE,
    constant_or_symbol,
    in_base,
    is_function,
    negative,
    quotient,
    times,
)
from assay.verifiers.mathematics.tokens import Token, spelled


class NotReadError(Exception):
    """The grammar does not have this."""


CLOSING = {"(": ")", "[": "]", "{": "}"}


def read_expression(tokens: list[Token]) -> Node:
    """The tree of an expression.

    Raises:
        NotReadError: it is none.
    """
    grammar = Grammar(tokens)
    node = grammar.sum()
    if grammar.place != len(grammar.tokens):
        raise NotReadError(grammar.next.kind)
    return node


class Grammar:
    """Reads from a place in the tokens; `place` is where it stopped."""

    def __init__(self, tokens: list[Token], place: int = 0, depth: int = 0) -> None:
        self.tokens = tokens
        self.place = place
        self.depth = depth
        self.in_bars = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.place] if self.place < len(self.tokens) else _END

    def peek(self, ahead: int = 1) -> Token:
        place = self.place + ahead
        return self.tokens[place] if place < len(self.tokens) else _END

    def take(self, *kinds: str) -> Token:
        token = self.next
        if kinds and token.kind not in kinds:
            raise NotReadError(f"{token.kind} for {kinds}")
        self.place += 1
        return token

    def sum(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise NotReadError("deep")
        terms = []
        sign = "+"
        if self.next.kind in ("+", "-"):
            sign = self.take().kind
        while True:
            term = self.term()
            terms.append(negative(term) if sign == "-" else term)
            if self.next.kind not in ("+", "-"):
                break
            sign = self.take().kind
        self.depth -= 1
        return terms[0] if len(terms) == 1 else Node("sum", parts=tuple(terms))

    def term(self) -> Node:
        product = self.factor(first=True)
        while True:
            if self.next.kind in ("*", "/"):
                sign = self.take().kind
                minus = self.next.kind == "-"
                if self.next.kind in ("+", "-"):
                    self.take()
                factor = self.factor(first=True)
                factor = negative(factor) if minus else factor
                product = quotient(product, factor) if sign == "/" else times(product, factor)
            elif self.next.kind == "number" and self._is_mixed(product):
                # "1 1/2"
                top, _, bottom = self.take(), self.take("/"), self.take("number")
                if not bottom.value or top.value is None or product.value is None:
                    raise NotReadError("divided by zero")
                product = number(product.value + top.value / bottom.value)
            elif self.starts_factor():
                product = times(product, self.factor())
            else:
                return product

    def _is_mixed(self, product: Node) -> bool:
        whole = self.tokens[self.place - 1]
        bottom = self.peek(2)
        return (
            product.kind == "number"
            and whole.kind == "number"
            and whole.text.isdigit()
            and self.next.spaced
            and self.next.text.isdigit()
            and self.peek().kind == "/"
            and bottom.kind == "number"
            and bottom.text.isdigit()
            and not self.peek().spaced
        )

    def starts_factor(self) -> bool:
        token = self.next
        if token.kind in ("(", "{", "begin", "upright"):
            return True
        if token.kind == "[":
            return self.place > 0
        if token.kind == "run":
            return len(token.text) <= 4
        if token.kind == "|":
            return not self.in_bars
        if token.kind == "text":
            return False
        if token.kind != "command":
            return False
        if token.text == "frac":
            # The fraction of two units is none of the expression.
            inside = self.tokens[self.place + 1 : self.place + 3]
            return not any(one.kind == "text" for one in inside)
        return token.text in _STARTS or token.text in notation.FUNCTIONS or token.text in notation.GREEK

    def factor(self, first: bool = False) -> Node:
        begins = self.place
        node = self.atom()
        whole = self.tokens[begins]
        if (
            self.place == begins + 1
            and whole.kind == "number"
            and whole.text.isdigit()
            and self.next.kind == "command"
            and self.next.text == "frac"
        ):
            node = self._mixed(node)
        return self.postfix(node)

    def _mixed(self, whole: Node) -> Node:
        """An integer and a fraction of integers behind it are their sum."""
        inside = [token.kind for token in self.tokens[self.place + 1 : self.place + 7]]
        if inside != ["{", "number", "}", "{", "number", "}"]:
            return whole
        top, bottom = self.tokens[self.place + 2], self.tokens[self.place + 5]
        if not (top.text.isdigit() and bottom.text.isdigit() and bottom.value) or top.value is None:
            return whole
        self.place += 7
        assert whole.value is not None
        return number(whole.value + top.value / bottom.value)

    def postfix(self, node: Node) -> Node:
        while True:
            token = self.next
            if token.kind == "!":
                self.take()
                double = self.next.kind == "!" and not self.next.spaced
                if double:
                    self.take()
                node = Node("call", "double factorial" if double else "factorial", (node,))
            elif token.kind == "degree":
                following = self.peek()
                if following.text in ("C", "F"):
                    return node
                self.take()
                node = Node("call", "degrees", (node,))
            elif token.kind == "^":
                node = Node("power", parts=(node, self.exponent()))
            else:
                return node

    def exponent(self) -> Node:
        """Read what stands after "^": a group, or a signed number or letter."""
        self.take("^")
        token = self.next
        if token.kind == "{":
            inside = self.peek()
            if inside.kind in ("text", "command") and inside.text in ("T", "transposed") and self.peek(2).kind == "}":
                self.place += 3
                return Node("symbol", "T")
            return self.group("{")
        if token.kind == "(":
            return self.group("(")
        if token.text in ("T", "transposed") and token.kind in ("text", "command", "run"):
            self.take()
            return Node("symbol", "T")
        sign = self.take().kind if token.kind in ("+", "-") else "+"
        if self.next.kind == "run" and len(self.next.text) > 1:
            # TeX raises one letter only.
            self._split_run()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise NotReadError("deep")
        node = self.atom()
        if self.next.kind == "^":
            node = Node("power", parts=(node, self.exponent()))
        self.depth -= 1
        return negative(node) if sign == "-" else node

    def group(self, opening: str) -> Node:
        self.take(opening)
        node = self.sum()
        self.take(CLOSING[opening])
        return node

    def _split_run(self) -> None:
        """Makes tokens of one letter each out of a run of them."""
        run = self.next
        letters = [Token("run", letter, spaced=run.spaced and i == 0) for i, letter in enumerate(run.text)]
        self.tokens = [*self.tokens[: self.place], *letters, *self.tokens[self.place + 1 :]]

    def atom(self) -> Node:
        token = self.next
        if token.kind == "number":
            return self.numeral()
        if token.kind == "run":
            based = self._hexadecimal()
            if based is not None:
                return based
            if len(token.text) > 1:
                if len(token.text) > 4:
                    raise NotReadError("word")
                self._split_run()
            return self.letter(self.take().text)
        if token.kind == "upright":
            self.take()
            return constant_or_symbol(token.text)
        if token.kind == "text" and len(token.text) == 1 and token.text.isalpha():
            return self.letter(self.take().text)
        if token.kind == "[" or token.kind == "(":
            inside = self._based()
            return inside if inside is not None else self.group(token.kind)
        if token.kind == "{":
            return self.group("{")
        if token.kind == "|":
            return self._bars()
        if token.kind == "command":
            return self.command()
        if token.kind == "begin":
            return self.matrix()
        if token.kind in ("+", "-") and self.tokens[self.place - 1].kind in ("^", "("):
            self.take()
            node = self.factor()
            return negative(node) if token.kind == "-" else node
        raise NotReadError(token.kind)

    def numeral(self) -> Node:
        """A number, which may say its base: 2F_{16}."""
        token = self.take("number")
        letters = self.next if self.next.kind == "run" and not self.next.spaced else _END
        based = self.peek(1) if letters is not _END else self.next
        if based.text == "base" and self.peek().kind == "number":
            # "1010 base 2" is written as its subscript is.
            self.tokens = [*self.tokens[: self.place], Token("_"), *self.tokens[self.place + 1 :]]
            based = self.next
        if based.kind == "_" and token.text != "repeating":
            digits = token.text + letters.text
            place = self.place
            if letters is not _END:
                self.take()
            self.take("_")
            base = self._base()
            if base is None:
                raise NotReadError("subscript of a number")
            value = in_base(digits, base)
            if value is None:
                if letters is _END:
                    raise NotReadError("digits beyond the base")
                self.place = place
            else:
                return Node("numeral", f"{digits.lstrip('0') or '0'}_{base}", value=value)
        return Node("number", value=token.value)

    def _hexadecimal(self) -> Node | None:
        """Read digits that begin with a letter and say their base: FF_{16}, A3_{12}."""
        place, digits = self.place, ""
        while self.next.kind in ("run", "number") and not (digits and self.next.spaced):
            digits += self.take().text
        if len(digits) > 1 and re.fullmatch("[0-9A-F]+", digits) and self.next.kind == "_":
            self.take("_")
            base = self._base()
            value = None if base is None or base <= 10 else in_base(digits, base)
            if value is not None:
                return Node("numeral", f"{digits}_{base}", value=value)
        self.place = place
        return None

    def _base(self) -> int | None:
        """The base in a subscript, in digits or as a word; None for any other subscript."""
        inside = self._subscript_tokens()
        inside = [token for token in inside if token.kind not in ("(", ")") and token.text != "base"]
        if len(inside) != 1:
            return None
        text = inside[0].text.removeprefix("base ")
        base = int(text) if text.isdigit() and len(text) < 3 else notation.BASE_WORDS.get(text.lower(), 0)
        return base if 2 <= base <= 36 else None

    def _subscript_tokens(self) -> list[Token]:
        """The tokens of a subscript, whose "_" was taken: those of a group, or one."""
        if self.next.kind != "{":
            if self.next.kind == "run" and len(self.next.text) > 1:
                self._split_run()
            return [self.take()]
        self.take("{")
        inside, depth = [], 1
        while True:
            token = self.take()
            if token is _END:
                raise NotReadError("open subscript")
            depth += (token.kind == "{") - (token.kind == "}")
            if not depth:
                return inside
            inside.append(token)

    def _based(self) -> Node | None:
        """(1010)_2"""
        kinds = [token.kind for token in self.tokens[self.place : self.place + 4]]
        if kinds != ["(", "number", ")", "_"]:
            return None
        token = self.peek()
        self.tokens = [*self.tokens[: self.place], token, *self.tokens[self.place + 3 :]]
        return self.numeral()

    def letter(self, name: str) -> Node:
        """A symbol with its index and primes, or a function of that name with its arguments."""
        if name == "e" and self.next.kind != "_":
            return constant_or_symbol(name)
        if name == "i" and self.next.kind not in ("_", "prime"):
            return constant_or_symbol(name)
        if self.next.kind == "_":
            self.take()
            inside = self._subscript_tokens()
            name = f"{name}_{spelled(inside).strip()}"
        if self.next.kind == "prime":
            name += self.take().text
        if self.next.kind == "_" and "_" not in name:
            self.take()
            name = f"{name}_{spelled(self._subscript_tokens()).strip()}"
        inverse = (
            name in notation.FUNCTION_LETTERS
            and spelled(self.tokens[self.place : self.place + 5]) in ("^{-1}(", "^{-" + "1}(")
        ) or (spelled(self.tokens[self.place : self.place + 4]) == "^-1(" and name in notation.FUNCTION_LETTERS)
        if inverse:
            while self.next.kind != "(":
                self.take()
            return Node("call", f"{name}^-1", self.arguments())
        if self.next.kind == "(" and is_function(name, self._inside()):
            return Node("call", name, self.arguments())
        return Node("symbol", name)

    def _inside(self) -> list[Token] | None:
        """The tokens in the parentheses that begin here."""
        depth = 0
        for place in range(self.place, len(self.tokens)):
            depth += (self.tokens[place].kind == "(") - (self.tokens[place].kind == ")")
            if not depth:
                return self.tokens[self.place + 1 : place]
        return None

    def arguments(self) -> tuple[Node, ...]:
        self.take("(")
        found = [self.sum()]
        while self.next.kind in (",", ";"):
            self.take()
            found.append(self.sum())
        self.take(")")
        return tuple(found)

    def _bars(self) -> Node:
        self.take("|")
        self.in_bars += 1
        node = self.sum()
        self.in_bars -= 1
        self.take("|")
        return Node("call", "abs", (node,))

    def command(self) -> Node:
        name = self.take("command").text
        if name in notation.FUNCTIONS:
            return self.function(name)
        if name in notation.GREEK:
            return self.letter(name)
        if name == "pi":
            return Node("constant", "pi")
        if name == "infty":
            return Node("constant", "infinity")
        if name in ("e", "i"):
            return constant_or_symbol(name)
        if name == "frac":
            top = self.group("{")
            return quotient(top, self.group("{"))
        if name == "binom":
            top = self.group("{")
            return Node("call", "binomial", (top, self.group("{")))
        if name == "sqrt":
            return self._root()
        if name in notation.GROUPED:
            return Node("call", name, self.arguments())
        if name in ("lfloor", "lceil"):
            node = self.sum()
            if self.take("command").text != name.replace("l", "r", 1):
                raise NotReadError(name)
            return Node("call", name[1:], (node,))
        if name in notation.ACCENTS:
            inside = self._subscript_group()
            letters = "".join(sorted(inside)) if name == "overline" and len(inside) == 2 else inside
            return self.letter(f"{name} {letters}")
        raise NotReadError(name)

    def _subscript_group(self) -> str:
        inside = self._subscript_tokens()
        if not all(token.kind in ("run", "number", "command") for token in inside):
            raise NotReadError("accent")
        return spelled(inside).strip()

    def _root(self) -> Node:
        degree = number(2)
        if self.next.kind == "[":
            degree = self.group("[")
        if self.next.kind not in ("{", "("):
            raise NotReadError("root")
        node = self.group(self.next.kind)
        return Node("power", parts=(node, quotient(number(1), degree)))

    def function(self, name: str) -> Node:
        """A named function with its base, its exponent and its argument, which may stand without parentheses."""
        base = power = None
        while self.next.kind in ("_", "^"):
            if self.next.kind == "^":
                power = self.exponent()
            elif name != "log" or base is not None:
                raise NotReadError("subscript of a function")
            else:
                base = self._log_base()
        if power == MINUS_ONE:
            if name not in notation.INVERSES:
                raise NotReadError("inverse function")
            name, power = notation.INVERSES[name], None
        if self.next.kind == "(" or (self.next.kind == "{" and not self._unit_follows()):
            argument = self.group(self.next.kind)
        else:
            argument = self._open_argument(name)
        node = Node("call", name, (argument,) if base is None else (argument, base))
        return node if power is None else Node("power", parts=(node, power))

    def _unit_follows(self) -> bool:
        return self.peek().kind == "text"

    def _log_base(self) -> Node:
        self.take("_")
        if self.next.kind == "{":
            return self.group("{")
        token = self.next
        if token.kind == "number" and len(token.text) > 1 and token.text.isdigit() and self._is_last():
            # \log_28: TeX lowers one digit, and the rest is the argument.
            first, rest = token.text[0], token.text[1:]
            tail = [Token("number", rest, Fraction(int(rest)))]
            self.tokens = [*self.tokens[: self.place], *tail, *self.tokens[self.place + 1 :]]
            return number(int(first))
        if token.kind == "run" and len(token.text) > 1:
            self._split_run()
        return self.atom() if token.kind != "number" else Node("number", value=self.take().value)

    def _is_last(self) -> bool:
        following = self.peek()
        return following is _END or following.kind in ("+", "-", "*", "/", ")", "}", "]", ",", "^", "relation", "text")

    def _open_argument(self, name: str) -> Node:
        """Read the argument of a function without parentheses: factors up to the next sign or function."""
        if self.next.kind in ("+", "-"):
            sign = self.take().kind
            node = self.factor()
            argument = negative(node) if sign == "-" else node
        else:
            argument = self.factor()
        while self.starts_factor() and self.next.kind not in ("(", "[", "|", "begin"):
            if self.next.kind == "command" and (self.next.text in notation.FUNCTIONS):
                break
            if self.next.kind == "{" and self._unit_follows():
                break
            argument = times(argument, self.factor())
        constant = not symbols(argument)
        if name in notation.TRIGONOMETRIC and constant and self.next.kind == "/" and self.peek().kind == "number":
            # \sin\pi/9 is that of a ninth of pi.
            self.take()
            argument = quotient(argument, self.factor())
        return argument

    def matrix(self) -> Node:
        environment = self.take("begin").text
        if environment not in notation.MATRICES:
            raise NotReadError(environment)
        rows: list[list[Node]] = [[]]
        while self.next.kind != "end":
            if self.next.kind == "row":
                self.take()
                rows.append([])
                continue
            if self.next.kind == "&":
                self.take()
            rows[-1].append(self.sum())
        self.take("end")
        kind = "determinant" if environment in ("vmatrix", "Vmatrix", "vsmallmatrix") else ""
        return Node("matrix", kind, tuple(Node("row", parts=tuple(row)) for row in rows if row))


_END = Token("")
_STARTS = frozenset(
    {"pi", "infty", "frac", "binom", "sqrt", "e", "i", "lfloor", "lceil", *notation.GROUPED, *notation.ACCENTS}
)
