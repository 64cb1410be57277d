"""check_dials: whether harder levels are harder for a script of limited means."""

from __future__ import annotations

from collections.abc import Mapping

from assay.environments.environment import Level
from assay.errors import ContractError

MAX_CHANCE = 0.001
"""The chance, under equally hard levels, below which a harder level counts as easier: small, since there are many
pairs of levels."""


def check_dials(name: str, results: Mapping[Level, tuple[int, int]]) -> None:
    """Check that a script of limited means solves no more of a harder level than of an easier one.

    A level is harder than another where neither dial is lower and one is higher. Two shares of solved tasks are
    compared by Fisher's exact test, one-sided. Some level must also be harder than another by more than chance: else
    the dials change nothing for the script, and it shows nothing.

    Args:
        results: level to (number of tasks solved, number of tasks); a level without tasks is left out.

    Raises:
        ContractError: a harder level is easier for the script, or no level is harder.
    """
    known = {level: counts for level, counts in results.items() if counts[1]}
    harder = [(easy, hard) for easy in known for hard in known if easy != hard and _at_least(hard, easy)]
    for easy, hard in harder:
        if _chance(known[hard], known[easy]) < MAX_CHANCE:
            raise ContractError(
                f"{name}: the script of limited means solves {_shown(known[hard])} at {_level(hard)} and only "
                f"{_shown(known[easy])} at {_level(easy)}; a dial must not make tasks easier"
            )
    if harder and min(_chance(known[easy], known[hard]) for easy, hard in harder) >= MAX_CHANCE:
        easiest, hardest = next(iter(known)), list(known)[-1]
        raise ContractError(
            f"{name}: no level is harder than another for the script of limited means ({_shown(known[easiest])} at "
            f"{_level(easiest)}, {_shown(known[hardest])} at {_level(hardest)}); give it means that the dials exceed"
        )


def _at_least(hard: Level, easy: Level) -> bool:
    pairs = list(zip(hard, easy, strict=True))
    return all((one is None) == (other is None) for one, other in pairs) and all(
        one >= other for one, other in pairs if one is not None and other is not None
    )


def _chance(more: tuple[int, int], fewer: tuple[int, int]) -> float:
    """The chance of at least so many of the solved ones being in the first group, were both alike (hypergeometric)."""
    from scipy.stats import hypergeom

    solved = more[0] + fewer[0]
    return float(hypergeom.sf(more[0] - 1, more[1] + fewer[1], solved, more[1]))


def _shown(counts: tuple[int, int]) -> str:
    return f"{counts[0]} of {counts[1]}"


def _level(level: Level) -> str:
    return " ".join(f"{name}{dial:g}" for name, dial in zip("ch", level, strict=True) if dial is not None)
