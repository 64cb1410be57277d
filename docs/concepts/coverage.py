"""Prints the tables of docs/concepts/intervals.md that begin with "by coverage.py": how often each interval holds the
truth.

nice python docs/concepts/coverage.py [NAME ...]     # a few minutes; without a name all of them, in order
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from assay.statistics import (
    Comparisons,
    ConfidenceSequence,
    Design,
    Estimate,
    HorizonRows,
    Interval,
    Spread,
    Votes,
    clustered_proportion,
    difference_over_seeds,
    difference_test_over_seeds,
    fit_bradley_terry,
    fit_frontier,
    fit_hazard,
    fit_horizons,
    holm,
    majority_at_k_difference,
    majority_at_k_interval,
    noise_floor,
    paired_bootstrap,
    paired_difference,
    pass_at_k_difference,
    pass_at_k_interval,
    pass_hat_k_difference,
    pass_hat_k_interval,
    permutation_test,
    prediction_powered_mean,
    ratio_over_seeds,
    t_interval,
    tasks_needed,
    wilson,
)

Table = tuple[Sequence[str], Iterator[Sequence[object]]]


def holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


def percent(count: float, total: int) -> str:
    return f"{100 * count / total:.1f}"


def many_samples() -> Table:
    """pass@k, pass^k and majority@k: eight samples, k = 4; a task's chance p is beta, after training p + (1 - p) / 3.
    The wrong answers of a task are one with half of the rest, and others."""
    generator, trials = np.random.default_rng(0), 400

    def votes(p: np.ndarray) -> list[Votes]:
        counts = [generator.multinomial(8, [q, (1 - q) / 2, (1 - q) / 4, (1 - q) / 4]) for q in p]
        return [Votes(int(c[0]), tuple(int(w) for w in c[1:] if w)) for c in counts]

    def pairs(of: Sequence[Votes]) -> list[tuple[int, int]]:
        return [(each.num_samples, each.num_correct) for each in of]

    def rows() -> Iterator[Sequence[object]]:
        singles = (
            lambda a: pass_at_k_interval(pairs(a), 4),
            lambda a: pass_hat_k_interval(pairs(a), 4),
            lambda a: majority_at_k_interval(a, 4),
        )
        doubles = (
            lambda a, b: pass_at_k_difference(pairs(a), pairs(b), 4).interval,
            lambda a, b: pass_hat_k_difference(pairs(a), pairs(b), 4).interval,
            lambda a, b: majority_at_k_difference(a, b, 4).interval,
        )
        for a, b in ((0.5, 0.5), (0.2, 1.0), (1.0, 1.0)):
            many = generator.beta(a, b, 20_000)
            sides = votes(many), votes(many + (1 - many) / 3)
            truths = [[float(single(side).value) for single in singles] for side in sides]
            for num_tasks in (5, 10, 20, 100):
                covered = np.zeros(6)
                for _ in range(trials):
                    p = generator.beta(a, b, num_tasks)
                    before, after = votes(p), votes(p + (1 - p) / 3)
                    covered[:3] += [holds(f(before), truths[0][i]) for i, f in enumerate(singles)]
                    covered[3:] += [holds(f(before, after), truths[1][i] - truths[0][i]) for i, f in enumerate(doubles)]
                yield (f"{num_tasks} x 8", f"beta({a:g}, {b:g})", *(percent(each, trials) for each in covered))

    names = [f"{what}{kind}" for kind in ("", " gain") for what in ("pass@4", "pass^4", "majority@4")]
    return ("tasks x samples", "difficulties", *names), rows()


def gains() -> Table:
    """A paired gain in accuracy: a task's chance p is beta, after training p + (1 - p) / 3. Beside it Student's
    interval of the differences."""
    generator, trials = np.random.default_rng(9), 1000

    def rows() -> Iterator[Sequence[object]]:
        for a, b in ((0.5, 0.5), (0.2, 1.0), (5.0, 5.0)):
            truth = (1 - a / (a + b)) / 3
            for num_samples in (1, 4):
                for num_tasks in (5, 10, 20, 100):
                    size, covered, plain = num_samples * num_tasks, 0, 0
                    for _ in range(trials):
                        p = generator.beta(a, b, num_tasks)
                        before, after = (generator.binomial(num_samples, q) / num_samples for q in (p, p + (1 - p) / 3))
                        found = paired_difference(before.tolist(), after.tolist(), num_samples=(size, size))
                        covered += holds(found.interval, truth)
                        plain += holds(t_interval((after - before).tolist()), truth)
                    kind = f"{num_tasks} x {num_samples}", f"beta({a:g}, {b:g})"
                    yield (*kind, percent(covered, trials), percent(plain, trials))

    return ("tasks x samples", "difficulties", "covered", "Student's t"), rows()


def alarms() -> Table:
    """How often a test calls a difference at 5 % where there is none: two evaluations of one model, two groups of seeds
    of one recipe, and any of twenty comparisons after Holm's correction."""
    generator, trials = np.random.default_rng(10), 1000

    def p_value(num_tasks: int, num_samples: int) -> float:
        chance, size = generator.beta(0.5, 0.5, num_tasks), num_samples * num_tasks
        sides = [(generator.binomial(num_samples, chance) / num_samples).tolist() for _ in range(2)]
        return paired_difference(*sides, num_samples=(size, size)).p_value

    def rows() -> Iterator[Sequence[object]]:
        for num_samples, test in ((1, "McNemar's exact"), (4, "sign flips")):
            for num_tasks in (5, 10, 20, 100):
                called = sum(p_value(num_tasks, num_samples) < 0.05 for _ in range(trials))
                yield test, f"{num_tasks} x {num_samples} tasks", percent(called, trials)
        for num_seeds in (3, 4, 5, 8):
            groups = (generator.normal(0, 1, (2, num_seeds)) for _ in range(trials))
            called = sum(permutation_test(*group.tolist()) < 0.05 for group in groups)
            yield "permutation", f"{num_seeds} and {num_seeds} seeds", percent(called, trials)
        called = sum(min(holm([p_value(20, 4) for _ in range(20)])) < 0.05 for _ in range(trials // 2))
        yield "any of 20, Holm", "20 x 4 tasks each", percent(called, trials // 2)

    return ("test", "of", "called a difference"), rows()


def powers() -> Table:
    """How often a gain of 20 or 10 points from 40 % is found with the tasks that `tasks_needed` says, 80 times in 100:
    some tasks become solved outright, which ones is the same for every seed, how many differs between seeds."""
    generator, trials = np.random.default_rng(11), 400

    def rows() -> Iterator[Sequence[object]]:
        for gain in (0.2, 0.1):
            for num_samples, num_seeds, between in ((1, 1, 0.0), (4, 1, 0.0), (1, 3, 0.0), (4, 3, 0.02), (4, 5, 0.02)):
                # Beta with mean 0.4 and E[p (1 - p)] = 0.12: a + b = 1.
                spread = Spread.assumed(0.4, gain, within=0.12, seeds=between**2)
                num_tasks = tasks_needed(Design(2, num_samples, num_seeds), spread, gain)
                assert num_tasks is not None
                size, found = num_samples * num_tasks, 0
                for _ in range(trials):
                    p, place = generator.beta(0.4, 0.6, num_tasks), generator.random(num_tasks)
                    turned = (gain + between * generator.normal(size=(num_seeds, 1))) / 0.6
                    before = generator.binomial(num_samples, p) / num_samples
                    after = generator.binomial(num_samples, np.where(place < turned, 1.0, p)) / num_samples
                    if num_seeds == 1:
                        sides = before.tolist(), after[0].tolist()
                        found += paired_difference(*sides, num_samples=(size, size)).low > 0
                    else:
                        sides = [before.tolist()] * num_seeds, after.tolist()
                        found += difference_over_seeds(*sides, num_samples=(size, num_seeds * size)).low > 0
                kind = f"{100 * gain:.0f}", f"{num_samples} x {num_seeds}", f"{100 * between:g}"
                yield (*kind, num_tasks, percent(found, trials))

    return ("gain, points", "samples x seeds", "between seeds, points", "tasks needed", "found"), rows()


def bootstrap() -> Table:
    """Paired bootstrap of a mean and a median of exponential gains, with the percentile interval before its
    stretching."""
    generator, trials = np.random.default_rng(1), 300

    def rows() -> Iterator[Sequence[object]]:
        for name, statistic, truth in (("mean", np.mean, 1.0), ("median", np.median, math.log(2))):
            for num_tasks in (5, 10, 20, 50):
                covered = plain = 0
                for trial in range(trials):
                    before = generator.normal(0, 3, num_tasks)
                    after = before + generator.exponential(1, num_tasks) - truth
                    # The median of a difference is no difference of medians: gains are given as they are.
                    gains = after - before
                    found = paired_bootstrap(np.zeros(num_tasks), gains, statistic, num_draws=300, seed=trial)
                    covered += holds(found, 0.0)
                    draws = statistic(gains[generator.integers(num_tasks, size=(300, num_tasks))], axis=1)
                    low, high = np.quantile(draws, [0.025, 0.975])
                    plain += low <= 0.0 <= high
                yield name, num_tasks, percent(covered, trials), percent(plain, trials)

    return ("statistic", "tasks", "covered", "percentile interval"), rows()


def seeds() -> Table:
    """Gains over seeds and tasks, few of both: logits as in the table of seeds and tasks above."""
    generator, trials = np.random.default_rng(2), 500

    def solved(seed: np.ndarray, task: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(0.6 + task + seed + generator.normal(0, 1, np.broadcast(seed, task).shape))))

    def rows() -> Iterator[Sequence[object]]:
        for between in (0.0, 0.4, 1.0):
            many = solved(generator.normal(0, between, 400_000), generator.normal(0, 1.5, 400_000))
            truth = float(many.mean()) - 0.17
            for num_seeds, num_tasks in ((3, 5), (3, 20), (5, 20)):
                formula = bootstrapped = 0
                for trial in range(trials):
                    chance = solved(
                        generator.normal(0, between, (num_seeds, 1)), generator.normal(0, 1.5, num_tasks)[None]
                    )
                    after = (generator.random(chance.shape) < chance).astype(float)
                    before = np.tile((generator.random(num_tasks) < 0.17).astype(float), (num_seeds, 1))
                    sizes = (num_tasks, num_seeds * num_tasks)
                    formula += holds(difference_over_seeds(before.tolist(), after.tolist(), num_samples=sizes), truth)
                    found = paired_bootstrap(before[:1], after, over_seeds=True, num_draws=200, seed=trial)
                    bootstrapped += holds(found, truth)
                counts = percent(formula, trials), percent(bootstrapped, trials)
                yield (f"{num_seeds} x {num_tasks}", between, *counts)

    return ("seeds x tasks", "between seeds", "difference_over_seeds", "paired_bootstrap"), rows()


def judged() -> Table:
    """Prediction-powered: a judge of 300 tasks that errs twice as often upward as downward."""
    generator, trials = np.random.default_rng(3), 1500

    def rows() -> Iterator[Sequence[object]]:
        for share, right in ((0.5, 0.8), (0.2, 0.95), (0.9, 0.9)):
            for num_labels in (5, 10, 20, 50, 100):
                covered, widths = np.zeros(4), np.zeros(2)
                for _ in range(trials):
                    truth = (generator.random(300 + num_labels) < share).astype(float)
                    flips = generator.random(len(truth)) < np.where(truth == 1, 1 - right, 2 * (1 - right))
                    said = np.where(flips, 1 - truth, truth)
                    sides = truth[:num_labels], said[:num_labels], said[num_labels:]
                    tuned, plain = (prediction_powered_mean(*sides, tuned=each).interval for each in (True, False))
                    labels = clustered_proportion(truth[:num_labels].tolist(), num_labels)
                    judge = clustered_proportion(said.tolist(), len(said))
                    covered += [holds(each, share) for each in (tuned, plain, labels, judge)]
                    widths += [tuned.width / 2, labels.width / 2]
                halves = [f"±{100 * width / trials:.1f}" for width in widths]
                first, second, third, last = (percent(count, trials) for count in covered)
                yield (
                    num_labels,
                    f"{100 * share:.0f} %, {100 * right:.0f} %",
                    f"{first}, {halves[0]}",
                    second,
                    f"{third}, {halves[1]}",
                    last,
                )

    return ("labels", "share, judge right", "tuned", "w = 1", "labels alone", "judge alone"), rows()


def stopping() -> Table:
    """Looked at after each of 500 tasks: how often the truth was ever left out, and the half width at the end."""
    generator, trials, last = np.random.default_rng(4), 300, 500

    def rows() -> Iterator[Sequence[object]]:
        kinds: dict[str, tuple[tuple[float, float], float, Callable[[], np.ndarray]]] = {
            "share of 50 %": ((0, 1), 0.5, lambda: generator.random(last) < 0.5),
            "share of 5 %": ((0, 1), 0.05, lambda: generator.random(last) < 0.05),
            "task means, beta(0.5, 0.5), 4 samples": (
                (0, 1),
                0.5,
                lambda: generator.binomial(4, generator.beta(0.5, 0.5, last)) / 4,
            ),
            "paired differences: 15 % better, 5 % worse": (
                (-1, 1),
                0.1,
                lambda: generator.choice([1, -1, 0], last, p=[0.15, 0.05, 0.8]),
            ),
        }
        for name, (bounds, truth, draw) in kinds.items():
            left = left_plain = left_at_5 = 0
            width = 0.0
            for _ in range(trials):
                sequence, values, plain = ConfidenceSequence(bounds), draw().astype(float), False
                for count, value in enumerate(values, start=1):
                    interval = sequence.add(float(value))
                    if count == 5:
                        left_at_5 += not holds(interval, truth)
                    if count > 4 and not plain:
                        plain = not holds(_looked_at(values[:count], bounds), truth)
                left += not holds(interval, truth)
                left_plain += plain
                width += interval.width / 2
            yield (
                name,
                percent(left, trials),
                percent(left_at_5, trials),
                percent(left_plain, trials),
                f"±{100 * width / trials:.1f}",
            )

    return ("values", "ever left out", "by task 5", "a fixed interval, as often", "half width at 500, points"), rows()


def _looked_at(values: np.ndarray, bounds: tuple[float, float]) -> Interval:
    if bounds == (0, 1) and np.isin(values, (0, 1)).all():
        return wilson(int(values.sum()), len(values))
    return t_interval(values.tolist())


def horizons() -> Table:
    """Families of three tasks with five runs, log odds of a family and of a task with standard deviation 0.7; and tasks
    of one run each, drawn row by row."""
    generator, trials = np.random.default_rng(5), 200

    def told(rows: HorizonRows, seed: int) -> tuple[bool, bool]:
        (found,) = fit_horizons(rows, num_draws=200, seed=seed).values()
        return (found.low or 0.0) <= 32 <= (math.inf if found.high is None else found.high), found.kind == "fitted"

    def rows() -> Iterator[Sequence[object]]:
        for slope in (0.5, 1.0, 2.0):
            for num_families in (5, 10, 20, 50):
                covered, kinds = 0, 0
                shape = (num_families, 3, 5)
                families, tasks, _ = np.indices(shape)
                for trial in range(trials):
                    x = np.broadcast_to(generator.uniform(0, 10, (num_families, 3, 1)), shape)
                    shift = sum(generator.normal(0, 0.7, (num_families, count, 1)) for count in (1, 3))
                    success = generator.random(shape) < 1 / (1 + np.exp(-slope * (5 - x) - shift))
                    flat = (success.astype(float).ravel(), np.exp2(x).ravel(), np.ones(x.size), np.zeros(x.size))
                    holding, fitted = told(HorizonRows(*flat, (families.ravel(), tasks.ravel())), trial)
                    covered, kinds = covered + holding, kinds + fitted
                yield slope, f"{num_families} families", percent(covered, trials), percent(kinds, trials)
            for num_tasks in (5, 10, 20, 50):
                covered = kinds = 0
                for trial in range(trials):
                    x = generator.uniform(0, 10, num_tasks)
                    success = (generator.random(num_tasks) < 1 / (1 + np.exp(-slope * (5 - x)))).astype(float)
                    flat = (success, np.exp2(x), np.ones(num_tasks), np.zeros(num_tasks))
                    holding, fitted = told(HorizonRows(*flat), trial)
                    covered, kinds = covered + holding, kinds + fitted
                yield slope, f"{num_tasks} tasks", percent(covered, trials), percent(kinds, trials)

    return ("log odds a doubling", "drawn", "covered", "fitted, not separated"), rows()


def maps(repeats: int = 50) -> Table:
    """Three complexities of four lengths, with so many tasks a cell."""
    lengths, groups, slope = np.array([1.0, 2.0, 4.0, 8.0] * 3), [0] * 4 + [1] * 4 + [2] * 4, -1.4
    reach, reliability = np.array([12.0, 3.0, 0.8]), np.array([0.98, 0.9, 0.6])
    logistic = 1 / (1 + (lengths / reach[groups]) ** (-slope / math.log(2)))

    def inside(estimate: Estimate, truth: float) -> bool:
        low, high = estimate.low, estimate.high
        return (low is None or low <= truth) and (high is None or truth <= high)

    def rows() -> Iterator[Sequence[object]]:
        for num in (6, 12, 30):
            generator = np.random.default_rng(num)
            held: dict[str, int] = dict.fromkeys(("50 %", "80 %", "doubling"), 0)
            for _ in range(repeats):
                solved = generator.binomial(num, logistic).tolist()
                fit = fit_frontier(lengths.tolist(), [num] * 12, solved, groups, [1, 2, 3])
                held["doubling"] += inside(fit.doubling, slope)
                for name, share in (("50 %", 0.5), ("80 %", 0.8)):
                    truth = reach * 2 ** (math.log(share / (1 - share)) / slope)
                    held[name] += sum(inside(each[share], h) for each, h in zip(fit.horizons, truth, strict=True))
            for name, count in held.items():
                yield num, name, percent(count, repeats * (1 if name == "doubling" else 3)), ""
            for shape in (1.0, 1.5):
                chance = np.exp(np.log(reliability[groups]) * lengths**shape)
                of_shape, rejected, of_rate = 0, 0, 0
                for _ in range(repeats):
                    hazard = fit_hazard(lengths.tolist(), [num] * 12, generator.binomial(num, chance).tolist(), groups)
                    of_shape += inside(hazard.shape, shape)
                    rejected += hazard.p_value is not None and hazard.p_value < 0.05
                    of_rate += sum(inside(each, p) for each, p in zip(hazard.reliability, reliability, strict=True))
                yield num, f"k = {shape:g}", percent(of_shape, repeats), percent(rejected, repeats)
                if shape == 1:
                    yield num, "p a step", percent(of_rate, 3 * repeats), ""

    return ("tasks a cell", "of", "covered", "k = 1 rejected"), rows()


def floors() -> Table:
    """How often two evaluations of one model, eight samples a task, differ by no more than the noise floor of the
    first."""
    generator, trials = np.random.default_rng(6), 2000

    def rows() -> Iterator[Sequence[object]]:
        for a, b in ((0.5, 0.5), (1.0, 1.0), (0.2, 1.0)):
            for num_tasks in (5, 10, 20, 100):
                within = 0
                for _ in range(trials):
                    p = generator.beta(a, b, num_tasks)
                    first, second = generator.binomial(8, p), generator.binomial(8, p)
                    floor = noise_floor([(8, int(solved)) for solved in first])
                    within += abs(first.mean() - second.mean()) / 8 <= (floor or 0.0) + 1e-12
                yield f"{num_tasks} x 8", f"beta({a:g}, {b:g})", percent(within, trials)

    return ("tasks x samples", "difficulties", "within the floor"), rows()


def ratings() -> Table:
    """How often the interval of a Bradley-Terry rating holds it, and how often one of its ends is open."""
    generator, trials = np.random.default_rng(8), 200

    def rows() -> Iterator[Sequence[object]]:
        for num_models, num_comparisons in ((4, 15), (4, 40), (4, 200), (8, 60), (10, 500)):
            inside = opened = total = 0
            for _ in range(trials):
                truth = generator.normal(0, 1, num_models)
                truth -= truth.mean()
                first = generator.integers(0, num_models, num_comparisons)
                second = (first + generator.integers(1, num_models, num_comparisons)) % num_models
                chance = 1 / (1 + np.exp(truth[first] - truth[second]))
                preference = (generator.random(num_comparisons) < chance).astype(float)
                found = fit_bradley_terry(Comparisons(first, second, preference, num_models))
                if len(found.parts) > 1:
                    continue  # the truth has mean 0 over all models
                for value, each in zip(truth, found.estimates, strict=True):
                    low = -math.inf if each.low is None else each.low
                    high = math.inf if each.high is None else each.high
                    inside += low <= value <= high
                    opened += each.low is None or each.high is None
                    total += 1
            yield num_models, num_comparisons, percent(inside, total), percent(opened, total)

    return ("models", "comparisons", "holds the rating", "has an open end"), rows()


def _played(generator: np.random.Generator, chance: np.ndarray, gain: float, spread: float) -> list[list[float]]:
    """[3, P] one answer a task of three seeds, after a gain that differs between them."""
    gains = gain + generator.normal(0, spread, (3, 1))
    return (generator.random((3, len(chance))) < chance + gains).astype(float).tolist()


def transfer(trials: int = 1000) -> Table:
    """Gains over three seeds, as `assay transfer` has them: one answer a task, tasks that differ (chances from 0.1 to
    0.5), seeds whose gains differ by a standard deviation. Coverage of a gain of 20 points, of the efficiency one half
    (gains of 15 and 30 points), and how often no gain is called one at 5 %."""

    def rows() -> Iterator[Sequence[object]]:
        for num_tasks in (32, 64, 128):
            for spread in (0.0, 0.03, 0.1):
                generator = np.random.default_rng([num_tasks, int(100 * spread)])
                held = false = ratios = ratios_held = 0
                for _ in range(trials):
                    chance = generator.uniform(0.1, 0.5, num_tasks)
                    before = [(generator.random(num_tasks) < chance).astype(float).tolist()] * 3
                    samples = (num_tasks, 3 * num_tasks)
                    held += holds(
                        difference_over_seeds(before, _played(generator, chance, 0.2, spread), num_samples=samples), 0.2
                    )
                    false += (
                        difference_test_over_seeds(before, _played(generator, chance, 0.0, spread), num_samples=samples)
                        < 0.05
                    )
                    sides = (np.array(_played(generator, chance, gain, spread)) for gain in (0.15, 0.3))
                    gains = [(side - np.array(before)).tolist() for side in sides]
                    ratio = ratio_over_seeds(*gains)
                    if ratio.value is not None:
                        ratios += 1
                        ratios_held += (ratio.low is None or ratio.low <= 0.5) and (
                            ratio.high is None or ratio.high >= 0.5
                        )
                told = percent(ratios_held, ratios), percent(ratios, trials)
                yield num_tasks, f"{100 * spread:g}", percent(held, trials), percent(false, trials), *told

    return ("tasks", "seeds, points", "gain", "no gain called one", "efficiency", "efficiency defined"), rows()


TABLES = (
    many_samples,
    gains,
    alarms,
    powers,
    bootstrap,
    seeds,
    judged,
    stopping,
    horizons,
    maps,
    floors,
    ratings,
    transfer,
)


if __name__ == "__main__":
    for make in TABLES:
        if sys.argv[1:] and make.__name__ not in sys.argv[1:]:
            continue
        headings, rows = make()
        print(f"\n<!-- by coverage.py: {make.__name__} -->")
        print("| " + " | ".join(headings) + " |\n|" + "---|" * len(headings), flush=True)
        for row in rows:
            print("| " + " | ".join(map(str, row)) + " |", flush=True)
