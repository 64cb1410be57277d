"""Rules about what is sampled: the gap to the trainer, stale weights, templates, prompts, answers cut off."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Sequence

from assay.doctor.chart import Attempt, Chart
from assay.doctor.finding import Rule, Symptom
from assay.statistics import t_interval

LARGE_GAP = 0.01
"""Nats a token, KL(sampler || trainer), of the same weights."""
GROWTH = 10.0
"""A gap that is so many times what it was at the first step has grown."""
OFTEN = 0.25
LEAST_ROLLOUTS = 24
CUT_OFF_SHARE = 0.3
LEAST_ENDED = 8
"""Responses that ended, below which nothing is compared with them."""
LITTLE = 0.02
"""Mean reward that is as good as none."""
LONGEST_HEADER = 8
"""Tokens that a prompt may begin with twice."""

_SPECIAL = re.compile(r"<\|[^|<>\n]{1,40}\|>|</?s>|<(?:start|end)_of_turn>|<eos>")
_OTHERS_TURN = re.compile(r"(?im)^(?:<\|[^|<>\n]{1,40}\|>)?\s*(?:user|human|system)(?:\s*:|\s*$|<\|)")
_OWN_HEADER = re.compile(r"(?i)\A\s*(?:<\|[^|<>\n]{1,40}\|>)?\s*(?:assistant|model)\s*(?::|\n|<\|)")
_NESTED = re.compile(r"(<\|[^|<>\n]{1,40}\|>)\w*(?:<\|[^|<>\n]{1,40}\|>)?\s*\1")


def _gap(chart: Chart) -> Symptom | str | None:
    gaps = chart.series("gap/kl_nats")
    if not gaps:
        return "the run has not recorded the gap"
    if chart.setting("max_staleness", 0):
        gaps = gaps[:1]  # Later rollouts are of older weights by intent.
    values = [value for _, value in gaps]
    if statistics.median(values) <= LARGE_GAP and statistics.median(values[-3:]) <= LARGE_GAP:
        return None
    first = next(step for step, value in gaps if value > LARGE_GAP)
    return Symptom(
        "sampler and trainer give the same tokens different probabilities, from "
        + ("the first step on" if first == gaps[0][0] else f"step {first + 1} on"),
        {"gap_kl_first_nats": round(values[0], 5), "gap_kl_now_nats": round(statistics.median(values[-3:]), 5)},
        first,
        next((attempt.place for attempt in chart.attempts if attempt.step == first), None),
        (
            'engine.name="hf"  (another engine: is the gap its own?)',
            'model.compute_dtype="fp32"  (is it rounding?)',
            'algorithm.correction.kind="truncate"  (corrects for a gap that stays)',
        ),
    )


def _stale(chart: Chart) -> Symptom | str | None:
    allowed = int(chart.setting("max_staleness", 0))
    late = [attempt for attempt in chart.attempts if attempt.step - attempt.version > allowed]
    if late and len(late) >= OFTEN * len(chart.attempts):
        worst = max(attempt.step - attempt.version for attempt in late)
        return Symptom(
            f"rollouts were sampled by weights up to {worst} versions old, {allowed} allowed: the trainer's weights do "
            "not reach the sampler",
            {"max_staleness_versions": worst, "allowed": allowed, "rollouts": len(late)},
            late[0].step,
            late[-1].place,
            (f"max_staleness={allowed}  (restart the engine, and see that it takes new weights)", 'engine.name="hf"'),
        )
    gaps = [value for _, value in chart.series("gap/kl_nats")]
    if allowed or len(gaps) < 4:
        return None if allowed else "fewer than four steps with a gap between sampler and trainer"
    now = statistics.median(gaps[-3:])
    if now <= LARGE_GAP or gaps[0] > now / GROWTH or gaps[0] > LARGE_GAP:
        return None
    return Symptom(
        "the gap between sampler and trainer was none at the first step and grows with every update: rollouts are "
        "stamped as new, and come from older weights",
        {"gap_kl_first_nats": round(gaps[0], 5), "gap_kl_now_nats": round(now, 5)},
        next(step for step, value in chart.series("gap/kl_nats") if value > LARGE_GAP),
        chart.late[-1].place if chart.late else None,
        ('engine.name="hf"  (another engine: does it take new weights?)',),
    )


def _template(chart: Chart) -> Symptom | str | None:
    late = [attempt for attempt in chart.late if attempt.num_turns == 1 and attempt.ending != "broken"]
    if len(late) < LEAST_ROLLOUTS:
        return f"{len(late)} rollouts of one turn, {LEAST_ROLLOUTS} needed"
    signs: Sequence[tuple[str, Callable[[Attempt], bool], str]] = (
        (
            "says the header of its own turn first, which the prompt should end with",
            lambda attempt: bool(_OWN_HEADER.search(attempt.response)),
            "model.chat_template=chatml  (ends with the assistant's header; left out, it is the tokenizer's own)",
        ),
        (
            "goes on past an end token that does not stop it",
            lambda attempt: bool(_SPECIAL.search(_without_end(attempt.response))),
            'sampling.stop=["<|im_end|>"]  (the end token of the template)',
        ),
        (
            "writes the other side's turn too",
            lambda attempt: bool(_OTHERS_TURN.search(attempt.response)),
            "model.chat_template=chatml  (with an end of turn; left out, it is the tokenizer's own)",
        ),
    )
    for what, holds, remedy in signs:
        found = [attempt for attempt in late if holds(attempt)]
        if len(found) >= OFTEN * len(late):
            return Symptom(
                f"in {len(found)} of {len(late)} rollouts the model {what}: template or stop token do not fit it",
                {"share": round(len(found) / len(late), 4), "rollouts": len(late)},
                chart.since(holds),
                found[-1].place,
                (remedy, "model.chat_template=FILE.jinja  (the template that the model was trained with)"),
            )
    return None


def _without_end(response: str) -> str:
    """A response without the end token that stopped it."""
    ends = [match for match in _SPECIAL.finditer(response) if match.end() == len(response.rstrip())]
    return response[: ends[-1].start()] if ends else response


def _twice(chart: Chart) -> Symptom | str | None:
    if not chart.prompts:
        return "no prompts"
    again = [prompt for prompt in chart.prompts if _begins_twice(prompt.token_ids)]
    nested = [prompt for prompt in chart.prompts if _NESTED.search(prompt.text)]
    found = max(again, nested, key=len)
    if 10 * len(found) < 9 * len(chart.prompts):
        return None
    match = _NESTED.search(found[0].text)
    shown = (match.group(0) if match else found[0].text[:60]).strip()
    return Symptom(
        f"prompts have what a template puts before a message twice ({shown!r:.80}): they were made into text or "
        "tokens, and then again",
        {"prompts": len(found), "of": len(chart.prompts)},
        None,
        found[0].place,
        (
            "model.chat_template=FILE.jinja  (one that does not begin with the token that the tokenizer adds)",
            "environment.path=...  (tasks as messages, not as text with a template's marks)",
        ),
    )


def _begins_twice(ids: Sequence[int]) -> bool:
    return any(ids[:size] == ids[size : 2 * size] for size in range(1, min(LONGEST_HEADER, len(ids) // 2) + 1))


def _cut_off(chart: Chart) -> Symptom | str | None:
    late = [attempt for attempt in chart.late if attempt.value is not None]
    if len(late) < LEAST_ROLLOUTS:
        return f"{len(late)} measured rollouts, {LEAST_ROLLOUTS} needed"
    cut = [attempt for attempt in late if attempt.is_cut_off]
    whole = [attempt for attempt in late if not attempt.is_cut_off]
    share = len(cut) / len(late)
    if share < CUT_OFF_SHARE:
        return None
    earned = statistics.fmean(attempt.value or 0.0 for attempt in cut)
    others = statistics.fmean(attempt.value or 0.0 for attempt in whole) if len(whole) >= LEAST_ENDED else None
    if earned > LITTLE if others is None else not _earn_less(cut, whole):
        return None
    limit = int(chart.setting("sampling.max_new_tokens", 256))
    numbers: dict[str, float | int | str] = {
        "cut_off_share": round(share, 4),
        "max_new_tokens": limit,
        "reward_cut_off": round(earned, 4),
    }
    if others is not None:
        numbers["reward_ended"] = round(others, 4)
    return Symptom(
        f"{len(cut)} of {len(late)} responses are cut off at {limit} tokens, and earn little for it",
        numbers,
        chart.since(lambda attempt: attempt.is_cut_off),
        cut[-1].place,
        (f"sampling.max_new_tokens={4 * limit}", 'algorithm.overlong="filter"  (leaves them out of the loss)'),
    )


def _earn_less(some: Sequence[Attempt], others: Sequence[Attempt]) -> bool:
    """True where some earn less than half of what the others do, whatever the chance."""
    less, more = (t_interval([attempt.value or 0.0 for attempt in part]) for part in (some, others))
    return less.value <= LITTLE < more.low or less.high < 0.5 * more.low


GAP = Rule(
    "sampler-trainer gap",
    f"the median of KL(sampler || trainer) is above {LARGE_GAP} nats a token",
    _gap,
    explained_by=("stale weights",),
)
STALE = Rule(
    "stale weights",
    f"a quarter of the rollouts is of weights older than max_staleness allows; or the gap to the trainer was below "
    f"{LARGE_GAP} nats at the first step, and is {GROWTH:g} times as large and above that now",
    _stale,
)
TEMPLATE = Rule(
    "template",
    f"in {OFTEN:.0%} of the rollouts of one turn the model says a turn's header first, goes on past an end token, or "
    "writes the other side's turn",
    _template,
    explained_by=("prompt twice",),
)
TWICE = Rule(
    "prompt twice",
    f"nine of ten prompts begin with the same 1 to {LONGEST_HEADER} tokens twice, or have a template's header within "
    "its own header",
    _twice,
)
CUT_OFF = Rule(
    "cut off",
    f"{CUT_OFF_SHARE:.0%} of the measured rollouts end at the token limit and earn less than half of what the others "
    f"do (ends of both 95 % intervals), or at most {LITTLE} where fewer than {LEAST_ENDED} end otherwise",
    _cut_off,
    explained_by=("template", "prompt twice", "step too large"),
)
