"""What is looked at, as an address: whoever opens it on this machine sees the same."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from assay.observe.browse import ORDERS, RolloutFilter

VIEWS = ("curves", "rollouts", "before", "compare", "results", "doctor")
"""Views of runs, in the order of their keys, 1 to 6."""


@dataclass(frozen=True)
class StudioAddress:
    """What is looked at: the parameters of a page's address, without its secret."""

    runs: tuple[str, ...] = ()
    """Names of runs, the first of which is the one that views of one run show."""
    view: str = "curves"
    wanted: RolloutFilter = field(default_factory=RolloutFilter)
    """The rollouts that are listed."""
    order: str = "step"
    offset: int = 0
    """The first rollout of the page; of before and after the number of the task."""
    place: tuple[int, int, int] | None = None
    """Step, group and member of the rollout that is shown; None for the list."""
    tokens: bool = False
    """True where each token's log-probability is shown."""

    def with_(self, **changes: Any) -> StudioAddress:
        """Return another place from here."""
        return dataclasses.replace(self, **changes)

    def path(self, secret: str, page: str = "/", **more: str) -> str:
        """Return it as the path of a page, with the secret."""
        wanted = {name: value for name, value in vars(self.wanted).items() if value is not None and value != ""}
        parameters: dict[str, Any] = {"key": secret}
        if self.runs:
            parameters["runs"] = ",".join(quote(run, safe="") for run in self.runs)
        if self.view != "curves":
            parameters["view"] = self.view
        parameters |= wanted
        if self.order != "step":
            parameters["order"] = self.order
        if self.offset:
            parameters["offset"] = self.offset
        if self.place is not None:
            parameters["place"] = ".".join(map(str, self.place))
        if self.tokens:
            parameters["tokens"] = 1
        return f"{page}?{urlencode(parameters | more)}"


def read_address(parameters: Mapping[str, str]) -> StudioAddress:
    """Return what an address asks for. What it says that is none of ours is left out: it comes from anywhere."""
    from urllib.parse import unquote

    place = tuple(number for part in parameters.get("place", "").split(".") if (number := _integer(part)) is not None)
    view, order = parameters.get("view", ""), parameters.get("order", "")
    wanted = RolloutFilter(
        verdict=parameters.get("verdict") or None,
        ending=parameters.get("ending") or None,
        level=parameters.get("level") or None,
        low=_number(parameters.get("low")),
        high=_number(parameters.get("high")),
        first_step=_integer(parameters.get("first_step")),
        last_step=_integer(parameters.get("last_step")),
        text=parameters.get("text", "")[:200],
    )
    return StudioAddress(
        runs=tuple(unquote(run) for run in parameters.get("runs", "").split(",") if run),
        view=view if view in VIEWS else "curves",
        wanted=wanted,
        order=order if order in ORDERS else "step",
        offset=max(0, _integer(parameters.get("offset")) or 0),
        place=(place[0], place[1], place[2]) if len(place) == 3 else None,
        tokens=parameters.get("tokens") == "1",
    )


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _integer(text: str | None) -> int | None:
    value = _number(text)
    return int(value) if value is not None and abs(value) < 2**62 else None
