"""Collecting comparisons, without a page: what is shown, what counts, and what is kept."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from assay.errors import DataError
from assay.observe.store import RunStore
from assay.preferences import Pair, read_preferences
from assay.preferences.annotators import annotator_secrets
from assay.preferences.collect import Collecting, CollectSettings
from assay.preferences.collected import CollectionFile
from assay.preferences.next_pair import pair_uncertainty
from assay.preferences.rate import read_matches
from assay.preferences.siblings import sibling_pairs
from assay.preferences.stats import pair_stats
from assay.preferences.stats_text import stats_lines
from assay.types import Completion, Ending, EndingKind, Group, Message, Rollout, Score, Task, Turn


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def pair(number: int, first_model: str | None = None, second_model: str | None = None) -> Pair:
    sides = ((Message("assistant", f"one {number}"),), (Message("assistant", f"other {number}"),))
    return Pair((Message("user", f"q{number}"),), *sides, 0.5, first_model=first_model, second_model=second_model)


class Desk:
    """Somebody at the page: looks for two seconds, then chooses."""

    def __init__(self, collecting: Collecting, clock: Clock, name: str = "ada") -> None:
        self.collecting, self.clock, self.name = collecting, clock, name

    def judge(self, choice: str = "left", seconds: float = 2.0) -> Pair | None:
        shown = self.collecting.shown(self.name)
        if shown is None:
            return None
        self.clock.seconds += seconds
        assert self.collecting.choose(self.name, shown.name, choice) == "kept"  # pyright: ignore[reportArgumentType]
        return shown.pair

    def judge_all(self, most: int = 1000) -> list[Pair]:
        found = []
        while len(found) < most and (judged := self.judge()) is not None:
            found.append(judged)
        return found


def desk(path: Path, num: int = 6, names: tuple[str, ...] = ("ada",), **settings: object) -> Desk:
    clock = Clock()
    file = CollectionFile(path / "out.jsonl")
    pairs = [pair(number) for number in range(num)]
    given = CollectSettings(**settings)  # pyright: ignore[reportArgumentType]
    return Desk(Collecting(pairs, file, names, given, clock=clock), clock)


def reopened(at: Desk, path: Path, num: int = 6, **settings: object) -> Desk:
    at.collecting._file.close()
    return desk(path, num, **settings)


def test_a_judgement_is_a_pair_with_who_when_how_long_and_the_order_that_was_shown(tmp_path: Path) -> None:
    at = desk(tmp_path, repeats=0.0)
    shown = at.judge("right", 3.5)
    (kept,) = read_preferences(str(tmp_path / "out.jsonl")).pairs
    assert shown is not None
    assert (kept.first, kept.second, kept.preference) == (shown.first, shown.second, 1.0)
    assert (kept.annotator, kept.seconds, kept.order_known) == ("ada", 3.5, True)
    assert kept.judged_at is not None
    assert kept.judged_at.endswith("+00:00")


def test_sides_are_shuffled(tmp_path: Path) -> None:
    shown = desk(tmp_path, 40, repeats=0.0).judge_all()
    left = sum(each.first[0].text.startswith("one") for each in shown)
    assert 10 <= left <= 30
    assert len({each.key for each in shown}) == 40


def test_two_tabs_on_one_pair_count_once(tmp_path: Path) -> None:
    at = desk(tmp_path)
    one, other = at.collecting.shown("ada"), at.collecting.shown("ada", again=True)
    assert one == other
    assert one is not None
    at.clock.seconds += 1
    assert at.collecting.choose("ada", one.name, "left") == "kept"
    assert at.collecting.shown("ada") != one
    at.clock.seconds += 1
    assert at.collecting.choose("ada", one.name, "right") == "elsewhere"
    (kept,) = read_preferences(str(tmp_path / "out.jsonl")).pairs
    assert kept.preference == 0.0


def test_a_key_that_is_pressed_twice_judges_one_pair(tmp_path: Path) -> None:
    at = desk(tmp_path)
    at.judge()
    following = at.collecting.shown("ada")
    assert following is not None
    at.clock.seconds += 0.1
    assert at.collecting.choose("ada", following.name, "left") == "too_fast"
    assert at.collecting.progress("ada").done == 1


def test_a_page_that_is_closed_in_the_middle_loses_nothing_and_shows_the_same_pair(tmp_path: Path) -> None:
    at = desk(tmp_path)
    first = at.judge()
    before = at.collecting.shown("ada")
    at.clock.seconds += 4000
    again = at.collecting.shown("ada", again=True)
    assert before == again
    assert at.judge(seconds=2.0) is not None
    last = read_preferences(str(tmp_path / "out.jsonl")).pairs[-1]
    # The hour in between is no time of judging.
    assert last.seconds == 2.0
    after = reopened(at, tmp_path)
    assert after.collecting.progress("ada").done == 2
    rest = after.judge_all()
    assert first is not None
    assert first.key not in {each.key for each in rest}
    assert len(rest) == 4


def test_a_kill_in_the_middle_of_a_line_counts_nothing_and_stops_nothing(tmp_path: Path) -> None:
    at = desk(tmp_path)
    at.judge_all(2)
    with (tmp_path / "out.jsonl").open("ab") as file:
        file.write(b'{"prompt": [{"role": "us')
    again = reopened(at, tmp_path)
    assert again.collecting.progress("ada").done == 2
    again.judge_all()
    assert len(read_preferences(str(tmp_path / "out.jsonl")).pairs) == 6


def test_what_could_not_be_written_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = desk(tmp_path)
    at.judge()
    shown = at.collecting.shown("ada")
    at.clock.seconds += 1
    assert shown is not None
    with monkeypatch.context() as patched:

        def full(file: int) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            at.collecting.choose("ada", shown.name, "left")
    assert at.collecting.progress("ada").done == 1
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 1
    assert at.collecting.choose("ada", shown.name, "right") == "kept"
    assert [each.preference for each in read_preferences(str(tmp_path / "out.jsonl")).pairs] == [0.0, 1.0]


def test_undo_takes_back_the_last_one_with_the_same_sides_and_a_skip_too(tmp_path: Path) -> None:
    at = desk(tmp_path, repeats=0.0)
    assert not at.collecting.undo("ada")
    first, second = at.judge("left"), at.judge("skip")
    assert at.collecting.undo("ada")
    shown = at.collecting.shown("ada")
    assert shown is not None
    assert second is not None
    assert (shown.pair.first, shown.pair.second) == (second.first, second.second)
    assert at.collecting.undo("ada")
    shown = at.collecting.shown("ada")
    assert shown is not None
    assert first is not None
    assert (shown.pair.first, shown.pair.second) == (first.first, first.second)
    at.judge("right")
    again = reopened(at, tmp_path, repeats=0.0)
    assert again.collecting.progress("ada").done == 1
    again.judge_all()
    found = read_preferences(str(tmp_path / "out.jsonl"))
    assert len(found.pairs) == len({each.key for each in found.pairs}) == 6
    assert found.pairs[0].preference == 1.0
    assert any("2 judgements or skips taken back" in line for line in found.told())


def test_a_skipped_pair_does_not_come_again_and_is_no_judgement(tmp_path: Path) -> None:
    at = desk(tmp_path, repeats=0.0)
    skipped = at.judge("skip")
    rest = at.judge_all()
    assert skipped is not None
    assert len(rest) == 5
    assert skipped.key not in {each.key for each in rest}
    assert len(read_preferences(str(tmp_path / "out.jsonl")).pairs) == 5
    assert at.collecting.progress("ada").is_finished


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_share_comes_a_second_time_apart_and_once(tmp_path: Path, share: float) -> None:
    at = desk(tmp_path, 20, repeats=share)
    assert at.collecting.progress("ada").left == 20 + round(20 * share)
    shown = at.judge_all()
    assert len(shown) == 20 + round(20 * share)
    places: dict[object, list[int]] = {}
    for number, each in enumerate(shown):
        places.setdefault(each.key, []).append(number)
    twice = [found for found in places.values() if len(found) > 1]
    assert len(twice) == round(20 * share)
    assert all(len(found) == 2 and found[1] - found[0] > (5 if share < 1 else 1) for found in twice)
    assert at.collecting.progress("ada").told() == f"{len(shown)} of {len(shown)}, all done"
    found = pair_stats(read_preferences(str(tmp_path / "out.jsonl")).pairs)
    assert found.repeats.num == round(20 * share)


def test_annotators_share_some_pairs_and_spread_over_the_rest(tmp_path: Path) -> None:
    at = desk(tmp_path, 30, ("ada", "bob"), repeats=0.0, overlap=0.3, most_pairs=20)
    bob = Desk(at.collecting, at.clock, "bob")
    for _ in range(20):
        at.judge()
        bob.judge()
    assert at.collecting.progress("ada").is_finished
    assert bob.judge() is None
    times = Counter(each.key for each in read_preferences(str(tmp_path / "out.jsonl")).pairs)
    assert len(times) == 30
    assert sum(count == 2 for count in times.values()) == 10
    assert at.collecting.stats() is not None


def test_time_left_is_told_once_there_is_a_pace(tmp_path: Path) -> None:
    at = desk(tmp_path, 20, repeats=0.0)
    assert at.collecting.progress("ada").told() == "0 of 20"
    for seconds in (10.0, 12.0, 1000.0):
        at.judge(seconds=seconds)
    progress = at.collecting.progress("ada")
    assert progress.seconds_left == 17 * 12.0
    assert progress.told() == "3 of 20, about 3 min left"


def test_the_next_pair_is_that_of_the_models_about_which_least_is_known(tmp_path: Path) -> None:
    clock, file = Clock(), CollectionFile(tmp_path / "out.jsonl")
    pairs = [pair(number, "weak", "strong") for number in range(30)]
    pairs += [pair(100 + number, "weak", "middle") for number in range(10)]
    collecting = Collecting(pairs, file, ["ada"], CollectSettings(repeats=0.0), clock=clock)
    at = Desk(collecting, clock)
    shown = []
    for number in range(16):
        found = at.judge("left" if number % 3 else "right")
        assert found is not None
        shown.append(frozenset([found.first_model, found.second_model]))
    times = Counter(shown)
    # By chance alone three of four would be of weak and strong.
    assert times[frozenset(["weak", "middle"])] >= 6
    assert times[frozenset(["weak", "strong"])] >= 6


def test_uncertainty_is_greatest_where_nothing_is_known() -> None:
    judged = [pair(number, "a", "b") for number in range(4)] * 2
    wins = [Pair(**{**vars(each), "preference": float(number % 3 == 0)}) for number, each in enumerate(judged)]
    uncertainty = pair_uncertainty(wins)
    known = uncertainty("a", "b")
    assert 0 < known < uncertainty("a", "new") == float("inf")
    assert uncertainty("a", "a") == uncertainty(None, None) == 0
    assert pair_uncertainty(wins * 4)("a", "b") < known


def test_one_annotator_has_no_agreement_and_unanimous_ones_agree_perfectly(tmp_path: Path) -> None:
    at = desk(tmp_path, 8, ("ada", "bob"), repeats=0.0, overlap=1.0)
    assert at.collecting.stats() is None

    def agreement() -> str:
        found = at.collecting.stats()
        assert found is not None
        return dict(stats_lines(found))["agreement between annotators"]

    while (shown := at.collecting.shown("ada")) is not None:
        at.judge("left" if shown.pair.is_in_key_order else "right")
    assert agreement().startswith("undefined")
    bob = Desk(at.collecting, at.clock, "bob")
    while (shown := at.collecting.shown("bob")) is not None:
        bob.judge("left" if shown.pair.is_in_key_order else "right")
    assert "alpha 1.000" in agreement()
    assert "unanimous" in agreement()


def test_ratings_read_the_file_without_what_was_taken_back(tmp_path: Path) -> None:
    clock, file = Clock(), CollectionFile(tmp_path / "out.jsonl")
    pairs = [pair(number, "a", "b") for number in range(5)]
    at = Desk(Collecting(pairs, file, ["ada"], CollectSettings(repeats=0.0), clock=clock), clock)
    at.judge_all(3)
    at.collecting.undo("ada")
    at.judge("skip")
    assert len(read_matches(str(tmp_path / "out.jsonl")).rows) == 2


def test_a_file_is_open_in_one_page_at_a_time_and_is_what_it_says(tmp_path: Path) -> None:
    at = desk(tmp_path)
    with pytest.raises(DataError, match="is open in another assay prefer collect"):
        CollectionFile(tmp_path / "out.jsonl")
    at.collecting._file.close()
    for text, wrong in (
        ("no json\n", "line 1: this is no JSON"),
        ('{"a": 1}\n', "this is no judgement"),
        ("notes, without an end of line", "this is no judgement"),
        ('{"question": "cut', "this is no judgement"),
    ):
        (tmp_path / "bad.jsonl").write_text(text)
        with pytest.raises(DataError, match=wrong):
            CollectionFile(tmp_path / "bad.jsonl")
        assert (tmp_path / "bad.jsonl").read_text() == text
    for cut in ("{", '{"prompt": [{"role'):
        (tmp_path / "cut.jsonl").write_text(cut)
        CollectionFile(tmp_path / "cut.jsonl").close()
        assert (tmp_path / "cut.jsonl").read_text() == "", "a first judgement that a kill cut short"
    with pytest.raises(DataError, match=r"ends in \.jsonl"):
        CollectionFile(tmp_path / "out.csv")


def test_pairs_without_a_preference_can_be_judged_and_identical_ones_are_left_out(tmp_path: Path) -> None:
    rows = [
        {"prompt": "p", "first": "a", "second": "b"},
        {"prompt": "p", "response_a": "a", "response_b": "c", "model_a": "m", "model_b": "n"},
        {"prompt": "p", "output_1": "d", "output_2": "e"},
        {"prompt": "p", "chosen": "a", "rejected": "f"},
        {"prompt": "p", "first": "same", "second": "same"},
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match="line 1"):
        read_preferences(str(tmp_path / "pairs.jsonl"))
    found = read_preferences(str(tmp_path / "pairs.jsonl"), unjudged=True)
    assert len(found.pairs) == 4
    assert found.told() == [
        f"left out: 1 with two responses that are the same (the first: {tmp_path / 'pairs.jsonl'}, line 5)"
    ]


def test_secrets_stay_the_same_and_are_the_owners_alone(tmp_path: Path) -> None:
    first = annotator_secrets(tmp_path / "keys.json", ["ada", "bob"])
    assert len(set(first.values())) == 2
    again = annotator_secrets(tmp_path / "keys.json", ["bob", "eve"])
    assert again["bob"] == first["bob"]
    assert annotator_secrets(tmp_path / "keys.json", ["ada"]) == {"ada": first["ada"]}
    assert (tmp_path / "keys.json").stat().st_mode & 0o077 == 0


def test_pairs_of_a_run_are_siblings_that_differ_whatever_they_earned(tmp_path: Path) -> None:
    def group(number: int, texts: list[str], rewards: list[float]) -> Group:
        task = Task("sums", (Message("user", "Q"),), "4")
        rollouts = []
        for member, text in enumerate(texts):
            sampled = Completion(tuple(text.encode()), (0.0,) * len(text), "stop", ((0, 1),))
            turn = Turn((81,), False, sampled, Message("assistant", text))
            ending = Ending(EndingKind.BROKEN if text == "cut" else EndingKind.FINISHED)
            rollouts.append(Rollout(task.task_id, number, member, (turn,), ending))
        scores = tuple(Score.solved() if value else Score.failed() for value in rewards)
        return Group(number, task, tuple(rollouts), scores)

    with RunStore(tmp_path) as store:
        groups = [
            group(0, ["a", "b", "a"], [1.0, 0.0, 1.0]),
            group(1, ["same", "same"], [1.0, 0.0]),
            group(2, ["x", "cut"], [1.0, 0.0]),
            group(3, ["c", "d"], [1.0, 1.0]),
        ]
        store.record_groups(0, groups, lambda tokens: bytes(tokens).decode())
    with RunStore.open_readonly(tmp_path) as store:
        pairs = sibling_pairs(store, "run", 10)
        assert {each.metadata["group"] for each in pairs} == {0, 3}
        assert all(each.prompt[0].text == "Q" and not each.is_chat for each in pairs)
        assert all(each.first != each.second for each in pairs)
        assert not any("reward" in each.metadata or "verdict" in each.metadata for each in pairs)
        assert len(sibling_pairs(store, "run", 1)) == 1
