"""Collecting comparisons from people: what each annotator is shown, what counts, and what is kept. No page in it."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from assay.errors import DataError
from assay.preferences.collected import Collected, CollectionFile, Key
from assay.preferences.next_pair import Uncertainty, best_pair, due_repeat, num_repeats, pair_uncertainty
from assay.preferences.pair import TIE, Pair
from assay.preferences.stats import PairStats, median, pair_stats
from assay.seeds import derive_seed

Choice = Literal["left", "right", "tie", "skip"]
Answer = Literal["kept", "elsewhere", "too_fast"]
_PREFERENCES = {"left": 0.0, "tie": TIE, "right": 1.0}
_FIT_EVERY = 5
"""Judgements after which ratings are fitted anew."""


@dataclass(frozen=True)
class CollectSettings:
    """How comparisons are collected."""

    most_pairs: int | None = None
    """Pairs that one annotator judges at most, repeats apart; None for all."""
    repeats: float = 0.1
    """The share of an annotator's pairs that come a second time, for the agreement with oneself."""
    overlap: float = 0.2
    """The share of an annotator's pairs that another one has judged too, for the agreement between them."""
    repeat_apart: int = 5
    """Judgements between the two of one pair, where there are enough pairs."""
    least_seconds: float = 0.25
    """Time below which a choice is not taken: a key that was pressed twice, before anybody could read what came."""
    seed: int = 0
    """The seed of the sides, and of the order of pairs that are equally worth judging."""


@dataclass(frozen=True)
class Shown:
    """A pair as one annotator is shown it."""

    name: str
    """The id that its judgement will have."""
    pair: Pair
    """The pair with the left response first."""


@dataclass(frozen=True)
class CollectProgress:
    """How far an annotator has come."""

    done: int
    """Judgements and skips, repeats included."""
    left: int
    """Judgements that are still to come, repeats included."""
    seconds_left: float | None
    """The time for them at the annotator's median pace; None before three judgements."""
    can_undo: bool

    @property
    def is_finished(self) -> bool:
        return self.left == 0

    def told(self) -> str:
        """Return it in a few words, such as "3 of 20, about 2 min left"."""
        text = f"{self.done} of {self.done + self.left}"
        if self.is_finished:
            return f"{text}, all done"
        return text if self.seconds_left is None else f"{text}, about {_duration(self.seconds_left)} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{seconds / 3600:.1f} h"


class Collecting:
    """Comparisons being collected: pairs to judge, and the file of what was judged.

    Every method may be called from any thread. What it keeps is on the disk when it returns.

    Args:
        pairs: what is to be judged; their own preferences are not looked at. Of several with one key the first counts.
        file: where judgements go. What it holds already counts.
        annotators: names of those who judge.
        clock: seconds that only grow.
        now: the time of day, for `judged_at`.

    Raises:
        DataError: no pairs or no annotators.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        file: CollectionFile,
        annotators: Sequence[str],
        settings: CollectSettings | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if not pairs or not annotators:
            raise DataError("nothing to collect: give pairs to judge, and somebody who judges them")
        self.pairs: dict[Key, Pair] = {}
        for pair in pairs:
            self.pairs.setdefault(pair.key, pair)
        self.settings = settings or CollectSettings()
        self.annotators = tuple(annotators)
        self._file = file
        self._clock, self._now = clock, now
        self._lock = threading.RLock()
        self._shown: dict[str, tuple[Shown, float]] = {}
        """Annotator to what is on the page, and when it came there."""
        self._fitted: tuple[int, Uncertainty] | None = None

    # ---- what the page asks ----

    def shown(self, annotator: str, *, again: bool = False) -> Shown | None:
        """Return what an annotator is to judge now, the same until it is judged; None where all is done.

        Args:
            again: a page has just been opened, so that the time of the judgement counts from here.
        """
        with self._lock:
            current = self._shown.get(annotator)
            if current is None:
                following = self._following(annotator)
                if following is None:
                    return None
                current = self._shown[annotator] = (following, self._clock())
            elif again:
                current = self._shown[annotator] = (current[0], self._clock())
            return current[0]

    def choose(self, annotator: str, name: str, choice: Choice) -> Answer:
        """Take an annotator's choice for what was shown under a name.

        Returns:
            "kept"; "elsewhere" where that was judged already, in another tab of the browser, so that it does not count
            twice; "too_fast" where nobody can have read it.
        """
        with self._lock:
            current = self._shown.get(annotator)
            if current is None or current[0].name != name:
                return "elsewhere"
            shown, began = current
            seconds = self._clock() - began
            if seconds < self.settings.least_seconds:
                return "too_fast"
            at = self._time()
            if choice == "skip":
                self._file.add_skip(name, annotator, shown.pair, at)
            else:
                judged = replace(
                    shown.pair,
                    preference=_PREFERENCES[choice],
                    annotator=annotator,
                    order_known=True,
                    judged_at=at,
                    seconds=round(seconds, 2),
                )
                self._file.add_judgement(name, judged)
            del self._shown[annotator]
            return "kept"

    def undo(self, annotator: str) -> bool:
        """Take an annotator's last judgement or skip back, and show its pair once more with the same sides; False where
        there is none, or where it is of a pair that is not to be judged here."""
        with self._lock:
            last = next((each for each in reversed(self._own(annotator)) if each.key in self.pairs), None)
            if last is None:
                return False
            self._file.take_back(last.name, self._time())
            shown = Shown(_new_name(), self._sided(last.key, last.shown_in_key_order))
            self._shown[annotator] = (shown, self._clock())
            return True

    def progress(self, annotator: str) -> CollectProgress:
        """Return how far an annotator has come."""
        with self._lock:
            own = self._own(annotator)
            keys = Counter(each.key for each in own if each.pair is not None)
            seen = {each.key for each in own} & set(self.pairs)
            most = len(self.pairs) if self.settings.most_pairs is None else self.settings.most_pairs
            pairs_left = max(0, min(most, len(self.pairs)) - len(seen))
            repeats = num_repeats(len(keys) + pairs_left, self.settings.repeats) - (keys.total() - len(keys))
            # A pair that is no longer in what is to be judged cannot come again.
            can_repeat = sum(times == 1 and key in self.pairs for key, times in keys.items()) + pairs_left
            repeats_left = max(0, min(repeats, can_repeat))
            seconds = [each.pair.seconds for each in own if each.pair is not None and each.pair.seconds is not None]
            left = pairs_left + repeats_left
            pace = median(seconds).value if len(seconds) >= 3 else None
            return CollectProgress(len(own), left, None if pace is None else pace * left, bool(own))

    def stats(self) -> PairStats | None:
        """Return what the judgements so far say of themselves; None where there is none yet."""
        with self._lock:
            judged = self._judged()
        return pair_stats(judged, self.settings.seed) if judged else None

    # ---- inside ----

    def _own(self, annotator: str) -> list[Collected]:
        return [each for each in self._file.standing.values() if each.annotator == annotator]

    def _judged(self) -> list[Pair]:
        return [each.pair for each in self._file.standing.values() if each.pair is not None]

    def _following(self, annotator: str) -> Shown | None:
        progress = self.progress(annotator)
        if progress.is_finished:
            return None
        own = self._own(annotator)
        seen = {each.key for each in own}
        most = self.settings.most_pairs
        has_room = most is None or len(seen & set(self.pairs)) < most
        unseen = {key: pair for key, pair in self.pairs.items() if key not in seen} if has_room else {}
        keys = [each.key for each in own if each.pair is not None]
        key = due_repeat(keys, set(self.pairs), self.settings.repeats, self.settings.repeat_apart, not unseen)
        if key is None:
            if not unseen:
                return None
            key = self._best(annotator, unseen, set(keys))
        side = derive_seed(self.settings.seed, "collect", "side", annotator, str(progress.done), *key) % 2 == 0
        return Shown(_new_name(), self._sided(key, side))

    def _best(self, annotator: str, unseen: dict[Key, Pair], own: set[Key]) -> Key:
        by: dict[Key, set[str]] = defaultdict(set)
        for each in self._file.standing.values():
            if each.pair is not None:
                by[each.key].add(each.annotator)
        times = Counter({key: len(names) for key, names in by.items()})
        # What another annotator has before the eyes is as good as judged.
        times.update(shown.pair.key for name, (shown, _) in self._shown.items() if name != annotator)
        num_shared = sum(len(by[key]) > 1 for key in own)
        by_others = {key: pair for key, pair in unseen.items() if key in by}
        wants_others = num_shared < self.settings.overlap * (len(own) + 1)
        candidates = by_others if wants_others and by_others else unseen
        return best_pair(candidates, times, self._uncertainty(), derive_seed(self.settings.seed, annotator))

    def _uncertainty(self) -> Uncertainty:
        judged = self._judged()
        if self._fitted is None or not 0 <= len(judged) - self._fitted[0] < _FIT_EVERY:
            self._fitted = (len(judged), pair_uncertainty(judged))
        return self._fitted[1]

    def _sided(self, key: Key, in_key_order: bool) -> Pair:
        """The pair of a key with the left response first, and nothing of an earlier judgement."""
        pair = self.pairs[key]
        plain = replace(pair, preference=TIE, margin=None, annotator=None, judged_at=None, seconds=None)
        return plain if plain.is_in_key_order == in_key_order else plain.swapped()

    def _time(self) -> str:
        return self._now().astimezone(UTC).isoformat(timespec="seconds")


def _new_name() -> str:
    return secrets.token_hex(8)
