"""Contamination: what evaluation texts share with training texts, by long n-grams of words.

As in Brown et al. 2020 (https://arxiv.org/abs/2005.14165, section 4): an evaluation example is suspect where any
13-gram of it stands in a training text, or all of it where it is shorter. Words are runs of letters and digits in small
letters, whatever stands between them; a number keeps its sign and its decimals: -6 is not the same task as 6. Each
character of Chinese, Japanese and Korean is a word.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from assay.environments.data_files import read_rows
from assay.errors import DataError
from assay.types import Task
from assay.verifiers.text import normalise

DEFAULT_N = 13
MIN_WORDS = 5
"""Words below which a text says too little to be the same as another by more than chance: it is left out."""
MAX_NGRAMS = 5_000_000
"""N-grams of the evaluation texts that are held at once, about 200 bytes each; with more, the training texts are read
as often as it takes."""

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|(?<![^\W_])[-\u2212]?[0-9]+(?:\.[0-9]+)?(?![^\W_])|(?:(?![{_CJK}])[^\W_])+")

Example = tuple[str, Sequence[str]]
"""Where a task or row stands, and its texts: n-grams do not go from one to the next."""


@dataclass(frozen=True)
class Overlap:
    """What one evaluation example shares with training examples."""

    place: str
    num_ngrams: int
    """Distinct n-grams of it that count."""
    num_shared: int
    """Those among them that stand in some training example."""
    shared: str
    """The first of them in the text; empty where there is none."""
    train_place: str
    """A training example in which that one stands; empty where there is none."""

    @property
    def share(self) -> float:
        """Shared n-grams over n-grams that count; 0 where none counts."""
        return self.num_shared / self.num_ngrams if self.num_ngrams else 0.0


@dataclass
class _Seen:
    """What is known of one n-gram of the evaluation examples."""

    num_examples: int = 0
    train_place: str = ""


def overlaps(
    train: Iterable[Example],
    evaluation: Iterable[Example],
    *,
    n: int = DEFAULT_N,
    most_common: int | None = None,
    max_ngrams: int = MAX_NGRAMS,
) -> list[Overlap]:
    """Return what each evaluation example shares with the training examples, in their order.

    The n-grams of the evaluation examples are held, as digests of 128 bits, and the training examples are read past
    them. Where there are more than `max_ngrams`, both are read again for each share of them: the answer is the same.

    Args:
        train: read from its beginning each time, so that it must not be an iterator that ends.
        evaluation: the same.
        n: words of an n-gram.
        most_common: n-grams of more evaluation examples than this do not count: they are the wording of a template and
            say nothing of one example. None: all count.
    """
    if iter(train) is train or iter(evaluation) is evaluation:
        raise TypeError("examples are read more than once; give a list, or an object that begins anew")
    total = sum(len(set(_ngrams(texts, n))) for _, texts in evaluation)
    num_parts = max(1, -(-total // max_ngrams))
    found: dict[int, list[Overlap]] = {}
    for part in range(num_parts):
        seen: dict[bytes, _Seen] = {}
        for _, texts in evaluation:
            for key in _keys(texts, n, part, num_parts):
                seen.setdefault(key, _Seen()).num_examples += 1
        for place, texts in train:
            for key in _keys(texts, n, part, num_parts):
                known = seen.get(key)
                if known is not None and not known.train_place:
                    known.train_place = place
        for number, (place, texts) in enumerate(evaluation):
            found.setdefault(number, []).append(_overlap(place, _keys(texts, n, part, num_parts), seen, most_common))
    return [_together(parts) for parts in found.values()]


def _overlap(place: str, keys: dict[bytes, str], seen: dict[bytes, _Seen], most_common: int | None) -> Overlap:
    counted = [key for key in keys if most_common is None or seen[key].num_examples <= most_common]
    shared = [key for key in counted if seen[key].train_place]
    if not shared:
        return Overlap(place, len(counted), 0, "", "")
    return Overlap(place, len(counted), len(shared), keys[shared[0]], seen[shared[0]].train_place)


def _together(parts: Sequence[Overlap]) -> Overlap:
    one = next((part for part in parts if part.shared), parts[0])
    num_ngrams, num_shared = sum(part.num_ngrams for part in parts), sum(part.num_shared for part in parts)
    return Overlap(one.place, num_ngrams, num_shared, one.shared, one.train_place)


def _ngrams(texts: Sequence[str], n: int) -> Iterator[str]:
    for text in texts:
        words = _WORD.findall(normalise(text).casefold())
        if len(words) < n:
            if len(words) >= MIN_WORDS:
                # All of a short text: it is the same as another short text only.
                yield "= " + " ".join(words)
        else:
            yield from (" ".join(words[start : start + n]) for start in range(len(words) - n + 1))


def _keys(texts: Sequence[str], n: int, part: int, num_parts: int) -> dict[bytes, str]:
    """Digest to n-gram, of those that fall into a part."""
    found: dict[bytes, str] = {}
    for ngram in _ngrams(texts, n):
        key = hashlib.blake2b(ngram.encode("utf-8", "replace"), digest_size=16).digest()
        if num_parts == 1 or int.from_bytes(key[:8], "big") % num_parts == part:
            found.setdefault(key, ngram.removeprefix("= "))
    return found


class HeldTexts:
    """Texts of held-out examples, which others are compared with one at a time.

    A text contains an example where it is the same, or where it has every n-gram of the example that no other example
    has: those of several are the wording of a template.
    """

    def __init__(self, texts: Iterable[str], *, n: int = DEFAULT_N) -> None:
        self._n = n
        self._texts = set(texts)
        keys = [set(_keys([text], n, 0, 1)) for text in self._texts]
        counts = Counter(key for own in keys for key in own)
        self._examples = [frozenset(key for key in own if counts[key] == 1) for own in keys]

    def contained_in(self, text: str) -> bool:
        """Return True where a text contains any of the examples."""
        if text in self._texts:
            return True
        keys = set(_keys([text], self._n, 0, 1))
        return any(own and own <= keys for own in self._examples)


class ExampleRows:
    """The rows of a data file as examples, read anew each time.

    Args:
        source: as `read_rows` takes it.
        columns: the columns whose texts are compared; with none, every text of a row, at any depth.
    """

    def __init__(self, source: str, columns: Sequence[str] = ()) -> None:
        self._source, self._columns = source, tuple(columns)

    def __iter__(self) -> Iterator[Example]:
        for place, row in read_rows(self._source):
            missing = [column for column in self._columns if column not in row]
            if missing:
                raise DataError(f"{place} has no column {missing[0]!r}; it has {', '.join(map(str, row))[:500]}")
            yield place, list(_texts([row[column] for column in self._columns] if self._columns else row))


def example_of(task: Task) -> Example:
    """Return a task as an example: its messages, and what the world that it happens in holds."""
    world = task.metadata.get("world")
    texts = [message.content for message in task.prompt]
    return task.task_id, texts if world is None else [*texts, json.dumps(world, ensure_ascii=False)]


def _texts(value: object) -> Iterator[str]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            waiting += list(each.values())[::-1]
        elif isinstance(each, list | tuple):
            waiting += each[::-1]
