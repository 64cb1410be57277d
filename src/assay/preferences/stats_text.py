"""What a set of comparisons says of itself, in lines that people read: for the terminal and for the page."""

from __future__ import annotations

from assay.preferences.stats import Bias, PairStats, Repeats
from assay.statistics.interval import Interval


def stats_lines(found: PairStats) -> list[tuple[str, str]]:
    """Return (what, value in words) of each number."""
    return [
        ("pairs", f"{found.num:,}, {found.num_distinct:,} of them distinct, of {found.num_prompts:,} prompts"),
        ("ties", f"{found.num_ties:,}, {found.ties.as_percent()}"),
        ("length", _length(found.length)),
        ("position", _position(found.position)),
        ("repeats", _repeats(found.repeats)),
        ("contradictions", f"{found.num_contradictions:,}" + (" judged both ways" if found.num_contradictions else "")),
        ("agreement between annotators", _agreement(found)),
        ("seconds for a judgement", _seconds(found)),
    ]


def _length(bias: Bias) -> str:
    if bias.share is None or bias.coefficient is None:
        return "unknown: no strict preference between responses of different lengths"
    coefficient = _signed(bias.coefficient)
    form = f"the longer is preferred in {bias.share.as_percent()}; log odds of twice the length {coefficient}"
    return form + (" (it explains every pair; Firth's penalty keeps this finite)" if bias.is_separated else "")


def _position(bias: Bias) -> str:
    if not bias.num:
        return "unknown: the order in which responses were shown is not"
    if bias.share is None or bias.coefficient is None:
        return f"unknown: no strict preference among the {bias.num:,} pairs whose order is known"
    of = f" ({bias.num:,} pairs whose order is known)"
    form = f"the second is preferred in {bias.share.as_percent()}; log odds at equal length {_signed(bias.coefficient)}"
    return form + (", though it explains every pair" if bias.is_separated else "") + of


def _signed(interval: Interval) -> str:
    return f"{interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def _repeats(repeats: Repeats) -> str:
    if repeats.same is None:
        return "none: no annotator has judged a pair twice"
    text = f"{repeats.num:,} pairs judged again by one annotator, alike in {repeats.same.as_percent()}"
    return text + (
        "" if repeats.swapped is None else f"; shown in both orders, alike in {repeats.swapped.as_percent()}"
    )


def _agreement(found: PairStats) -> str:
    agreement = found.agreement
    if agreement.undefined:
        return f"undefined: {agreement.undefined}"
    units = f"{agreement.num_units:,} pairs, {agreement.num_annotators:,} annotators"
    text = f"Krippendorff's alpha {agreement.alpha.shown('.3f')} ({units})"
    return text + (", unanimous: they agree perfectly" if agreement.is_unanimous else "")


def _seconds(found: PairStats) -> str:
    if not found.num_timed:
        return "unknown"
    return f"{found.seconds.shown('.1f')}, the median of {found.num_timed:,}"
