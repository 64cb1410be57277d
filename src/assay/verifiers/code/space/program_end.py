# type: ignore  what crosses has no types that a checker could know, and all of it is checked when it is read
"""Inside a program's space: answers the questions of its test, and asks what the test's objects say.

It is the program's own process: whatever a program makes of this, no more comes out than it could have returned.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from assay.verifiers.code.space.exchange import Exchange
from assay.verifiers.code.space.plain_values import CannotCrossError
from assay.verifiers.code.space.shared_state import Sayings, SharedState
from assay.verifiers.code.space.stand_ins import perform


class ProgramEnd:
    """The end of the program.

    Args:
        names: the program's globals.
        ask: sends a question out and returns the reply: `job_runner`'s.
        facts: what the test says of itself, as plain values.
    """

    def __init__(self, names, ask, facts):
        self.names, self._ask = names, ask
        self.shared_classes = frozenset(facts["classes"])
        self.program_name = names.get("__name__")
        self.state = SharedState(facts["state"])
        self.sayings = Sayings(facts["sayings"])
        self.exchange = Exchange(1, self.ask, self.find_class, self.is_own)
        self.exchange.special_methods = special_methods
        self.depth = 0

    def find_class(self, module, qualname) -> Any:
        if not module:
            found = self.names.get(qualname)
            return found if isinstance(found, type) else None
        if module == "test":
            return self.find_class("", qualname) if qualname in self.shared_classes else None
        found = sys.modules.get(module)
        for part in qualname.split("."):
            found = getattr(found, part, None)
        return found if isinstance(found, type) else None

    def is_own(self, kind):
        return kind.__qualname__ in self.shared_classes and kind.__module__ == self.program_name

    def answer(self, unit) -> Any:
        """The reply to a unit of the test's: [what it is, message, changes, what was said, a line for people]."""
        _, message, changes, levels, _ = unit
        self.state.apply(changes)
        outermost, replaced = not self.depth, []
        self.depth += 1
        if outermost:
            self.sayings.begin(levels)
        note = ""
        try:
            question, target, arguments, patches = self.exchange.unpack(message)
            replaced = [self.replace(*patch) for patch in patches]
            result = "value", self.perform(question, target, arguments)
            del target, arguments, patches
        except CannotCrossError as error:
            result = "cannot cross", str(error)
        except BaseException as error:
            result, note = ("raised", without_frames(error)), describe(error)
        for undo in reversed(replaced):
            undo()
        self.depth -= 1
        said = self.sayings.end() if outermost else self.sayings.take()
        kind, value = result
        del result
        return self.unit(kind, value, said, note)

    def unit(self, kind, value, said, note="") -> Any:
        try:
            message = self.exchange.pack(value)
        except CannotCrossError as error:
            kind, message = "cannot cross", (str(error), {}, [])
        return [kind, message, self.state.changes(), said, note]

    def perform(self, question, target, arguments) -> Any:
        if question == "name":
            return self.look_up(target)
        if question == "names":
            return {name: (self.names[name],) for name in target if name in self.names}
        return perform(question, target, arguments, self.exchange)

    def look_up(self, name) -> Any:
        if name in self.names:
            return self.names[name]
        solution = self.names.get("Solution")
        if isinstance(solution, type) and hasattr(solution, name):
            return getattr(solution(), name)
        if "." in name or "(" in name:
            first, _, method = name.partition(".")
            found = self.names[first[:-2]]() if first.endswith("()") else self.names[first]
            return getattr(found, method) if method else found
        raise NameError(f"name {name!r} is not defined")

    def replace(self, module, path, value) -> Any:
        """Puts a value where the test put one; returns what undoes it."""
        *parts, attribute = path.split(".")
        if module:
            owner = sys.modules.get(module) or importlib.import_module(module)
            for part in parts:
                owner = getattr(owner, part)
            get, put, remove = (
                vars(owner),
                (lambda item: setattr(owner, attribute, item)),
                (lambda: delattr(owner, attribute)),
            )
        else:
            get, put, remove = (
                self.names,
                (lambda item: self.names.__setitem__(attribute, item)),
                (lambda: self.names.pop(attribute)),
            )
        had, before = attribute in get, get.get(attribute)
        put(value)
        return (lambda: put(before)) if had else remove

    def ask(self, question, target, *arguments) -> Any:
        """Return what an object of the test's says."""
        said = self.sayings.take()
        [reply] = self._ask(
            ["question", self.exchange.pack((question, target, arguments)), self.state.changes(), said, ""]
        )
        kind, message, changes = reply[:3]
        self.state.apply(changes)
        value = self.exchange.unpack(message)
        if kind == "raised":
            raise value
        if kind == "refused":
            raise AttributeError(value)
        return value


def special_methods(known):
    """Methods of stand-ins for the test's objects: everything is asked for."""
    names = [*known["names"], *(("__eq__",) if known["equal"] else ())]
    return {name: asking(name) for name in names} | (
        {"__hash__": lambda self: hash(self._assay_handle)} if known["equal"] else {}
    )


def asking(name):
    if name == "__call__":
        return lambda self, *arguments, **keywords: self._assay_exchange.ask("call", self, arguments, keywords)
    return lambda self, *arguments: self._assay_exchange.ask("special", self, name, *arguments)


def without_frames(error):
    """The exception less what holds the values of its frames."""
    return error.with_traceback(None)


def describe(error):
    try:
        return f"{type(error).__name__}: {error}"[:300]
    except Exception:
        return type(error).__name__
