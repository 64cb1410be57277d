"""Bootstrap over tasks and seeds: intervals of whatever has no formula, such as a median, a ratio, or a horizon."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from assay.statistics.interval import CONFIDENCE, NORMAL_QUANTILE, Interval, t_quantile

NUM_DRAWS = 2000
Statistic = Callable[[np.ndarray], float]


def paired_bootstrap(
    before: np.ndarray | Sequence,
    after: np.ndarray | Sequence,
    statistic: Statistic = np.mean,  # pyright: ignore[reportArgumentType]
    *,
    over_seeds: bool = False,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
) -> Interval:
    """statistic(after) - statistic(before), with its interval over tasks, or over seeds and tasks.

    A draw takes tasks with replacement, the same ones before and after, each with all of its samples: samples are
    nested in tasks, and the spread of task means holds theirs already (Davison and Hinkley 1997, "Bootstrap Methods
    and their Application", section 3.8). With `over_seeds` it takes the seeds of either side with replacement too,
    each side for itself and independently of the tasks, which all seeds share: Owen 2007, "The pigeonhole bootstrap",
    Annals of Applied Statistics 1, which counts what tasks and seeds do together twice, and so errs on the wide side.
    A side that is one model for all seeds, such as the base before training, has one seed.

    The percentile interval of the draws is too short for few tasks: their spread is over n, and its quantiles are
    normal. Its halves are stretched by t(f) sqrt(V) / (1.96 s), with s the spread of the draws, V the sum of each
    component's variance times n / (n - 1), and f the degrees of freedom of that sum (Satterthwaite 1946, Biometrics
    Bulletin 2). Hesterberg 2015, "What teachers should know about the bootstrap", The American Statistician 69, makes
    the same correction to the quantiles' levels, which for few tasks would lie beyond any number of draws.

    For a mean of values in [0, 1], `paired_difference` and `difference_over_seeds` cover better: where no task changed
    the draws have no spread.

    Args:
        before: [P, ...] a task's values along the first axis; with `over_seeds` [S, P, ...].
        after: the same tasks in the same order; with `over_seeds` any number of seeds.
        statistic: of an array shaped as the sides are.

    Raises:
        ValueError: fewer than two tasks, other tasks before than after, one seed on both sides, or a value or statistic
            that is not finite.

    Example:
        >>> print(paired_bootstrap([0.2, 0.4, 0.1, 0.3, 0.5], [0.5, 0.5, 0.6, 0.3, 0.9], np.median))
        0.2 [-0.1168, 0.6751]
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (before, after)]
    axis = int(over_seeds)
    if any(side.ndim <= axis for side in sides) or sides[0].shape[axis] != sides[1].shape[axis]:
        shapes = " and ".join(str(side.shape) for side in sides)
        raise ValueError(f"a paired bootstrap needs the same tasks on axis {axis} of both sides, got {shapes}")
    num_tasks, num_seeds = sides[0].shape[axis], [side.shape[0] for side in sides]
    if num_tasks < 2 or (over_seeds and max(num_seeds) < 2):
        raise ValueError(f"a bootstrap needs two tasks, and over seeds two seeds, got {sides[0].shape}")
    if not all(np.isfinite(side).all() for side in sides):
        raise ValueError("a value is not finite")
    generator = np.random.default_rng(seed)

    def drawn(of_tasks: bool, of_seeds: Sequence[bool]) -> np.ndarray:
        found = np.empty(num_draws)
        for draw in range(num_draws):
            tasks = generator.integers(num_tasks, size=num_tasks) if of_tasks else np.arange(num_tasks)
            one, other = (
                np.take(side if not of else side[generator.integers(count, size=count)], tasks, axis=axis)
                for side, of, count in zip(sides, of_seeds, num_seeds, strict=True)
            )
            found[draw] = statistic(other) - statistic(one)
        return found

    value = float(statistic(sides[1]) - statistic(sides[0]))
    every = [over_seeds and count > 1 for count in num_seeds]
    draws = drawn(True, every)
    parts = [(float((drawn(True, (False, False)) if over_seeds else draws).var()), num_tasks)]
    for place, count in enumerate(num_seeds):
        if every[place]:
            parts.append((float(drawn(False, [place == 0, place == 1]).var()), count))
    if not (math.isfinite(value) and np.isfinite(draws).all()):
        raise ValueError("the statistic is not finite for every draw of tasks; give one that is")
    return _stretched(value, draws, parts)


def nested_rows(
    groups: Sequence[np.ndarray], strata: np.ndarray, num_draws: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """The rows of each bootstrap sample that is nested over groups, as [about n] whole numbers.

    Each draw takes outermost groups with replacement, within each that was taken as many of its own groups as it has,
    and so on; at last, for each row of an innermost group, a row of the same group and stratum. A group that was taken
    twice has its own draws both times. So all strata, such as the models of a table, share the groups of a draw.

    METR's time-horizon analysis does the same (https://github.com/METR/eval-analysis-public, wrangle/bootstrap.py).

    Args:
        groups: for each level, outermost first, [n] the group of each row; none for rows alone. A name within two
            groups of the level before it stands for two groups.
        strata: [n] the stratum of each row.
    """
    size = len(strata)
    above, levels = np.zeros(size, dtype=np.int64), []
    for labels in groups:
        pairs, within = np.unique(np.stack([above, _numbered(labels)], axis=1), axis=0, return_inverse=True)
        # The pairs are sorted, so that a group's own groups stand side by side: start[g], start[g] + 1, ...
        levels.append(_runs(pairs[:, 0]))
        above = within.ravel()
    cells = np.unique(np.stack([above, _numbered(strata)], axis=1), axis=0, return_inverse=True)[1].ravel()
    # Rows in the order of their cells, and so of their groups.
    order = np.argsort(cells, kind="stable")
    row_start, row_count = _runs(above[order])
    cell_start, cell_count = _runs(cells[order])
    of_slot = cells[order]
    for _ in range(num_draws):
        taken = np.zeros(1, dtype=np.int64)
        for start, count in levels:
            times = count[taken]
            taken = np.repeat(start[taken], times) + _below(np.repeat(times, times), generator)
        times = row_count[taken]
        first = np.cumsum(times) - times
        slots = np.repeat(row_start[taken] - first, times) + np.arange(int(times.sum()))
        of_draw = of_slot[slots]
        yield order[cell_start[of_draw] + _below(cell_count[of_draw], generator)]


def _numbered(labels: np.ndarray) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1].ravel()


def _runs(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the run of each of the labels 0, 1, ... begins in sorted labels, and how long it is."""
    count = np.bincount(labels)
    return np.cumsum(count) - count, count


def _below(bounds: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A random whole number from 0 to below each bound."""
    return (generator.random(len(bounds)) * bounds).astype(np.int64)


def _stretched(value: float, draws: np.ndarray, parts: Sequence[tuple[float, int]]) -> Interval:
    """The percentile interval of draws, stretched for the variances and sizes of what was drawn."""
    spread = float(draws.std())
    if spread == 0:
        return Interval(value, value, value)
    variances = [(variance * count / (count - 1), count - 1) for variance, count in parts]
    total = sum(variance for variance, _ in variances)
    freedom = total**2 / sum(variance**2 / degrees for variance, degrees in variances)
    stretch = max(t_quantile(max(int(freedom), 1)) * math.sqrt(total) / (NORMAL_QUANTILE * spread), 1.0)
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(
        value, value - stretch * max(value - float(low), 0.0), value + stretch * max(float(high) - value, 0.0)
    )
