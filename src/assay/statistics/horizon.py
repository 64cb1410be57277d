"""Horizons: the difficulty at which a model succeeds half of the time, from a weighted logistic regression.

The analysis is METR's: Kwa et al. 2025, "Measuring AI ability to complete long tasks",
https://arxiv.org/abs/2503.14499, with its code, https://github.com/METR/eval-analysis-public. What differs is said
where it does. Shape letters: n rows, U distinct difficulties of a model, B bootstrap samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from assay.statistics.bootstrap import nested_rows
from assay.statistics.interval import CONFIDENCE
from assay.statistics.logistic import fit_logistic

RIDGE = 0.1
"""METR's regularisation: scikit-learn's `C = 1 / 0.1`."""
FEW_GROUPS = 5
"""The fewest outermost groups for which coverage was looked at (docs/concepts/intervals.md)."""
_LOGIT_80 = math.log(4)
_RUN = 6
"""Consecutive units that must agree: (1/2)^6 < 0.025, the chance of either side of a 95 % interval."""
_BLOCK_NUMBERS = 1 << 18
"""Numbers in a block of bootstrap samples, so that it stays in a cache."""

Kind = Literal["fitted", "separated", "all solved", "all failed", "rising", "one difficulty", "too few"]


@dataclass(frozen=True)
class Horizon:
    """The horizon of one model, in the unit of the difficulty. None where the rows do not tell."""

    kind: Kind
    num: int
    """Rows that were used."""
    p50: float | None = None
    low: float | None = None
    high: float | None = None
    """`low` and `high`: the 95 % interval of `p50`; None where it is open on that side."""
    p80: float | None = None
    slope: float | None = None
    """Change of the log odds for a doubling of the difficulty, or for one point of a rating; None where the rows
    leave it open."""
    intercept: float | None = None
    log_loss: float | None = None
    """Weighted mean of -log of the probability given to what happened, in nats."""
    log_loss_constant: float | None = None
    """The same of one probability for all rows."""
    bins: tuple[tuple[float, float, int, float, float], ...] = ()
    """Goodness of fit: easiest and hardest difficulty, rows, weighted share solved, and share that the fit expects, of
    up to eight parts with about as many rows each."""
    notes: tuple[str, ...] = ()
    draws: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False, compare=False)
    """[B] p50 of each bootstrap sample, infinite where it lies below or above all; NaN for one without a row."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON: `p50`, `low`, `high`, `p80`, `num`, and what else is known."""
        names = ("easiest", "hardest", "num", "solved", "expected")
        return {
            "p50": self.p50,
            "low": self.low,
            "high": self.high,
            "p80": self.p80,
            "num": self.num,
            "kind": self.kind,
            "slope": self.slope,
            "intercept": self.intercept,
            "log_loss": self.log_loss,
            "log_loss_constant": self.log_loss_constant,
            "notes": list(self.notes),
            "bins": [dict(zip(names, part, strict=True)) for part in self.bins],
        }


@dataclass(frozen=True)
class HorizonRows:
    """A table as arrays: what each row's attempt was at, and what came of it."""

    success: np.ndarray
    """[n] from 0 to 1."""
    difficulty: np.ndarray
    """[n] above 0, unless it is a rating."""
    weight: np.ndarray
    """[n] 0 or more, used as given."""
    by: np.ndarray
    """[n] names of the models, or of whatever each horizon is of."""
    groups: tuple[np.ndarray, ...] = ()
    """[n] of each level, outermost first: what the bootstrap takes whole."""
    is_rating: bool = False
    """True where the difficulty is a logarithm already, such as a contest problem's rating."""

    def __post_init__(self) -> None:
        if not ((self.success >= 0) & (self.success <= 1)).all():
            raise ValueError("a success is outside [0, 1]")
        if not (np.isfinite(self.weight).all() and (self.weight >= 0).all()):
            raise ValueError("a weight is negative or not finite")
        if not np.isfinite(self.difficulty).all() or not (self.is_rating or (self.difficulty > 0).all()):
            raise ValueError("a difficulty is not finite, or not above 0 as its logarithm needs")

    @property
    def log_difficulty(self) -> np.ndarray:
        return self.difficulty if self.is_rating else np.log2(self.difficulty)

    def unit_of(self, x: np.ndarray | float) -> Any:
        """Back from the logarithm to the unit of the difficulty; infinite where that is beyond a double."""
        if self.is_rating:
            return x
        with np.errstate(over="ignore", under="ignore"):
            return np.exp2(x)


def fit_horizons(
    rows: HorizonRows,
    *,
    ridge: float = RIDGE,
    num_draws: int = 1000,
    seed: int = 0,
    on_draws: Callable[[int], None] | None = None,
) -> dict[str, Horizon]:
    """The 50 % and 80 % horizon of each value of `by`, with a bootstrap interval nested over the groups.

    log odds of success = intercept + slope log2(difficulty), with a ridge on the slope (`fit_logistic`); the horizon is
    2^(-intercept / slope), at 80 % 2^((log 4 - intercept) / slope). Weights are used as given; the ridge stands beside
    their sum.

    The interval is the 2.5 % to the 97.5 % quantile over `num_draws` samples (`nested_rows`): outermost groups drawn
    for all values of `by` together, rows innermost. Differs from METR's where its code leaves a sample out: one in
    which everything succeeded has its horizon above all, one in which everything failed below all, and so one in
    which success rises with difficulty, by which of the two is commoner. Their quantiles then may be open.

    Where no failure is easier than a success the slope has no finite value but for the ridge, and every bootstrap
    sample says the same. Then the interval is what the outermost groups allow without a model: a horizon below is
    ruled out where the first six groups with a task at or above it succeeded, of which the chance is (1/2)^6 were
    each at most even; above likewise. With fewer it is open.

    Args:
        ridge: lambda, scikit-learn's 1 / C.
        on_draws: is told how many samples were done, now and then.

    Returns:
        In the order of the first row of each value of `by`.
    """
    parts = _parts(rows, ridge)
    fitted = {name: part for name, part in parts.items() if part.start is not None}
    draws = {name: np.full(num_draws, np.nan) for name in fitted}
    gathered = _Gathered.of(rows, parts)
    generator = np.random.default_rng(seed)
    done, samples = 0, nested_rows(rows.groups, rows.by, num_draws if fitted else 0, generator)
    for block in _blocks(samples, max(1, _BLOCK_NUMBERS // gathered.size)):
        weights, solved = gathered.sums(block)
        for name, part in fitted.items():
            found = part.horizons(weights[:, part.columns], solved[:, part.columns], ridge)
            draws[name][done : done + len(block)] = np.where(np.isneginf(found), found, rows.unit_of(found))
        done += len(block)
        if on_draws is not None:
            on_draws(done)
    return {name: _horizon(rows, part, draws.get(name, np.empty(0)), ridge) for name, part in parts.items()}


@dataclass(frozen=True)
class _Gathered:
    """Rows gathered by their value of `by` and their difficulty: columns, as many as differ."""

    place_n: np.ndarray
    weight_n: np.ndarray
    solved_n: np.ndarray
    size: int

    @classmethod
    def of(cls, rows: HorizonRows, parts: Mapping[str, _Part]) -> _Gathered:
        place_n = np.empty(len(rows.by), dtype=np.int64)
        for part in parts.values():
            place_n[part.rows] = part.columns.start + part.place
        return cls(place_n, rows.weight, rows.weight * rows.success, max(part.columns.stop for part in parts.values()))

    def sums(self, samples: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Weight, and weight that succeeded, of each column in each sample of rows."""
        weights, solved = (np.empty((len(samples), self.size)) for _ in range(2))
        for number, chosen in enumerate(samples):
            places = self.place_n[chosen]
            weights[number] = np.bincount(places, self.weight_n[chosen], self.size)
            solved[number] = np.bincount(places, self.solved_n[chosen], self.size)
        return weights, solved


@dataclass(frozen=True)
class _Part:
    """The rows of one value of `by`, gathered by difficulty, and their fit."""

    rows: np.ndarray
    """Places of its rows in the table."""
    kind: Kind
    x: np.ndarray
    place: np.ndarray
    """For each of its rows, which distinct difficulty it has."""
    columns: slice
    """Its columns among those of all parts."""
    start: np.ndarray | None = None
    """Coefficients of all rows, on the centred and scaled difficulty; None where there is no fit."""

    @property
    def centre(self) -> float:
        return float(self.x.mean())

    @property
    def scale(self) -> float:
        return float(self.x[-1] - self.x[0]) or 1.0

    def fits(self, weights: np.ndarray, solved: np.ndarray, ridge: float) -> np.ndarray:
        design = np.stack([np.ones(len(self.x)), (self.x - self.centre) / self.scale], axis=1)
        # The ridge is on the slope by the difficulty itself.
        return fit_logistic(design, weights, solved, np.array([0.0, ridge / self.scale**2]), self.start)

    def horizons(self, weights: np.ndarray, solved: np.ndarray, ridge: float) -> np.ndarray:
        """[B] the 50 % point of each sample, on the scale of the logarithm; NaN for one without a row of ours."""
        total, won = weights.sum(1), solved.sum(1)
        found = np.where(2 * won >= total, np.inf, -np.inf)
        found[total == 0] = np.nan
        mixed = np.flatnonzero((won > total * 1e-12) & (won < total * (1 - 1e-12)))
        fits = self.fits(weights[mixed], solved[mixed], ridge)
        falling = fits[:, 1] < 0
        found[mixed[falling]] = self.point(fits[falling], 0.0)
        return found

    def point(self, fits: np.ndarray, logit: float) -> np.ndarray:
        """The logarithm of the difficulty at which the log odds are this."""
        with np.errstate(over="ignore"):
            return self.centre + self.scale * (logit - fits[..., 0]) / fits[..., 1]

    def expected(self, x: np.ndarray) -> np.ndarray:
        """The probability of success at each difficulty."""
        assert self.start is not None
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-(self.start[0] + self.start[1] * (x - self.centre) / self.scale)))


def _parts(rows: HorizonRows, ridge: float) -> dict[str, _Part]:
    """The part of each value of `by`, in the order of its first row, with its fit."""
    names, first = np.unique(rows.by, return_index=True)
    log_difficulty, found, column = rows.log_difficulty, {}, 0
    for name in names[np.argsort(first)]:
        chosen = np.flatnonzero(rows.by == name)
        success, weight = rows.success[chosen], rows.weight[chosen]
        x_U, place = np.unique(log_difficulty[chosen], return_inverse=True)
        place, columns = place.ravel(), slice(column, column + len(x_U))
        column = columns.stop
        part = _Part(chosen, _kind(success, weight, log_difficulty[chosen]), x_U, place, columns)
        if part.kind in ("fitted", "separated"):
            total, won = (np.bincount(place, each, len(x_U))[None] for each in (weight, weight * success))
            start = part.fits(total, won, ridge)[0]
            part = replace(part, kind="rising" if start[1] >= 0 else part.kind, start=start)
        found[str(name)] = part
    return found


def _kind(success: np.ndarray, weight: np.ndarray, x: np.ndarray) -> Kind:
    counted = weight > 0
    success, x = success[counted], x[counted]
    if len(success) < 2:
        return "too few"
    if (success == 1).all():
        return "all solved"
    if (success == 0).all():
        return "all failed"
    if x.min() == x.max():
        return "one difficulty"
    # A share in between is both a success and a failure at its difficulty.
    return "separated" if x[success > 0].max() <= x[success < 1].min() else "fitted"


def _blocks(samples: Iterator[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    block: list[np.ndarray] = []
    for sample in samples:
        block.append(sample)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block


def _horizon(rows: HorizonRows, part: _Part, draws: np.ndarray, ridge: float) -> Horizon:
    """What is said of one value of `by`."""
    num, kind = len(part.rows), part.kind
    counted = int((rows.weight[part.rows] > 0).sum())
    if kind in ("too few", "one difficulty"):
        why = (
            f"{counted} row{'s' * (counted != 1)} with a weight above 0: too few to fit two coefficients"
            if kind == "too few"
            else f"every row has the difficulty {rows.difficulty[part.rows[0]]:g}: nothing tells what it does"
        )
        return Horizon(kind, num, notes=(why,))
    low, high = _without_model(rows, part)
    if kind in ("all solved", "all failed"):
        hardest = kind == "all solved"
        p50 = float(rows.unit_of(part.x[-1 if hardest else 0]))
        said = f"at or {'above the hardest' if hardest else 'below the easiest'} task, {p50:g}"
        note = f"every attempt {'succeeded' if hardest else 'failed'}: the horizon is {said}"
        return Horizon(kind, num, p50, low if hardest else None, None if hardest else high, notes=(note,))
    assert part.start is not None
    success, weight = rows.success[part.rows], rows.weight[part.rows]
    expected = part.expected(rows.log_difficulty[part.rows])
    mean = float((weight * success).sum() / weight.sum())
    quality = (_log_loss(success, weight, expected), _log_loss(success, weight, np.full(num, mean)))
    bins, notes = _bins(rows, part, expected), []
    slope = float(part.start[1] / part.scale)
    intercept = float(part.start[0] - slope * part.centre)
    if kind == "rising":
        note = f"success does not fall with difficulty (slope {slope:+.3g}): there is no horizon"
        return Horizon(kind, num, None, None, None, None, slope, intercept, *quality, bins, (note,), draws)
    p50, p80 = (_finite(rows.unit_of(float(part.point(part.start, logit)))) for logit in (0.0, _LOGIT_80))
    if kind == "separated":
        ends = (rows.difficulty[part.rows[success > 0]].max(), rows.difficulty[part.rows[success < 1]].min())
        notes.append(
            f"separated: nothing failed below {ends[1]:g} and nothing succeeded above {ends[0]:g}, so the slope could "
            f"be any, p80 is the ridge's ({ridge:g}), and the interval is what the tasks allow without a model"
        )
        slope, intercept = None, None
    else:
        low, high = _quantiles(draws)
        groups = rows.groups[0][part.rows] if rows.groups else part.rows
        if len(draws) and (count := len(np.unique(groups))) < FEW_GROUPS:
            notes.append(
                f"{count} groups to draw from say little of how groups differ: coverage is known from {FEW_GROUPS} on"
            )
    if p50 is not None and not part.x[0] <= (x50 := float(part.point(part.start, 0.0))) <= part.x[-1]:
        where = "harder than any" if x50 > part.x[-1] else "easier than any"
        notes.append(f"p50 is {where} task that was tried: it is extrapolated")
    return Horizon(kind, num, p50, low, high, p80, slope, intercept, *quality, bins, tuple(notes), draws)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _quantiles(draws: np.ndarray) -> tuple[float | None, float | None]:
    """The ends of the interval; None where one is open."""
    known = np.sort(draws[~np.isnan(draws)])
    if not len(known):
        return None, None
    ends = []
    for share in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2):
        place = share * (len(known) - 1)
        below, above = known[math.floor(place)], known[math.ceil(place)]
        # Between two infinite ones there is nothing to interpolate.
        value = (
            below + (above - below) * (place % 1) if np.isfinite([below, above]).all() else (below, above)[share > 0.5]
        )
        ends.append(_finite(value))
    return ends[0], ends[1]


def _without_model(rows: HorizonRows, part: _Part) -> tuple[float | None, float | None]:
    """Ends of an interval that assumes only that harder tasks succeed less often: see `fit_horizons`."""
    chosen = part.rows[rows.weight[part.rows] > 0]
    x, success = rows.log_difficulty[chosen], rows.success[chosen]
    units = rows.groups[0][chosen] if rows.groups else chosen

    def agree(candidate: float, sign: int, wanted: float) -> bool:
        beyond = np.flatnonzero(sign * x >= sign * candidate)
        beyond = beyond[np.argsort(sign * x[beyond], kind="stable")]
        # Of each unit the nearest task, by a rule that does not look at what came of it.
        firsts = beyond[np.sort(np.unique(units[beyond], return_index=True)[1])][:_RUN]
        return len(firsts) == _RUN and bool((success[firsts] == wanted).all())

    low = next((each for each in part.x[::-1] if agree(each, 1, 1.0)), None)
    high = next((each for each in part.x if agree(each, -1, 0.0)), None)
    return tuple(None if end is None else float(rows.unit_of(end)) for end in (low, high))  # pyright: ignore[reportReturnType]


def _log_loss(success: np.ndarray, weight: np.ndarray, expected: np.ndarray) -> float:
    sure = np.clip(expected, 1e-15, 1 - 1e-15)
    losses = -(success * np.log(sure) + (1 - success) * np.log(1 - sure))
    return float((weight * losses).sum() / weight.sum())


def _bins(rows: HorizonRows, part: _Part, expected: np.ndarray) -> tuple[tuple[float, float, int, float, float], ...]:
    """Up to eight parts of the difficulties; rows of one difficulty are never parted."""
    x, difficulty = rows.log_difficulty[part.rows], rows.difficulty[part.rows]
    success, weight = rows.success[part.rows], rows.weight[part.rows]
    ends = np.unique(np.quantile(x, np.linspace(0, 1, 9)[1:], method="higher"))
    places = np.searchsorted(ends, x)
    found = []
    for place in range(len(ends)):
        inside = places == place
        if (total := float(weight[inside].sum())) > 0:
            shares = (float((weight * values)[inside].sum()) / total for values in (success, expected))
            extremes = (float(difficulty[inside].min()), float(difficulty[inside].max()))
            found.append((*extremes, int(inside.sum()), *shares))
    return tuple(found)
