"""Bradley-Terry ratings from comparisons in pairs, also where the comparisons do not bound them.

    P(b is preferred to a) = sigmoid(r_b - r_a)

Bradley and Terry 1952, "Rank analysis of incomplete block designs: I. The method of paired comparisons", Biometrika 39.
A tie is half a win of each. Shape letters: N comparisons, K items, E distinct pairs of items, S strong components.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.statistics.firth import fit_with_covariance, sigmoid
from assay.statistics.interval import NORMAL_QUANTILE, t_quantile
from assay.statistics.profile import Estimate

_MOST_STEPS = 100
_TOLERANCE = 1e-10
_MOST_WORK = 1e11
"""Annotators times the cube of the items, up to which each annotator is left out: some seconds. Beyond it, their scores
alone are used (the plain sandwich), which with so many annotators comes to the same."""


@dataclass(frozen=True)
class Comparisons:
    """Comparisons of items in pairs, as arrays."""

    first: np.ndarray
    """[N] the number of the first item, from 0."""
    second: np.ndarray
    """[N] the number of the second item."""
    preference: np.ndarray
    """[N] from 0 (the first is better) to 1 (the second is better), a half for a tie."""
    num_items: int
    clusters: np.ndarray | None = None
    """[N] the number of the annotator, from 0; None where nobody says who judged."""

    def __post_init__(self) -> None:
        if not len(self.first) == len(self.second) == len(self.preference):
            raise ValueError("sides and preferences differ in number")
        if not ((self.preference >= 0) & (self.preference <= 1)).all():
            raise ValueError("a preference is outside [0, 1]")
        if (self.first == self.second).any():
            raise ValueError("an item is compared with itself")


@dataclass(frozen=True)
class Ratings:
    """Ratings of items, in log odds."""

    estimates: tuple[Estimate, ...]
    """[K] rating of each item, mean 0 within its part; an end that the comparisons do not bound is None."""
    parts: tuple[tuple[int, ...], ...]
    """Items that are compared with each other, directly or through others, largest part first. Ratings of different
    parts do not compare."""
    never_lost: tuple[int, ...]
    """Items that never lost, not even half."""
    never_won: tuple[int, ...]
    """Items that never won, not even half."""
    num_clusters: int | None
    """Annotators that the intervals allow for; None where they stand on independent comparisons alone."""

    def part_of(self, item: int) -> int:
        """The number of the part that an item is in."""
        return next(number for number, part in enumerate(self.parts) if item in part)


def fit_bradley_terry(comparisons: Comparisons) -> Ratings:
    """Ratings with 95 % intervals.

    Within a part whose items all won and lost, somehow along a chain, against each other (a strong component of the
    graph of wins) the ratings are those of maximum likelihood, which exist there and nowhere else (Ford 1957,
    "Solution of a ranking problem from binary comparisons", American Mathematical Monthly 64). Components above or
    below others, such as one item that never lost, would be at infinity. Their distances are those of Firth's
    penalised likelihood (`fit_with_covariance`), and the end of their interval that no comparison bounds is open: up
    for what never lost to the component of most items, down for what never won against it.

    Intervals are Wald's, of the rating less the mean of its part, from Fisher's information; with two annotators or
    more each is the wider of that one and of the one that takes annotators as what was drawn: the deviations are those
    that the ratings would have without each annotator, in one step (Bell and McCaffrey 2002, "Bias reduction in
    standard errors for linear regression with multi-stage samples", Survey Methodology 28, for the linear case), and
    the quantile is Student's for one less than the annotators.
    """
    graph = _Graph(comparisons)
    values, errors = np.zeros(comparisons.num_items), np.zeros(comparisons.num_items)
    opens = np.zeros((comparisons.num_items, 2), dtype=bool)
    clusters = comparisons.clusters
    num_clusters = 0 if clusters is None else len(np.unique(clusters))
    for part in graph.parts:
        _fit_part(comparisons, graph, part, values, errors, opens, num_clusters)
    estimates = tuple(
        Estimate(
            float(value),
            None if below else float(value - error),
            None if above else float(value + error),
        )
        for value, error, (below, above) in zip(values, errors, opens, strict=True)
    )
    return Ratings(
        estimates,
        tuple(tuple(int(item) for item in part) for part in graph.parts),
        tuple(int(item) for item in np.flatnonzero((graph.lost == 0) & (graph.won > 0))),
        tuple(int(item) for item in np.flatnonzero((graph.won == 0) & (graph.lost > 0))),
        num_clusters if num_clusters > 1 else None,
    )


class _Graph:
    """Who won against whom: parts, strong components, and which of them are above which."""

    def __init__(self, comparisons: Comparisons) -> None:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        size = comparisons.num_items
        first, second, preference = comparisons.first, comparisons.second, comparisons.preference
        self.won = np.bincount(second, preference, size) + np.bincount(first, 1 - preference, size)
        self.lost = np.bincount(first, preference, size) + np.bincount(second, 1 - preference, size)
        winners = np.concatenate([second[preference > 0], first[preference < 1]])
        losers = np.concatenate([first[preference > 0], second[preference < 1]])
        beats = coo_array((np.ones(len(winners)), (winners, losers)), (size, size)).tocsr()
        num_parts, part = connected_components(beats, directed=False)
        _, self.component = connected_components(beats, directed=True, connection="strong")
        self.beats = np.unique(
            np.stack([self.component[winners], self.component[losers]], axis=1)[
                self.component[winners] != self.component[losers]
            ],
            axis=0,
        )
        """[., 2] of components: the first beats the second."""
        self.parts = sorted(
            (np.flatnonzero(part == number) for number in range(num_parts)), key=lambda p: (-len(p), p[0])
        )

    def reached(self, component: int, *, down: bool) -> set[int]:
        """Components below this one (or above it), directly or through others."""
        source, target = (0, 1) if down else (1, 0)
        found: set[int] = set()
        waiting = [component]
        while waiting:
            at = waiting.pop()
            for other in self.beats[self.beats[:, source] == at, target].tolist():
                if other not in found:
                    found.add(other)
                    waiting.append(other)
        return found


def _fit_part(
    comparisons: Comparisons,
    graph: _Graph,
    part: np.ndarray,
    values: np.ndarray,
    errors: np.ndarray,
    opens: np.ndarray,
    num_clusters: int,
) -> None:
    """Fill in the items of one part: values, half the width of their intervals, and which ends are open."""
    if len(part) == 1:
        opens[part] = True  # compared with nothing
        return
    components, of_item = np.unique(graph.component[part], return_inverse=True)
    variances = np.zeros(len(part))
    half_widths = np.zeros(len(part))
    for number in range(len(components)):
        members = np.flatnonzero(of_item == number)
        if len(members) > 1:
            items = part[members]
            values[items], variances[members], half_widths[members] = _fit_component(comparisons, items, num_clusters)
    if len(components) > 1:
        shift, variance = _fit_offsets(comparisons, part, of_item, values)
        values[part] += shift[of_item]
        variances += variance[of_item]
        _mark_open(graph, part, components, of_item, opens)
    values[part] -= values[part].mean()
    errors[part] = np.maximum(NORMAL_QUANTILE * np.sqrt(variances), half_widths)


def _inside(comparisons: Comparisons, items: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows whose two sides are both of these items, and their sides numbered within them."""
    place = np.full(comparisons.num_items, -1)
    place[items] = np.arange(len(items))
    rows = np.flatnonzero((place[comparisons.first] >= 0) & (place[comparisons.second] >= 0))
    return rows, place[comparisons.first[rows]], place[comparisons.second[rows]]


def _fit_component(
    comparisons: Comparisons, items: np.ndarray, num_clusters: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(ratings with mean 0, their variances by Fisher's information, half widths over annotators or 0) of one strong
    component."""
    rows, first, second = _inside(comparisons, items)
    preference = comparisons.preference[rows]
    size = len(items)
    ratings = _maximum_likelihood(first, second, preference, size)
    expected = sigmoid(ratings[second] - ratings[first])
    laplacian = _laplacian(first, second, expected * (1 - expected), size)
    inverse = np.linalg.inv(laplacian + 1 / size) - 1 / size
    half_widths = np.zeros(size)
    if comparisons.clusters is not None and num_clusters > 1:
        clusters = np.unique(comparisons.clusters[rows], return_inverse=True)[1].ravel()
        half_widths = _over_clusters(first, second, preference - expected, expected, clusters, laplacian)
    return ratings, np.maximum(np.diag(inverse), 0), half_widths


def _maximum_likelihood(first: np.ndarray, second: np.ndarray, preference: np.ndarray, size: int) -> np.ndarray:
    """Newton's method, its steps halved while the likelihood does not rise."""
    pairs, at = np.unique(first * size + second, return_inverse=True)
    a, b = pairs // size, pairs % size
    weight, wins = np.bincount(at), np.bincount(at, preference)

    def likelihood(ratings: np.ndarray) -> float:
        logits = ratings[b] - ratings[a]
        return float((wins * logits - weight * np.logaddexp(0, logits)).sum())

    ratings = np.zeros(size)
    best = likelihood(ratings)
    for _ in range(_MOST_STEPS):
        expected = sigmoid(ratings[b] - ratings[a])
        residual = wins - weight * expected
        gradient = np.bincount(b, residual, size) - np.bincount(a, residual, size)
        if np.abs(gradient).max() <= _TOLERANCE * weight.sum():
            break
        step = np.linalg.solve(_laplacian(a, b, weight * expected * (1 - expected), size) + 1 / size, gradient)
        for halvings in range(60):
            moved = ratings + step / 2**halvings
            found = likelihood(moved)
            if found >= best:
                break
        ratings, best = moved - moved.mean(), found
    return ratings


def _laplacian(first: np.ndarray, second: np.ndarray, weight: np.ndarray, size: int) -> np.ndarray:
    """Fisher's information of ratings: [size, size], its rows sum to 0."""
    found = np.zeros((size, size))
    np.add.at(found, (first, second), -weight)
    np.add.at(found, (second, first), -weight)
    found[np.diag_indices(size)] = -found.sum(1)
    return found


def _over_clusters(
    first: np.ndarray,
    second: np.ndarray,
    residual: np.ndarray,
    expected: np.ndarray,
    clusters: np.ndarray,
    laplacian: np.ndarray,
) -> np.ndarray:
    """Half the width of the interval of each rating when annotators are what was drawn; 0 where leaving one of them out
    leaves a rating unknown, which no such interval allows for."""
    size, count = len(laplacian), int(clusters.max()) + 1
    if count < 2:
        return np.zeros(size)
    order = np.argsort(clusters, kind="stable")
    bounds = np.searchsorted(clusters[order], np.arange(count + 1))
    corrects = count * size**3 <= _MOST_WORK
    inverse = np.linalg.inv(laplacian + 1 / size)
    total = np.zeros(size)
    for start, end in itertools.pairwise(bounds):
        rows = order[start:end]
        a, b = first[rows], second[rows]
        score = np.bincount(b, residual[rows], size) - np.bincount(a, residual[rows], size)
        if not corrects:
            total += (inverse @ score) ** 2
            continue
        without = laplacian - _laplacian(a, b, expected[rows] * (1 - expected[rows]), size) + 1 / size
        try:
            total += (np.linalg.solve(without, score)) ** 2
        except np.linalg.LinAlgError:
            return np.zeros(size)
    if not np.isfinite(total).all():
        return np.zeros(size)
    return t_quantile(count - 1) * np.sqrt(total * (count - 1) / count)


def _fit_offsets(
    comparisons: Comparisons, part: np.ndarray, of_item: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Firth's distances between the strong components of a part: ([S] offsets, [S] variances of each less the part's
    mean)."""
    rows, first, second = _inside(comparisons, part)
    between = of_item[first] != of_item[second]
    a, b, preference = first[between], second[between], comparisons.preference[rows][between]
    pairs, at = np.unique(np.stack([a, b, preference], axis=1), axis=0, return_inverse=True)
    weight = np.bincount(at.ravel()).astype(float)
    a, b = pairs[:, 0].astype(int), pairs[:, 1].astype(int)
    count = int(of_item.max()) + 1
    design = np.zeros((len(pairs), count))
    design[np.arange(len(pairs)), of_item[b]] += 1
    design[np.arange(len(pairs)), of_item[a]] -= 1
    offsets = values[part[b]] - values[part[a]]
    fit = fit_with_covariance(design[:, 1:], pairs[:, 2], weight, offsets)
    shift = np.concatenate([[0.0], fit.coefficients])
    covariance = np.zeros((count, count))
    covariance[1:, 1:] = fit.covariance
    contrast = np.eye(count) - np.bincount(of_item, minlength=count) / len(of_item)
    return shift, np.maximum(np.einsum("ij,jk,ik->i", contrast, covariance, contrast), 0)


def _mark_open(graph: _Graph, part: np.ndarray, components: np.ndarray, of_item: np.ndarray, opens: np.ndarray) -> None:
    """Mark the ends that no comparison bounds: [., 0] below, [., 1] above."""
    sizes = np.bincount(of_item)
    main = int(components[int(sizes.argmax())]) if sizes.max() > 1 else None
    above_main = set() if main is None else graph.reached(main, down=False)
    below_main = set() if main is None else graph.reached(main, down=True)
    for number, component in enumerate(components.tolist()):
        if component == main:
            continue
        if main is None:
            below = bool(graph.reached(component, down=False))
            above = bool(graph.reached(component, down=True))
        else:
            below, above = component not in above_main, component not in below_main
        opens[part[of_item == number]] = (below, above)


def names_and_numbers(first: Sequence[str], second: Sequence[str]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names in the order of the alphabet, and both sides as numbers of them."""
    names = sorted({*first, *second})
    number = {name: position for position, name in enumerate(names)}
    return names, np.array([number[each] for each in first]), np.array([number[each] for each in second])
