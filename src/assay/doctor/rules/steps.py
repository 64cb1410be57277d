"""Rules about updates: steps too large, steps without effect, an adapter that does not learn."""

from __future__ import annotations

from assay.doctor.chart import Chart
from assay.doctor.finding import Rule, Symptom

LARGE_KL = 0.5
"""Nats per token that one step may move the policy."""
SKIPPED = 0.2
"""Share of updates that may be left out."""
LEAST_CHANGE = 1e-4
"""Share of the weights that a whole run should move, at the least; of an adapter, which begins at zero, more."""
LEAST_CHANGE_OF_ADAPTER = 3e-3
LEAST_SCALE = 0.01
"""Factor of an adapter's product below which it says nothing."""


def _too_large(chart: Chart) -> Symptom | str | None:
    moved = chart.series("policy/step_kl_nats")
    skipped, made = chart.series("train/num_skipped"), chart.series("train/num_updates")
    num_skipped = sum(value for _, value in skipped)
    tried = num_skipped + sum(value for _, value in made)
    share = num_skipped / tried if tried else 0.0
    large = [(step, value) for step, value in moved if value > LARGE_KL]
    if share <= SKIPPED and len(large) < max(2, len(moved) // 10):
        return None if moved else "the run has not recorded how far its steps moved the policy"
    step = large[0][0] if large else next(step for step, value in skipped if value)
    rate = float(chart.setting("trainer.learning_rate", 1e-5))
    numbers: dict[str, float | int | str] = {"learning_rate": rate, "updates_left_out_share": round(share, 4)}
    if large:
        numbers |= {
            "largest_step_kl_nats": round(max(value for _, value in large), 3),
            "steps_beyond": len(large),
            "steps": len(moved),
        }
    after = next((attempt for attempt in chart.attempts if attempt.step == step + 1), None)
    return Symptom(
        f"{len(large)} of {len(moved)} steps moved the policy by more than {LARGE_KL} nats a token"
        if large
        else f"{num_skipped:g} of {tried:g} updates were left out: loss or gradient not finite",
        numbers,
        step,
        None if after is None else after.place,
        (
            f"trainer.learning_rate={rate / 10:g}",
            "trainer.warmup_steps=10",
            f"groups_per_step={2 * int(chart.setting('groups_per_step', 8))}  (a less noisy gradient)",
        ),
    )


def _change(chart: Chart) -> tuple[float, int] | str:
    """The share of the weights that the whole run will have moved at today's pace, and the step it was measured at; a
    text where that cannot be said."""
    changed = [(step, value) for step, value in chart.series("train/weight_change_share")]
    if not changed:
        return "the run has not recorded how far its weights moved"
    learning = chart.late_median("reward/groups_with_signal_share")
    if learning == 0.0 and not chart.setting("algorithm.kl_coefficient"):
        return "no group had a signal: there was nothing to move for"
    pace = max(value for _, value in changed)
    return pace * max(int(chart.setting("num_steps", 1)), len(changed)), changed[-1][0]


def _no_effect(chart: Chart) -> Symptom | str | None:
    if chart.setting("model.lora"):
        return "the run trains an adapter: see that rule"
    found = _change(chart)
    if isinstance(found, str) or found[0] >= LEAST_CHANGE:
        return found if isinstance(found, str) else None
    return _unmoved(chart, *found, f"at this pace the whole run moves the weights by {found[0]:.2g} of their norm")


def _adapter(chart: Chart) -> Symptom | str | None:
    lora = chart.setting("model.lora")
    if not lora:
        return None
    rank, alpha = float(lora.get("rank", 16)), float(lora.get("alpha", 32.0))
    scale = alpha / (rank**0.5 if lora.get("rslora") else rank)
    found = _change(chart)
    if scale < LEAST_SCALE:
        finding = _unmoved(
            chart, 0.0, 0, f"the adapter's product is multiplied by {scale:.2g}: it hardly changes the model"
        )
        return Symptom(
            finding.what,
            {"scale": scale, "alpha": alpha, "rank": rank},
            0,
            finding.place,
            (f"model.lora.alpha={2 * rank:g}", *finding.remedies),
        )
    if isinstance(found, str) or found[0] >= LEAST_CHANGE_OF_ADAPTER:
        return found if isinstance(found, str) else None
    what = f"at this pace the whole run moves the adapter by {found[0]:.2g} of its norm: the model stays what it was"
    return _unmoved(chart, *found, what)


def _unmoved(chart: Chart, change: float, step: int, what: str) -> Symptom:
    rate = float(chart.setting("trainer.learning_rate", 1e-5))
    usual = 2e-4 if chart.setting("model.lora") else 1e-5
    remedy = usual if rate < usual else 10 * rate
    numbers: dict[str, float | int | str] = {"weight_change_of_run": change, "learning_rate": rate}
    if (norm := chart.late_median("train/grad_norm")) is not None:
        numbers["gradient_norm"] = round(norm, 6)
    place = chart.attempts[-1].place if chart.attempts else None
    return Symptom(what, numbers, step, place, (f"trainer.learning_rate={remedy:g}", "trainer.warmup_steps=0"))


TOO_LARGE = Rule(
    "step too large",
    f"one step in ten, and at least two, moved the policy by more than {LARGE_KL} nats a token, or more than "
    f"{SKIPPED:.0%} of the updates were left out",
    _too_large,
    explained_by=("stale weights", "sampler-trainer gap"),
)
NO_EFFECT = Rule(
    "step without effect",
    f"at the largest pace so far, the whole run moves the weights by less than {LEAST_CHANGE:g} of their norm",
    _no_effect,
    explained_by=("no reward", "no variance"),
)
ADAPTER = Rule(
    "adapter does not learn",
    f"the same of an adapter, by less than {LEAST_CHANGE_OF_ADAPTER:g}; or its scale is below {LEAST_SCALE}",
    _adapter,
    explained_by=("no reward", "no variance"),
)
