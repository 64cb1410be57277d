from __future__ import annotations

from assay.evaluation.map import TaskLength, episode_limit, message_limit


def test_a_message_may_take_twice_what_the_expert_says_and_a_sentence_at_least() -> None:
    assert message_limit([TaskLength(message_tokens=3)]) == 32
    assert message_limit([TaskLength(message_tokens=3), TaskLength(message_tokens=41)]) == 82
    assert message_limit([TaskLength(), TaskLength(message_tokens=20)]) == 40
    assert message_limit([TaskLength()]) == 256, "nobody says how long an answer is"


def test_an_episode_may_take_as_much_for_each_message_of_the_expert() -> None:
    assert episode_limit(TaskLength(actions=5), 32) == 160
    assert episode_limit(TaskLength(actions=4.3), 32) == 160, "messages are counted up"
    assert episode_limit(TaskLength(), 32) is None
