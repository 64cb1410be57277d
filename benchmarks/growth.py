"""How our cost grows, one size at a time: `python benchmarks/growth.py --json FILE --plot PNG`.

Each curve changes one size and keeps the others. Its exponent is the slope of log seconds over log size, by least
squares: 1 where twice the size takes twice the time. Local slopes, between neighbouring sizes, show where fixed costs
end and where quadratic ones begin. The least of the repeats counts: what others add is never taken away.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import machine
from assay.launch import COMPUTE_DTYPES
from assay.observe.provenance import provenance
from assay.policies.tiny import write_tiny_model
from assay.verifiers.math import Math
from side_ours import Ours
from verifier import expression_rows, score_all
from works import token_ids

SHAPE = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "initializer_range": 0.02,
}
"""SmolLM2-135M."""
SMALL = {**SHAPE, "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4, "num_attention_heads": 4}
SMALL["num_key_value_heads"] = 2
MODELS = (
    {**SMALL, "hidden_size": 64, "intermediate_size": 192, "num_attention_heads": 2, "num_key_value_heads": 1},
    {**SMALL, "vocab_size": 16384},
    {**SMALL, "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 12, "num_attention_heads": 6},
    SHAPE,
    {**SHAPE, "hidden_size": 960, "intermediate_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 15}
    | {"num_key_value_heads": 5},
)
"""From tiny to SmolLM2-360M; random weights."""

DTYPE = {"name": "bf16"}
"""What is computed in; the command's --dtype."""

Measure = Callable[[], float]
"""Seconds of one repeat."""


@dataclass(frozen=True)
class Curve:
    """Seconds over one size."""

    name: str
    size: str
    """What changes."""
    demanded: str
    """What the mathematics asks for: an exponent, or a range of them."""
    points: Callable[[], Iterator[tuple[float, Measure]]]
    """Sizes in rising order, each with what is measured there; made one at a time, since models are large."""


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Least-squares slope of log seconds over log size."""
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in seconds]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


# ---- what is measured ----


def sampling(ours: Ours, count: int, length: int, group_size: int, new_tokens: int) -> Measure:
    prompts = [token_ids(random.Random(i), length) for i in range(count)]
    return lambda: ours.rollouts(_within(ours, prompts), group_size, new_tokens, seed=0)["seconds"]


def updating(ours: Ours, count: int, length: int, group_size: int, response: int) -> Measure:
    rng = random.Random(0)
    groups = [
        {
            "prompt": _within(ours, [token_ids(rng, length)])[0],
            "responses": _within(ours, [token_ids(rng, response) for _ in range(group_size)]),
        }
        for _ in range(count)
    ]
    return lambda: ours.update(groups, tokens_per_microbatch=4096)["seconds"]


def _within(ours: Ours, rows: list[list[int]]) -> list[list[int]]:
    """The same numbers of tokens, of a vocabulary that may be small."""
    return [[token % ours.policy.config.vocab_size for token in row] for row in rows]


def over_models(
    shapes: Sequence[dict[str, Any]], size: Callable[[Ours], float], make: Callable[[Ours], Measure]
) -> Any:
    def points() -> Iterator[tuple[float, Measure]]:
        for shape in shapes:
            ours = random_model(shape)
            yield size(ours), make(ours)
            del ours
            gc.collect()

    return points


def over_sizes(sizes: Sequence[int], make: Callable[[Ours, int], Measure]) -> Any:
    def points() -> Iterator[tuple[float, Measure]]:
        ours = random_model(SHAPE)
        for size in sizes:
            yield size, make(ours, size)

    return points


def random_model(shape: dict[str, Any]) -> Ours:
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(write_tiny_model(Path(folder), **shape), COMPUTE_DTYPES[DTYPE["name"]])
    ours.rollouts([[1] * 8], group_size=1, new_tokens=2, seed=0)
    return ours


def verifying(num_workers: int) -> Measure:
    verifier = Math(num_workers=num_workers)
    # So many that every worker has started.
    asyncio.run(score_all(verifier, expression_rows(400)))
    # Other ones each time: a worker is faster with what it has seen, and the more there are the less each has seen.
    seeds = itertools.count(2)

    def measure() -> float:
        rows = expression_rows(400, next(seeds))
        start = time.perf_counter()
        asyncio.run(score_all(verifier, rows))
        return time.perf_counter() - start

    return measure


def parameters(ours: Ours) -> float:
    return sum(weight.numel() for _, weight in ours.policy.weights()) / 1e6


def vocabulary(ours: Ours) -> float:
    return ours.policy.config.vocab_size


VOCABULARIES = [{**SMALL, "vocab_size": size} for size in (8192, 16384, 32768, 65536, 131072, 262144)]
PROMPTS, RESPONSES, GROUPS = (64, 128, 256, 512, 1024, 2048), (16, 32, 64, 128, 256, 512), (1, 2, 4, 8, 16, 32, 64)
CURVES = (
    Curve(
        "sample: prompt length",
        "tokens of 4 prompts, one new token",
        "1, attention 2",
        over_sizes(PROMPTS, lambda ours, n: sampling(ours, 4, n, 1, 1)),
    ),
    Curve(
        "update: prompt length",
        "tokens of 4 prompts, 32 trained",
        "1, attention 2",
        over_sizes(PROMPTS, lambda ours, n: updating(ours, 4, n, 1, 32)),
    ),
    Curve(
        "sample: response length",
        "new tokens of 16 sequences",
        "1, attention 2",
        over_sizes(RESPONSES, lambda ours, n: sampling(ours, 16, 32, 1, n)),
    ),
    Curve(
        "update: response length",
        "trained tokens of 16 sequences",
        "1, attention 2",
        over_sizes(RESPONSES, lambda ours, n: updating(ours, 16, 32, 1, n)),
    ),
    Curve(
        "sample: group size",
        "members of a 512-token prompt, 32 new tokens each",
        "0 to 1",
        over_sizes(GROUPS, lambda ours, n: sampling(ours, 1, 512, n, 32)),
    ),
    Curve(
        "update: group size",
        "members of a 512-token prompt, 32 trained tokens each",
        "0 to 1",
        over_sizes(GROUPS, lambda ours, n: updating(ours, 1, 512, n, 32)),
    ),
    Curve(
        "sample: vocabulary",
        "tokens; 4 layers of 256, 32 sequences of 32 new tokens",
        "0 to 1",
        over_models(VOCABULARIES, vocabulary, lambda ours: sampling(ours, 32, 8, 1, 32)),
    ),
    Curve(
        "update: vocabulary",
        "tokens; 4 layers of 256, 32 sequences of 32 trained tokens",
        "0 to 1",
        over_models(VOCABULARIES, vocabulary, lambda ours: updating(ours, 32, 8, 1, 32)),
    ),
    Curve(
        "sample: model size",
        "million parameters; 32 sequences of 32 new tokens",
        "1",
        over_models(MODELS, parameters, lambda ours: sampling(ours, 32, 32, 1, 32)),
    ),
    Curve(
        "update: model size",
        "million parameters; 32 sequences of 32 trained tokens",
        "1",
        over_models(MODELS, parameters, lambda ours: updating(ours, 32, 32, 1, 32)),
    ),
    Curve(
        "verify: workers",
        "processes of the math verifier, 400 expressions",
        "-1 to the number of cores, then 0",
        lambda: ((n, verifying(n)) for n in (1, 2, 4, 8)),
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/growth.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(curve.name for curve in CURVES)
    parser.add_argument("curves", nargs="*", metavar="CURVE", help=f"a part of a name; of {names}")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--busy", action="store_true", help="measure though others use the machine")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the curves")
    arguments = parser.parse_args()
    chosen = [curve for curve in CURVES if not arguments.curves or any(part in curve.name for part in arguments.curves)]
    DTYPE["name"] = arguments.dtype
    if not chosen:
        parser.error(f"no curve has {arguments.curves} in its name; there are {names}")
    if not arguments.busy:
        machine.refuse_if_busy()
    found: dict[str, dict[str, Any]] = {}
    for curve in chosen:
        found[curve.name] = _measure(curve, arguments.repeats)
        if arguments.json:
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(
                json.dumps({"dtype": arguments.dtype, "curves": found, **provenance()}, indent=2) + "\n"
            )
    print(table(found))
    if arguments.plot:
        plot(found, arguments.plot)


def _measure(curve: Curve, repeats: int) -> dict[str, Any]:
    sizes: list[float] = []
    seconds: list[float] = []
    for size, measure in curve.points():
        measure()
        sizes.append(size)
        seconds.append(min(measure() for _ in range(repeats)))
        print(f"  {curve.name} {size:g}: {seconds[-1]:.3f} s", file=sys.stderr)
        # It holds the model, which is to be gone before the next is made.
        del measure
    pairs = list(zip(sizes, seconds, strict=True))
    return {
        "size": curve.size,
        "demanded": curve.demanded,
        "sizes": sizes,
        "seconds": seconds,
        "exponent": exponent(sizes, seconds),
        "local_exponents": [exponent(*zip(a, b, strict=True)) for a, b in itertools.pairwise(pairs)],
        "threads": torch.get_num_threads(),
    }


def table(found: dict[str, dict[str, Any]]) -> str:
    """In Markdown."""
    lines = ["| what grows | from | to | exponent | at the largest sizes | demanded |", "|---|---|---|---|---|---|"]
    for name, curve in found.items():
        ends = [f"{curve['sizes'][i]:,.4g}: {curve['seconds'][i]:.3g} s" for i in (0, -1)]
        lines.append(
            f"| {name} ({curve['size']}) | {' | '.join(ends)} | {curve['exponent']:.2f} "
            f"| {curve['local_exponents'][-1]:.2f} | {curve['demanded']} |"
        )
    return "\n".join(lines)


def plot(found: dict[str, dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels: dict[str, list[str]] = {}
    for name in found:
        panels.setdefault(name.partition(": ")[2], []).append(name)
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(4.2 * columns, 3.2 * rows), squeeze=False)
    for axis, (panel, names) in zip(axes.flat, panels.items(), strict=False):
        for name in names:
            curve = found[name]
            label = f"{name.partition(':')[0]}, exponent {curve['exponent']:.2f}"
            axis.loglog(curve["sizes"], curve["seconds"], "o-", base=2, label=label)
        axis.set_title(panel)
        axis.set_ylabel("seconds")
        axis.grid(True, which="major", alpha=0.3)
        axis.legend(fontsize=8)
    for axis in list(axes.flat)[len(panels) :]:
        axis.set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
