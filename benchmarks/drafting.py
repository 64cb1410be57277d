"""What drafting could gain: `python benchmarks/drafting.py RUN [RUN ...] [--drafts 1 2 4 8] [--json FILE]`.

Tokens to come are guessed from what stands behind the same last tokens in the siblings' responses so far, in the
response itself and in the prompt (prompt lookup: Saxena 2023, https://github.com/apoorvumang/prompt-lookup-decoding).
A guess is accepted where the sampler would have drawn that token, so that what is sampled stays the same, token for
token; it is accepted as often as in speculative sampling (Leviathan et al. 2023, https://arxiv.org/abs/2211.17192) with
a guess of probability 1. How many would have been accepted is counted on the rollouts of real runs. A pass over a row
for each sequence and each of its guesses takes the time that the engine takes for as many sequences, which is measured
here. Looking guesses up is taken to cost nothing: what is printed is a bound.
"""

from __future__ import annotations

import argparse
import bisect
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.models import open_model
from assay.observe.store import RunStore
from assay.training import choose_dtype
from side_ours import Ours

LONGEST_MATCH, SHORTEST_MATCH = 4, 2
"""Last tokens that must stand in a text for what follows them there to be a guess; more are tried first."""
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
PROMPT_TOKENS, FEW_TOKENS, MANY_TOKENS = 40, 4, 20


@dataclass
class Member:
    """A response that is sampled again, token by token."""

    prompt: tuple[int, ...]
    response: tuple[int, ...]
    done: int = 0

    @property
    def ended(self) -> bool:
        return self.done >= len(self.response)

    @property
    def said(self) -> tuple[int, ...]:
        return self.response[: self.done]


def guesses(member: Member, siblings: Sequence[Member], most: int) -> tuple[int, ...]:
    """Up to `most` tokens that may come next: behind the longest match, in a sibling's response before one's own."""
    own = member.prompt + member.said
    texts = [each.said for each in siblings if each is not member] + [own]
    for length in range(LONGEST_MATCH, SHORTEST_MATCH - 1, -1):
        last = own[-length:]
        for text in texts:
            # The end of one's own text matches itself, with nothing behind it.
            for start in range(len(text) - length - 1, -1, -1):
                if text[start : start + length] == last:
                    return text[start + length : start + length + most]
    return ()


def passes(groups: Sequence[Sequence[Member]], most: int, few: int | None = None) -> tuple[list[int], int, int]:
    """Sample groups again, all at once; rows of each pass over the model, and how many guesses were made and accepted.

    Args:
        few: guess only where no more than so many sequences are under way.
    """
    groups = [[Member(each.prompt, each.response) for each in group] for group in groups]
    rows, num_guessed, num_accepted = [], 0, 0
    while live := [(each, group) for group in groups for each in group if not each.ended]:
        allowed = most if few is None or len(live) <= few else 0
        made = [guesses(each, group, allowed) if allowed else () for each, group in live]
        rows.append(sum(1 + len(guess) for guess in made))
        for (each, _), guess in zip(live, made, strict=True):
            to_come = each.response[each.done :]
            right = 0
            while right < min(len(guess), len(to_come)) and guess[right] == to_come[right]:
                right += 1
            num_guessed, num_accepted = num_guessed + len(guess), num_accepted + right
            each.done += right + 1
    return rows, num_guessed, num_accepted


def seconds_of_a_pass(ours: Ours, num_rows: int) -> float:
    """Seconds that a pass over so many sequences takes, without what their prompts take."""
    prompts = [[100 + row % 50, *range(1000, 1000 + PROMPT_TOKENS - 1)] for row in range(min(num_rows, 8))]
    each = max(1, num_rows // len(prompts))
    took = {
        count: min(ours.rollouts(prompts, each, count, seed)["seconds"] for seed in range(3))
        for count in (FEW_TOKENS, MANY_TOKENS)
    }
    return (took[MANY_TOKENS] - took[FEW_TOKENS]) / (MANY_TOKENS - FEW_TOKENS)


class Cost:
    """Seconds of a pass by its rows, on lines between those that were measured."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self._rows, self._seconds = list(seconds), list(seconds.values())

    def __call__(self, rows: int) -> float:
        place = min(max(bisect.bisect_left(self._rows, rows), 1), len(self._rows) - 1)
        (low, high), (at_low, at_high) = self._rows[place - 1 : place + 1], self._seconds[place - 1 : place + 1]
        return at_low + (at_high - at_low) * (rows - low) / (high - low)


def steps_of(run: Path) -> list[list[list[Member]]]:
    """The groups of each step of a run whose rollouts have one turn."""
    steps: dict[int, dict[int, list[Member]]] = {}
    for each in RunStore.open_readonly(run).rollouts():
        if each.num_turns == 1 and any(each.loss_mask):
            first = each.loss_mask.index(True)
            member = Member(each.token_ids[:first], each.token_ids[first:])
            steps.setdefault(each.step, {}).setdefault(each.group_id, []).append(member)
    return [list(groups.values()) for groups in steps.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of runs, of one turn a rollout")
    parser.add_argument("--drafts", type=int, nargs="+", default=(1, 2, 4, 8), help="guesses of a sequence at most")
    parser.add_argument("--few", type=int, default=8, help="sequences under way that count as few")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    dtype = choose_dtype("cpu").dtype
    print(f"dtype {dtype}; measuring passes", flush=True)
    ours = Ours(open_model("default").folder, dtype)
    seconds = {rows: seconds_of_a_pass(ours, rows) for rows in ROWS}
    for rows, took in seconds.items():
        print(f"{rows:4} rows {1000 * took:8.2f} ms, {1000 * took / rows:6.2f} a row", flush=True)
    cost, found = Cost(seconds), []
    for run in options.runs:
        steps = steps_of(run)
        plain = [sum(map(cost, passes(groups, 0)[0])) for groups in steps]
        for few in (None, options.few):
            for most in options.drafts:
                counted = [passes(groups, most, few) for groups in steps]
                times = [before / sum(map(cost, rows)) for before, (rows, _, _) in zip(plain, counted, strict=True)]
                guessed, accepted = sum(each[1] for each in counted), sum(each[2] for each in counted)
                row = {"run": run.name, "drafts": most, "few": few, "times": statistics.median(times)}
                row |= {"low": min(times), "high": max(times), "accepted": accepted / max(guessed, 1)}
                found.append(row)
                where = "always" if few is None else f"with {few} sequences or fewer"
                print(
                    f"{run.name}: {most} guesses, {where}: {row['times']:.2f} times as fast ({row['low']:.2f} to "
                    f"{row['high']:.2f} over {len(steps)} steps), {row['accepted']:.0%} accepted",
                    flush=True,
                )
    if options.json:
        options.json.write_text(json.dumps({"seconds_of_a_pass": seconds, "runs": found}, indent=1))


if __name__ == "__main__":
    started = time.perf_counter()
    main()
    print(f"{time.perf_counter() - started:.0f} s")
