"""A reward by comparison, against a real server: shares of wins, ranks, ties, and servers that fail."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.config import validate
from assay.errors import ConfigError, EndpointError
from assay.preferences.judged_group import JudgedGroup
from assay.types import Message, Score, Task
from assay.verifiers import (
    Verifier,
    Weighted,
    as_rollout,
    close_verifiers,
    make_verifier,
    score_group,
    verifier_metrics,
)
from chat_server import Answer, ChatServer, completion, failure

TASK = Task("test", (Message("user", "6 * 7?"),), "42")


def shown(body: dict[str, Any], side: str) -> str:
    found = re.search(
        rf"\[response {side} (\w+)\]\n(.*?)\n\[end of response {side} \1\]", body["messages"][1]["content"]
    )
    assert found is not None
    return found[2]


def by_order(order: list[str]) -> Callable[[dict[str, Any], int], Answer]:
    """Prefers what comes first in `order`; what is not in it, whichever is shown first."""

    def say(body: dict[str, Any], number: int) -> Answer:
        a, b = (shown(body, side) for side in "AB")
        places = [order.index(each) if each in order else len(order) for each in (a, b)]
        return completion(f"VERDICT: {'A' if places[0] <= places[1] else 'B'}")

    return say


def judge_of(server: ChatServer, tmp_path: Path, **options: Any) -> JudgedGroup:
    fixed = {"model": "m", "base_url": server.url, "backoff_seconds": 0.001, "max_retries": 1}
    return validate(JudgedGroup, {**fixed, "replies": str(tmp_path / "judge.sqlite"), **options})


def scores_of(verifier: Verifier, responses: list[str]) -> list[Score]:
    async def score() -> list[Score]:
        try:
            return await score_group(verifier, [as_rollout(text, TASK) for text in responses], TASK)
        finally:
            await close_verifiers([verifier])

    return asyncio.run(score())


def test_shares_of_wins_in_both_orders_as_on_the_page(chat_server: ChatServer, tmp_path: Path) -> None:
    """The first wins both; of the other two the judge likes whichever it sees first: a tie."""
    chat_server.answer = by_order(["42"])
    judge = judge_of(chat_server, tmp_path)
    scores = scores_of(judge, ["42", "41", "40"])
    assert [score.value for score in scores] == [1.0, 0.25, 0.25]
    assert scores[1].evidence == "won 0.5 of 2 comparisons"
    assert not any(score.has_verdict for score in scores)
    assert len(chat_server.bodies) == 6
    counted = verifier_metrics(judge)
    assert (counted["judge/pairs"], counted["judge/inconsistent_pairs"], counted["judge/calls"]) == (3, 1, 6)
    ranked = scores_of(judge_of(chat_server, tmp_path, value="rank"), ["42", "41", "40"])
    assert [score.value for score in ranked] == [1.0, 0.25, 0.25]
    assert len(chat_server.bodies) == 6, "what was judged once is kept"


def test_ranks_are_places_whatever_the_shares(chat_server: ChatServer, tmp_path: Path) -> None:
    chat_server.answer = by_order(["a", "b", "c", "d"])
    ranked = scores_of(judge_of(chat_server, tmp_path, value="rank"), ["c", "a", "d", "b"])
    assert [score.value for score in ranked] == pytest.approx([1 / 3, 1.0, 0.0, 2 / 3])


def test_nobody_is_asked_about_what_is_the_same_or_empty(chat_server: ChatServer, tmp_path: Path) -> None:
    chat_server.answer = by_order(["x"])
    scores = scores_of(judge_of(chat_server, tmp_path), ["x", "x", "", " "])
    assert [score.value for score in scores] == pytest.approx([2.5 / 3, 2.5 / 3, 0.5 / 3, 0.5 / 3])
    assert not chat_server.bodies
    alone = scores_of(judge_of(chat_server, tmp_path), ["x"])
    assert alone[0].reason.startswith("alone in its group")


def test_fewer_opponents_are_neighbours(chat_server: ChatServer, tmp_path: Path) -> None:
    chat_server.answer = by_order(list("abcdef"))
    scores = scores_of(judge_of(chat_server, tmp_path, opponents=2), list("abcdef"))
    assert len(chat_server.bodies) == 2 * 6
    assert [score.value for score in scores] == [1.0, 0.5, 0.5, 0.5, 0.5, 0.0], "a and f are neighbours too"
    with pytest.raises(ConfigError, match="is not even"):
        judge_of(chat_server, tmp_path, opponents=3)


def test_a_server_that_fails_and_nonsense_are_tried_again_and_then_not_measured(
    chat_server: ChatServer, tmp_path: Path
) -> None:
    say = by_order(["42", "41"])

    def sometimes(body: dict[str, Any], number: int) -> Answer:
        texts = {shown(body, "A"), shown(body, "B")}
        if "broken" in texts:
            return failure(500)
        return completion("A fine answer.") if "odd" in texts else say(body, number)

    chat_server.answer = sometimes
    judge = judge_of(chat_server, tmp_path, max_failures=99)
    scores = scores_of(judge, ["42", "41", "broken"])
    assert [score.value for score in scores] == [1.0, 0.0, None]
    assert scores[2].reason == "no comparison with a sibling could be had: no answer (UnansweredError)"
    assert sum("broken" in str(body) for body in chat_server.bodies) == 2 * 2 * 2, "two pairs, two orders, one retry"
    odd = scores_of(judge, ["42", "odd"])
    assert [score.reason.rpartition(": ")[2] for score in odd] == ["no verdict, twice"] * 2
    assert verifier_metrics(judge)["judge/unmeasured_pairs"] == 3


def test_a_server_that_is_gone_stops_training(chat_server: ChatServer, tmp_path: Path) -> None:
    chat_server.answer = lambda body, number: failure(401)
    with pytest.raises(EndpointError):
        scores_of(judge_of(chat_server, tmp_path), ["42", "41", "40"])


def test_it_is_found_by_name_and_is_a_part_of_a_sum(chat_server: ChatServer, tmp_path: Path) -> None:
    chat_server.answer = by_order(["42"])
    judge = judge_of(chat_server, tmp_path)
    assert make_verifier("judged_group", {"model": "m"}).compares
    parts = {"right": {"verifier": {"name": "numeric"}}, "liked": {"weight": 0.5, "verifier": judge}}
    verifier = validate(Weighted, {"parts": parts, "solved_by": "right"})
    scores = scores_of(verifier, ["42", "41", "40"])
    assert [score.value for score in scores] == [1.5, 0.125, 0.125]
    assert scores[0].parts == {"right": 1.0, "liked": 1.0, "liked.wins": 1.0}
