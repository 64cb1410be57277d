"""The simulated customer: knows what was meant, answers what is asked, and never says anything else than the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from assay.environments.clarify.forms import CONDITIONAL, DELIVERY, DOOR, HANDOVER, names_in
from assay.environments.moves import listed


def needed(truth: Mapping[str, str]) -> list[str]:
    """Return what an order must have to be right."""
    return [name for name in truth if name != DOOR or truth[HANDOVER] == DELIVERY]


@dataclass
class Customer:
    """A script with a hidden truth."""

    form: Mapping[str, Sequence[str]]
    truth: Mapping[str, str]
    known: set[str]
    """Facts that have been said already."""
    num_asked: int = 0
    num_needless: int = 0
    """Questions for what was said already, for what does not matter, or that could not be answered."""
    _told: dict[str, str] = field(default_factory=dict)

    def answer(self, question: str) -> str:
        """The answer to a message that is no order."""
        self.num_asked += 1
        asked = names_in(question, self.form)
        if len(asked) != 1:
            self.num_needless += 1
            if asked:
                return f"One thing at a time, please. Ask for one of: {listed(list(self.form))}."
            return f"I do not understand the question. Ask for one of: {listed(list(self.form))}."
        name = asked.pop()
        if name not in needed(self.truth):
            self.num_needless += 1
            return f"{name.capitalize()}: it does not matter for a {self.truth[HANDOVER]}."
        if name in self.known:
            self.num_needless += 1
            return f"I said it. {said(name, self.truth[name])}"
        self.known.add(name)
        return said(name, self.truth[name])


def said(name: str, value: str) -> str:
    """Return a fact as the customer says it."""
    return f"{name.capitalize()}: {value}."


def request(thing: str, truth: Mapping[str, str], stated: Sequence[str], corrected: tuple[str, str] | None) -> str:
    """Return the customer's first words.

    Args:
        stated: what is said at once.
        corrected: of these, one that is said wrong at first, and what is said; None where all is said right.
    """
    facts: list[str] = []
    for name in stated:
        if corrected and corrected[0] == name:
            facts.append(f"{said(name, corrected[1])} No, make that {truth[name]}.")
        else:
            facts.append(said(name, truth[name]))
    return " ".join([f"I want a {thing}.", *facts])


def form_text(form: Mapping[str, Sequence[str]]) -> str:
    """Return the form as the model is shown it."""
    parts = [
        f"{name}{', only for delivery' if name == DOOR and form[DOOR] == CONDITIONAL[DOOR] else ''} "
        f"({', '.join(choices)})"
        for name, choices in form.items()
    ]
    return "; ".join(parts)
